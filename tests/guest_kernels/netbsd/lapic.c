/* The local APIC's timer: measured roughly against the i8254, then against the TSC. */
#include "netbsd.h"

enum {
    LAPIC_EOI = 0xb0, LAPIC_SVR = 0xf0, LAPIC_LVT_TIMER = 0x320, LAPIC_ICR_TIMER = 0x380,
    LAPIC_CCR_TIMER = 0x390, LAPIC_DCR_TIMER = 0x3e0,
};
#define LAPIC_LVT_MASKED 0x10000
#define LAPIC_LVT_TMM_PERIODIC 0x20000
#define LAPIC_DCRT_DIV1 0x0b

uint32_t lapic_per_second, lapic_tval;
bool lapic_from_cpuid;
bool x2apic_mode;
static volatile uint32_t *local_apic_va;
static uint64_t lapic_frac_cycle_per_usec;
void (*delay_func)(unsigned int) = i8254_delay;
void (*x86_initclock_func)(void) = i8254_initclocks;

static uint32_t lapic_readreg(u_int reg)
{
    return local_apic_va[reg / 4];
}

static void lapic_writereg(u_int reg, uint32_t value)
{
    local_apic_va[reg / 4] = value;
}

static uint32_t lapic_gettick(void)
{
    return lapic_readreg(LAPIC_CCR_TIMER);
}

static u_int lapic_get_timecount(struct timecounter *tc)
{
    (void)tc;
    return lapic_tval - lapic_gettick();
}

static struct timecounter lapic_timecounter = {
    lapic_get_timecount, NULL, ~0u, 0, "lapic", -100, NULL, NULL,
};

void x86_delay(unsigned int usec)
{
    delay_func(usec);
}

void lapic_boot_init(vm_paddr_t address)
{
    local_apic_va = direct(address);
    lapic_writereg(LAPIC_SVR, 0x1ff);
}

/* Some 100 ns: each look at the LAPIC takes QEMU long when it counts instructions. */
static void rest(void)
{
    for (int i = 0; i < 50; i++)
        __asm__ volatile("");
}

static void lapic_delay(unsigned int usec)
{
    uint32_t before = lapic_gettick();
    int64_t left = (int64_t)(lapic_frac_cycle_per_usec * usec >> 32);
    while (left > 0) {
        uint32_t now = lapic_gettick();
        left -= now > before ? (int64_t)lapic_tval - (now - before) : (int64_t)(before - now);
        before = now;
        rest();
    }
}

/* Start the clock on this CPU, once it is known as well as it will be. */
static void lapic_initclock(void)
{
    if (!lapic_from_cpuid)
        lapic_calibrate_timer(true);
    lapic_timecounter.tc_frequency = lapic_per_second;
    tc_init(&lapic_timecounter);
    lapic_writereg(LAPIC_LVT_TIMER, LAPIC_LVT_TMM_PERIODIC | TIMER_VECTOR);
    lapic_writereg(LAPIC_DCR_TIMER, LAPIC_DCRT_DIV1);
    lapic_writereg(LAPIC_ICR_TIMER, lapic_tval);
}

/* The LAPIC's cycles in 10 ms of the i8254. */
static void measure_by_i8254(void)
{
    unsigned seen = 0, before;
    (void)gettick();
    uint32_t start = lapic_gettick();
    before = gettick();
    while (seen < TIMER_FREQ / 100) {
        unsigned now = gettick();
        seen += now > before ? (unsigned)x86_rtclock_tval - (now - before) : before - now;
        before = now;
    }
    uint64_t passed = start - lapic_gettick();
    lapic_per_second = (uint32_t)((passed * TIMER_FREQ + seen / 2) / seen);
}

/* In 50 ms of DELAY, against the TSC; rounded to kHz. */
static void measure_by_tsc(void)
{
    uint64_t t0 = cpu_counter();
    uint32_t l0 = lapic_gettick();
    t0 += cpu_counter();
    DELAY(50000);
    uint64_t t1 = cpu_counter();
    uint32_t l1 = lapic_gettick();
    t1 += cpu_counter();
    uint64_t tsc_hz = cpu_info_primary.ci_data.cpu_cc_freq;
    uint64_t rate = (uint64_t)(l0 - l1) * tsc_hz / ((t1 - t0 + 1) / 2);
    lapic_per_second = (uint32_t)((rate + 500) / 1000 * 1000);
}

void lapic_calibrate_timer(bool secondpass)
{
    aprint_debug("cpu0: [re]calibrating local timer\n");
    lapic_writereg(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED);
    lapic_writereg(LAPIC_DCR_TIMER, LAPIC_DCRT_DIV1);
    lapic_writereg(LAPIC_ICR_TIMER, 0x80000000);
    lapic_tval = 0x80000000;
    if (secondpass && cpu_hascounter())
        measure_by_tsc();
    else if (lapic_per_second == 0)
        measure_by_i8254();
    aprint_debug("cpu0: apic clock running at %u MHz\n", lapic_per_second / 1000000);
    if (lapic_per_second == 0)
        return;
    lapic_tval = lapic_per_second * 2 / (unsigned)hz;
    lapic_tval = lapic_tval / 2 + (lapic_tval & 1);
    lapic_writereg(LAPIC_LVT_TIMER, LAPIC_LVT_TMM_PERIODIC | LAPIC_LVT_MASKED | TIMER_VECTOR);
    lapic_writereg(LAPIC_ICR_TIMER, lapic_tval);
    lapic_frac_cycle_per_usec = ((uint64_t)lapic_per_second << 32) / 1000000;
    if (!secondpass) {
        delay_func = lapic_delay;
        x86_initclock_func = lapic_initclock;
        initrtclock(0);
    }
}

void lapic_clockintr(void)
{
    tc_ticktock();
    lapic_writereg(LAPIC_EOI, 0);
}

void timer_interrupt(void)
{
    lapic_clockintr();
}
