/* DELAY: by the TSC, by the timecounter, or by what is there early. */
#include "freebsd.h"

static void delay_tsc(int n)
{
    uint64_t end = rdtsc() + tsc_freq * (uint64_t)n / 1000000;
    while (rdtsc() < end)
        spin();
}

static int delay_tc(int n)
{
    if (tsc_is_invariant && tsc_freq != 0) {
        delay_tsc(n);
        return 1;
    }
    struct timecounter *tc = timecounter;
    if (tc->tc_quality <= 0)
        return 0;
    uint64_t end = tc->tc_frequency * (uint64_t)n / 1000000, now = 0;
    u_int last = tc->tc_get_timecount(tc) & tc->tc_counter_mask;
    do {
        spin();
        u_int u = tc->tc_get_timecount(tc) & tc->tc_counter_mask;
        now += (u - last) & tc->tc_counter_mask;
        last = u;
    } while (now < end);
    return 1;
}

void DELAY(int n)
{
    TSENTER();
    if (!delay_tc(n))
        init_ops.early_delay(n);
    TSEXIT();
}
