/*
 * The public names, values and layouts of OpenBSD/amd64 7 that its clocks are made of, written anew
 * as facts (sys/timetc.h, dev/pv/pvclock.c, amd64/tsc.c). No real kernel was at hand to check them.
 */
#ifndef OPENBSD_H
#define OPENBSD_H

#include "guest.h"

struct timecounter {
    u_int (*tc_get_timecount)(struct timecounter *);
    u_int tc_counter_mask;
    uint64_t tc_frequency;
    const char *tc_name;
    int tc_quality;
    void *tc_priv;
    u_int tc_user;
    struct {
        struct timecounter *sle_next;
    } tc_next;
    int64_t tc_freq_adj;
    uint64_t tc_precision;
};
extern struct timecounter *timecounter;
extern int hz, ticks;
void tc_init(struct timecounter *tc);
void damage_timecounters(const char *how);

extern void (*delay_func)(int);
void i8254_startclock(void);
void i8254_delay(int n);
void i8254_inittimecounter(void);
u_int gettick(void);

extern u_int lapic_per_second;
void lapic_boot_init(vm_paddr_t address);
void lapic_calibrate_timer(void);

extern uint64_t tsc_frequency;
extern int tsc_is_invariant;
void tsc_identify(void);
void tsc_timecounter_init(void);

void pvbus_identify(void);
void pvclock_attach(void);
extern const char *panicstr;
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void init_x86_64(vm_paddr_t first_avail);
int main(void);

#endif
