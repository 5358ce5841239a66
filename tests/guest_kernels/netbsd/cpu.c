/* The CPU: what it is, and how fast its TSC runs. */
#include "netbsd.h"

#define LAPIC_BASE 0xfee00000

struct cpu_info cpu_info_primary = {.ci_name = "cpu0"};

static void cpu_probe(struct cpu_info *ci)
{
    uint32_t regs[4];
    do_cpuid(0, regs);
    ci->ci_max_cpuid = regs[0];
    memcpy(ci->ci_vendor, &regs[1], 4);
    memcpy(ci->ci_vendor + 4, &regs[3], 4);
    memcpy(ci->ci_vendor + 8, &regs[2], 4);
    do_cpuid(1, regs);
    ci->ci_signature = regs[0];
    ci->ci_feat_val[0] = regs[3];
    ci->ci_feat_val[1] = regs[2];
    do_cpuid(0x80000000, regs);
    ci->ci_max_ext_cpuid = regs[0];
}

/* Cycles in a second, by 1000 delays of 100 us. */
static uint64_t measure_by_delay(void)
{
    uint64_t overhead = 0, freq = 0;
    for (int i = 0; i <= 8; i++) {
        uint64_t t0 = cpu_counter();
        delay_func(0);
        uint64_t t1 = cpu_counter();
        if (i > 0)
            overhead += t1 - t0;
    }
    overhead >>= 3;
    for (int i = 0; i < 1000; i++) {
        uint64_t t0 = cpu_counter();
        delay_func(100);
        freq += cpu_counter() - t0 - overhead;
    }
    return freq * 10;
}

APART void cpu_get_tsc_freq(struct cpu_info *ci)
{
    uint64_t freq = 0;
    bool again = ci->ci_data.cpu_cc_freq != 0;
    if (!cpu_hascounter())
        return;
    if (!again)
        freq = cpu_tsc_freq_cpuid(ci);
    if (freq != 0) {
        aprint_debug("cpu0: TSC freq from CPUID %ju Hz\n", freq);
    } else {
        freq = measure_by_delay();
        aprint_debug("cpu0: TSC freq from delay %ju Hz\n", freq);
    }
    uint64_t told = again ? cpu_tsc_freq_cpuid(ci) : 0;
    if (told != 0 && told != freq)
        aprint_verbose("cpu0: TSC freq calibrated %ju Hz\n", freq);
    ci->ci_data.cpu_cc_freq = freq;
}

static void cpu_attach(struct cpu_info *ci)
{
    printf("cpu0 at mainbus0 apid 0\n");
    cpu_probe(ci);
    tsc_setfunc(ci);
    cpu_get_tsc_freq(ci);
    if ((ci->ci_feat_val[0] & CPUID_APIC) && !word_is("lapic", "0")) {
        lapic_boot_init(LAPIC_BASE);
        lapic_calibrate_timer(false);
    }
}

void cpu_configure(void)
{
    startrtclock();
    printf("mainbus0 (root)\n");
    cpu_attach(&cpu_info_primary);
}

void cpu_boot_secondary_processors(void)
{
    tsc_tc_init();
}

/* The TSC again, now by the delay that is the best there is; then the clock that ticks. */
void cpu_initclocks(void)
{
    cpu_get_tsc_freq(&cpu_info_primary);
    (*x86_initclock_func)();
}
