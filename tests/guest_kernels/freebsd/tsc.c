/* The TSC: is its rate in CPUID, in the brand string, or to be measured; and as a timecounter. */
#include "freebsd.h"

uint64_t tsc_freq;
int tsc_is_invariant;
int smp_tsc;
static int tsc_early_calib_exact, tsc_shift = 1, tsc_disabled, tsc_skip_calibration;

static u_int tsc_get_timecount(struct timecounter *tc)
{
    (void)tc;
    return (u_int)rdtsc();
}

static u_int tsc_get_timecount_low(struct timecounter *tc)
{
    return (u_int)(rdtsc() >> (int)(intptr_t)tc->tc_priv);
}

static struct timecounter tsc_timecounter = {
    tsc_get_timecount, NULL, ~0u, 0, "TSC", 800, 0, NULL, NULL, NULL, NULL,
};

static bool tsc_freq_cpuid_vm(void)
{
    u_int regs[4];
    if (vm_guest == VM_GUEST_NO || hv_high < 0x40000010)
        return false;
    do_cpuid(0x40000010, regs);
    tsc_freq = (uint64_t)regs[0] * 1000;
    tsc_early_calib_exact = 1;
    return true;
}

static bool tsc_freq_cpuid(uint64_t *res)
{
    u_int regs[4];
    if (cpu_high >= 0x15) {
        do_cpuid(0x15, regs);
        if (regs[0] && regs[1] && regs[2]) {
            *res = (uint64_t)regs[2] * regs[1] / regs[0];
            return true;
        }
    }
    if (cpu_high >= 0x16) {
        do_cpuid(0x16, regs);
        *res = (uint64_t)regs[0] * 1000000;
        return regs[0] != 0;
    }
    return false;
}

/* "... @ 2.50GHz" of an Intel CPU: digits with two decimals, then G, M or T. */
static bool tsc_freq_intel_brand(uint64_t *res)
{
    u_int words[13] = {0};
    const char *brand = (const char *)words;
    if (strcmp(cpu_vendor, "GenuineIntel") || cpu_exthigh < 0x80000004)
        return false;
    for (u_int i = 0; i < 3; i++)
        do_cpuid(0x80000002 + i, words + 4 * i);
    const char *end = brand + strlen(brand);
    while (end > brand + 5 && strncmp(end - 2, "Hz", 2))
        end--;
    const char *digits = end - 7; /* D.DDxHz */
    if (digits < brand || digits[1] != '.')
        return false;
    uint64_t hundredths = (uint64_t)(digits[0] - '0') * 100 + (uint64_t)(digits[2] - '0') * 10 +
                          (uint64_t)(digits[3] - '0');
    *res = hundredths * (digits[4] == 'G' ? 10000000 : digits[4] == 'M' ? 10000 : 0);
    return *res != 0;
}

static void tsc_freq_tc(uint64_t *res)
{
    uint64_t start, end, overhead = 0;
    for (int i = 0; i < 8; i++) {
        start = rdtsc_ordered();
        DELAY(0);
        end = rdtsc_ordered();
        if (i > 0)
            overhead += end - start;
    }
    overhead >>= 3;
    start = rdtsc_ordered();
    DELAY(100000);
    end = rdtsc_ordered();
    *res = (end - start - overhead) * 10;
}

static void probe_tsc_freq_early(void)
{
    u_int regs[4];
    if (cpu_exthigh >= 0x80000007) {
        do_cpuid(0x80000007, regs);
        amd_pminfo = regs[3];
    }
    tsc_is_invariant = (amd_pminfo & 0x100) != 0;
    const char *source = NULL;
    if (tsc_freq_cpuid_vm())
        source = "hypervisor CPUID";
    else if (tsc_freq_cpuid(&tsc_freq))
        source = "CPUID";
    if (source && bootverbose)
        printf("Early TSC frequency %juHz derived from %s\n", tsc_freq, source);
}

static void probe_tsc_freq_late(void)
{
    if (tsc_freq != 0)
        return;
    if (!tsc_skip_calibration) {
        tsc_freq_tc(&tsc_freq);
        if (bootverbose)
            printf("Early TSC frequency %juHz calibrated from 8254 PIT\n", tsc_freq);
    } else if (tsc_freq_intel_brand(&tsc_freq)) {
        if (bootverbose)
            printf("Early TSC frequency %juHz derived from brand string\n", tsc_freq);
    } else {
        tsc_disabled = 1;
    }
}

void tsc_init(void)
{
    tsc_disabled = getenv_int("machdep.disable_tsc", 0);
    tsc_skip_calibration = getenv_int("machdep.disable_tsc_calibration", 0);
    tsc_shift = getenv_int("kern.timecounter.tsc_shift", 1);
    if (!(cpu_feature & CPUID_TSC) || tsc_disabled)
        return;
    probe_tsc_freq_early();
    if (getenv_int("kern.timecounter.invariant_tsc", 0))
        tsc_is_invariant = 1;
}

void start_TSC(void)
{
    if (!(cpu_feature & CPUID_TSC) || tsc_disabled)
        return;
    probe_tsc_freq_late();
}

void init_TSC_tc(void *dummy)
{
    (void)dummy;
    if (!(cpu_feature & CPUID_TSC) || tsc_disabled || tsc_freq == 0)
        return;
    if (tsc_is_invariant)
        tsc_timecounter.tc_quality = 1000;
    uint64_t max_freq = 0xffffffffu >> tsc_shift;
    int shift = 0;
    while (shift <= 31 && (tsc_freq >> shift) > max_freq)
        shift++;
    if (shift > 0) {
        tsc_timecounter.tc_get_timecount = tsc_get_timecount_low;
        tsc_timecounter.tc_name = "TSC-low";
        if (bootverbose)
            printf("TSC timecounter discards lower %d bit(s)\n", shift);
    }
    tsc_timecounter.tc_frequency = tsc_freq >> shift;
    tsc_timecounter.tc_priv = (void *)(intptr_t)shift;
}

void tsc_calibrate(void)
{
    if (tsc_disabled)
        return;
    if (!tsc_early_calib_exact) {
        uint64_t freq = clockcalib(rdtsc_ordered, "TSC");
        tsc_freq = freq;
        tsc_timecounter.tc_frequency = freq >> (int)(intptr_t)tsc_timecounter.tc_priv;
    }
    tc_init(&tsc_timecounter);
}
