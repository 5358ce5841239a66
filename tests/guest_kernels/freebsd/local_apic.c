/* The local APIC (xAPIC): its timer's rate from CPUID or by clockcalib, and its ticks. */
#include "freebsd.h"

enum {
    LAPIC_EOI = 0xb0, LAPIC_SVR = 0xf0, LAPIC_ICR_LO = 0x300, LAPIC_LVT_TIMER = 0x320,
    LAPIC_ICR_TIMER = 0x380, LAPIC_CCR_TIMER = 0x390, LAPIC_DCR_TIMER = 0x3e0,
};
#define LVT_MASKED 0x10000
#define LVT_PERIODIC 0x20000
#define LVT_DEADLINE 0x40000
#define DIVIDE_BY_2 0
#define MSR_TSC_DEADLINE 0x6e0

static volatile uint32_t *lapic_map;
static struct eventtimer lapic_et;
int x2apic_mode;
static int lapic_timer_tsc_deadline;
static u_long lapic_timer_divisor, count_freq;
static uint64_t lapic_ipi_wait_mult;

static uint32_t lapic_read32(u_int reg)
{
    return lapic_map[reg / 4];
}

static void lapic_write32(u_int reg, uint32_t value)
{
    lapic_map[reg / 4] = value;
}

static int lapic_et_start(struct eventtimer *et, sbintime_t first, sbintime_t period)
{
    (void)first;
    if (lapic_timer_tsc_deadline) {
        lapic_write32(LAPIC_LVT_TIMER, LVT_DEADLINE | TIMER_VECTOR);
        wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_freq / (unsigned)hz);
        return 0;
    }
    lapic_write32(LAPIC_DCR_TIMER, DIVIDE_BY_2);
    lapic_write32(LAPIC_LVT_TIMER, LVT_PERIODIC | TIMER_VECTOR);
    lapic_write32(LAPIC_ICR_TIMER, (uint32_t)(et->et_frequency * period >> 32));
    return 0;
}

static int lapic_et_stop(struct eventtimer *et)
{
    (void)et;
    lapic_write32(LAPIC_LVT_TIMER, LVT_MASKED | TIMER_VECTOR);
    return 0;
}

static void register_timer(void)
{
    u_int regs[4] = {0};
    if (cpu_high >= 6)
        do_cpuid(6, regs);
    bool arat = regs[0] & 4;
    lapic_et.et_name = "LAPIC";
    lapic_et.et_flags = ET_FLAGS_PERIODIC | ET_FLAGS_ONESHOT | ET_FLAGS_PERCPU;
    lapic_et.et_flags |= arat ? 0 : ET_FLAGS_C3STOP;
    lapic_et.et_quality = arat ? 600 : 100;
    lapic_timer_tsc_deadline = (cpu_feature2 & CPUID2_TSCDLT) && tsc_is_invariant &&
                               tsc_freq != 0 && getenv_int("hw.apic.timer_tsc_deadline", 1);
    lapic_et.et_start = lapic_et_start;
    lapic_et.et_stop = lapic_et_stop;
    et_register(&lapic_et);
}

static void measure_ipi_wait(void)
{
    uint64_t start = rdtsc();
    for (int i = 0; i < 1000; i++) {
        (void)lapic_read32(LAPIC_ICR_LO);
        spin();
    }
    uint64_t took = rdtsc() - start;
    uint64_t mult = tsc_freq * 1000 / (took * 1000000);
    lapic_ipi_wait_mult = mult ? mult : 1;
    if (bootverbose)
        printf("LAPIC: ipi_wait() us multiplier %ju (r %ju tsc %ju)\n", lapic_ipi_wait_mult, took,
               tsc_freq);
}

void lapic_init(vm_paddr_t address)
{
    TSENTER();
    lapic_map = direct(address);
    lapic_write32(LAPIC_SVR, 0x1ff);
    if (getenv_int("hint.apic.0.clock", 1))
        register_timer();
    KASSERT((cpu_feature & CPUID_TSC) != 0 && tsc_freq != 0, ("TSC not initialized"));
    measure_ipi_wait();
    TSEXIT();
}

static uint64_t cb_lapic_getcount(void)
{
    return 0xffffffff - lapic_read32(LAPIC_CCR_TIMER);
}

static bool count_freq_from_cpuid(void)
{
    u_int regs[4];
    if (vm_guest == VM_GUEST_NO || hv_high < 0x40000010)
        return false;
    do_cpuid(0x40000010, regs);
    uint64_t freq = (uint64_t)regs[1] * 1000;
    lapic_timer_divisor = 2;
    count_freq = freq / lapic_timer_divisor;
    return freq != 0;
}

static void lapic_calibrate_initcount(void)
{
    if (!count_freq_from_cpuid()) {
        lapic_timer_divisor = 2;
        lapic_write32(LAPIC_DCR_TIMER, DIVIDE_BY_2);
        lapic_write32(LAPIC_LVT_TIMER, LVT_MASKED | TIMER_VECTOR);
        lapic_write32(LAPIC_ICR_TIMER, 0xffffffff);
        uint64_t freq = clockcalib(cb_lapic_getcount, "lapic");
        count_freq = freq * 2 / lapic_timer_divisor;
    }
    if (bootverbose)
        printf("lapic: Divisor %lu, Frequency %lu Hz\n", lapic_timer_divisor, count_freq);
}

void lapic_calibrate_timer(void)
{
    if (lapic_map == NULL)
        return;
    lapic_calibrate_initcount();
    lapic_et.et_frequency = count_freq;
    lapic_et.et_min_period = count_freq ? (2ull << 32) / count_freq : 0;
    lapic_et.et_max_period = count_freq ? (0xfffffffeull << 32) / count_freq : 0;
    if (lapic_timer_tsc_deadline && bootverbose)
        printf("lapic: deadline tsc mode, Frequency %ju Hz\n", tsc_freq);
}

void lapic_handle_timer(void)
{
    lapic_write32(LAPIC_EOI, 0);
    if (lapic_timer_tsc_deadline)
        wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_freq / (unsigned)hz);
    if (lapic_et.et_event_cb)
        lapic_et.et_event_cb(&lapic_et, NULL);
}
