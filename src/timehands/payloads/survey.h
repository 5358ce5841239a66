/* The survey guest: what its parts share. */
#ifndef SURVEY_H
#define SURVEY_H

#include "bare.h"

/* A clock device: how to read it, and whether its count was seen to change. */
struct device {
    int counts;
    uint32_t first, last;
};

void survey_cpuid(void);
void survey_msrs(void);
void survey_start_info(const uint32_t *start_info);
int survey_option(const char *option);

uint32_t survey_acpi_timer_port(const uint32_t *start_info);
void survey_devices(const uint32_t *start_info);
void survey_rtc(void);
void survey_samples(void);

/* The counters as the samples take them; each only when its device counts. */
extern struct device pit, lapic, hpet, acpi_pm;
uint32_t pit_read(unsigned channel);
uint32_t lapic_read(void);
uint32_t hpet_read(void);
uint32_t acpi_pm_read(void);

#endif
