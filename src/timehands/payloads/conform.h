/* The conformance guest: what its parts share. */
#ifndef CONFORM_H
#define CONFORM_H

#include "bare.h"

enum {
    SMP_MOST = 8, SMP_VECTOR = 0x41, TIMER_VECTOR = 0x40, SPURIOUS_VECTOR = 0xff, PIC_VECTOR = 0x20,
    LAPIC_BASE = 0xfee00000,
    APIC_ID = 0x20 / 4, APIC_EOI = 0xb0 / 4, APIC_SPURIOUS = 0xf0 / 4, APIC_ICR = 0x300 / 4,
    APIC_ICR_HIGH = 0x310 / 4, APIC_TIMER = 0x320 / 4, APIC_LINT0 = 0x350 / 4,
    APIC_INITIAL = 0x380 / 4, APIC_COUNT = 0x390 / 4, APIC_DIVIDE = 0x3e0 / 4,
    MASKED = 1 << 16, PERIODIC = 1 << 17, DEADLINE = 1 << 18,
    MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_TSC_ADJUST = 0x3b, MSR_TSC_DEADLINE = 0x6e0,
    SHORT_WAIT = 1 << 22,       /* TSC cycles: about 2 ms */
    LONG_WAIT = 1 << 27,        /* about 50 ms: how long a case looks at one thing */
    TURNS_WANTED = 32,          /* how often a clock should have been read by another processor */
    PATIENT_WAIT = 1 << 30,     /* about 0.4 s: for what has to come, on a busy host too */
};

/* conform_words.c: the lines. */
void begin(const char *id);
void skip(const char *id, const char *why);
void data(const char *id);
void value(const char *key, uint64_t v);
void values(const char *key, const uint64_t *v, unsigned count);
int option(const char *word);
void words_init(const uint32_t *info);
uint64_t memory_end(const uint32_t *info);

/* conform_start.S */
void irq_init(void);
int irq_spin(uint32_t looks);
int irq_halt(void);
int try_wrmsr(uint32_t msr, uint32_t low, uint32_t high);
int try_lfence(void);
extern volatile uint32_t irq_count, irq_vector;
extern volatile uint64_t irq_tsc;

/* conform.c */
uint64_t ordered_tsc(void);
int wrmsr64(uint32_t msr, uint64_t v);
int rdmsr64(uint32_t msr, uint64_t *v);
void wait_cycles(uint64_t cycles);
int wait_irq(uint64_t cycles);

/* conform_smp.c: the other processors. */
extern volatile uint32_t smp_count;
void smp_start(void);
unsigned smp_cpus(void);
int smp_run(void (*work)(unsigned cpu));
void smp_main(unsigned cpu);
void lock(volatile uint32_t *word);
void unlock(volatile uint32_t *word);

/* The areas. */
void conform_discovery(void);
void conform_tsc(void);
void conform_tsc_writes(void);
void conform_pvclock_register(void);
void conform_pvclock(const uint32_t *info);
void conform_lapic(void);
void conform_i8254(void);
void conform_rtc(void);
void conform_rtc_again(void);
void conform_sleeping(void);

/* conform_host.c: the other end of the line. */
void host_hello(void);
void host_rows(const char *label, unsigned rows);
void host_events(void);

/* The counters, for the samples. */
int lapic_usable(void);
void lapic_free_run(void);
uint32_t lapic_shot(uint32_t counted, uint64_t cycles);
int pit_counts(void);
void pit_free_run(void);
uint32_t pit_latched(unsigned channel);
int pvclock_registered(void);
uint64_t pvclock_now(void);
uint32_t pvclock_flags(void);
uint32_t pvclock_version(void);
void pvclock_clear_stopped(void);
void pvclock_update(void);

#endif
