/* The TSC: 2000 when it is invariant, else nothing to be used by itself. */
#include "openbsd.h"

uint64_t tsc_frequency;
int tsc_is_invariant;

static u_int tsc_get_timecount(struct timecounter *tc)
{
    (void)tc;
    return (u_int)rdtsc_ordered();
}

static struct timecounter tsc_timecounter = {
    .tc_get_timecount = tsc_get_timecount, .tc_counter_mask = ~0u, .tc_name = "tsc",
    .tc_quality = -1000,
};

static uint64_t tsc_freq_cpuid(void)
{
    uint32_t regs[4];
    do_cpuid(0, regs);
    if (regs[0] < 0x15)
        return 0;
    do_cpuid(0x15, regs);
    return regs[0] && regs[1] ? (uint64_t)regs[2] * regs[1] / regs[0] : 0;
}

void tsc_identify(void)
{
    uint32_t regs[4];
    do_cpuid(0x80000000, regs);
    if (regs[0] >= 0x80000007) {
        do_cpuid(0x80000007, regs);
        tsc_is_invariant = (regs[3] & 0x100) != 0;
    }
    tsc_frequency = tsc_freq_cpuid();
    if (tsc_frequency == 0) {
        uint64_t start = rdtsc_ordered();
        delay_func(100000);
        tsc_frequency = (rdtsc_ordered() - start) * 10;
    }
    printf("cpu0: TIMEHANDS, %lu.%02lu MHz\n", tsc_frequency / 1000000,
           tsc_frequency / 10000 % 100);
}

void tsc_timecounter_init(void)
{
    tsc_timecounter.tc_frequency = tsc_frequency;
    if (tsc_is_invariant) {
        tsc_timecounter.tc_quality = 2000;
        tsc_timecounter.tc_user = 1;
    }
    tc_init(&tsc_timecounter);
}
