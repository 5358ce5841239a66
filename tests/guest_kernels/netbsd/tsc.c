/* The TSC as a timecounter. */
#include "netbsd.h"

uint64_t tsc_freq;
int64_t tsc_drift_max = 1000;
static int64_t tsc_drift_observed;

static uint64_t cpu_counter_lfence(void)
{
    return rdtsc_ordered();
}

static uint64_t cpu_counter_mfence(void)
{
    __asm__ volatile("mfence" : : : "memory");
    return (rdtsc)();
}

uint64_t (*cpu_counter)(void) = cpu_counter_lfence;

static u_int tsc_get_timecount(struct timecounter *tc)
{
    (void)tc;
    return (u_int)cpu_counter();
}

static struct timecounter tsc_timecounter = {
    tsc_get_timecount, NULL, ~0u, 0, "TSC", 3000, NULL, NULL,
};

void tsc_setfunc(struct cpu_info *ci)
{
    bool amd = !strcmp(ci->ci_vendor, "AuthenticAMD");
    cpu_counter = amd ? cpu_counter_mfence : cpu_counter_lfence;
    aprint_verbose("%s: Use %s to serialize rdtsc\n", ci->ci_name, amd ? "mfence" : "lfence");
}

uint64_t cpu_frequency(struct cpu_info *ci)
{
    return ci->ci_data.cpu_cc_freq;
}

/* Families 0x15 and 0x16 of AMD have erratum 778. */
bool tsc_is_invariant(void)
{
    const struct cpu_info *ci = &cpu_info_primary;
    uint32_t regs[4], family = ci->ci_signature >> 8 & 0xf;
    if (family == 0xf)
        family += ci->ci_signature >> 20 & 0xff;
    if (!strcmp(ci->ci_vendor, "AuthenticAMD") && (family == 0x15 || family == 0x16))
        return false;
    if (ci->ci_max_ext_cpuid < 0x80000007)
        return false;
    do_cpuid(0x80000007, regs);
    return regs[3] & 0x100;
}

void tsc_tc_init(void)
{
    if (!cpu_hascounter())
        return;
    tsc_freq = cpu_frequency(&cpu_info_primary);
    if (!tsc_is_invariant()) {
        aprint_debug("TSC not known invariant on this CPU\n");
        tsc_timecounter.tc_quality = -100;
    } else if (tsc_drift_observed > tsc_drift_max) {
        printf("ERROR: %jd cycle TSC drift observed\n", tsc_drift_observed);
        tsc_timecounter.tc_quality = -100;
    }
    if (tsc_freq == 0)
        return;
    tsc_timecounter.tc_frequency = tsc_freq;
    tc_init(&tsc_timecounter);
}
