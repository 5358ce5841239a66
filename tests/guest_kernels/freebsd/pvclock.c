/* Reading a pvclock record, and the timecounter that does. */
#include "freebsd.h"

static volatile uint64_t pvclock_last_systime;

static uint64_t scale(uint64_t delta, uint32_t mul, int8_t shift)
{
    delta = shift < 0 ? delta >> -shift : delta << shift;
    return (uint64_t)((unsigned __int128)delta * mul >> 32);
}

uint64_t pvclock_get_timecount(struct pvclock_vcpu_time_info *ti)
{
    volatile struct pvclock_vcpu_time_info *record = ti;
    uint32_t version;
    uint64_t now;
    uint8_t flags;
    do {
        version = record->version;
        uint64_t delta = rdtsc_ordered() - record->tsc_timestamp;
        now = record->system_time + scale(delta, record->tsc_to_system_mul, record->tsc_shift);
        flags = record->flags;
        __asm__ volatile("" : : : "memory");
    } while ((record->version & 1) || record->version != version);
    if (flags & 1)
        return now;
    if (now < pvclock_last_systime)
        return pvclock_last_systime;
    pvclock_last_systime = now;
    return now;
}

uint64_t pvclock_tsc_freq(struct pvclock_vcpu_time_info *ti)
{
    uint64_t freq = (1000000000ull << 32) / ti->tsc_to_system_mul;
    return ti->tsc_shift < 0 ? freq << -ti->tsc_shift : freq >> ti->tsc_shift;
}

static u_int pvclock_tc_get_timecount(struct timecounter *tc)
{
    return (u_int)pvclock_get_timecount(tc->tc_priv);
}

static struct timecounter pvclock_tc = {
    pvclock_tc_get_timecount, NULL, ~0u, 1000000000, NULL, 0, 0, NULL, NULL, NULL, NULL,
};

void pvclock_init(struct pvclock_vcpu_time_info *ti, const char *tc_name, int tc_quality)
{
    pvclock_tc.tc_name = tc_name;
    pvclock_tc.tc_quality = tc_quality;
    pvclock_tc.tc_priv = ti;
    tc_init(&pvclock_tc);
}
