/*
 * The conformance guest's LAPIC timer: its rate under each divisor, one-shot and periodic mode,
 * masked, stopped.
 *
 * Source: Intel SDM volume 3, 10.5.4 (APIC timer) and figure 10-10 (divide configuration).
 */
#include "conform.h"

enum {
    ENABLED = 1 << 11, X2APIC = 1 << 10, DIVISORS = 8, TICKS = 12, BY_1 = 0xb, SHOT_LEAST = 1000,
};

/* How the divisors 1, 2, 4 ... 128 are written. */
static const uint8_t divide[DIVISORS] = {0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa};
static uint32_t shot;           /* a count that lasts about SHORT_WAIT */

/* Whether it is there, on, at its usual address, and spoken to by memory. */
int lapic_usable(void)
{
    uint64_t base;

    return cpuid(1, 0).edx & 1 << 9 && !rdmsr64(MSR_APIC_BASE, &base)
        && (base & (ENABLED | X2APIC)) == ENABLED && (base & ~(uint64_t)0xfff) == LAPIC_BASE;
}

static void set(uint32_t mode, uint8_t divisor, uint32_t count)
{
    mmio(LAPIC_BASE)[APIC_INITIAL] = 0;         /* what ran until now is not to fire in between */
    mmio(LAPIC_BASE)[APIC_TIMER] = mode | TIMER_VECTOR;
    mmio(LAPIC_BASE)[APIC_DIVIDE] = divisor;
    mmio(LAPIC_BASE)[APIC_INITIAL] = count;
}

/* Of counts and the cycles that they took: how many last one to two SHORT_WAITs. (A busy host makes
   every wait longer than was asked for.) */
uint32_t lapic_shot(uint32_t counted, uint64_t cycles)
{
    for (; cycles > 2 * SHORT_WAIT; cycles >>= 1)
        counted >>= 1;
    return counted > SHOT_LEAST ? counted : SHOT_LEAST;
}

void lapic_free_run(void)
{
    mmio(LAPIC_BASE)[APIC_SPURIOUS] = 0x100 | SPURIOUS_VECTOR;
    set(MASKED, BY_1, ~0u);
}

/* For each divisor: counts, the shortest and the longest TSC time in which they were counted. */
static void divisors(void)
{
    uint64_t counts[DIVISORS], shorts[DIVISORS], longs[DIVISORS];

    begin("lapic.divisors");
    for (unsigned i = 0; i < DIVISORS; i++) {
        uint64_t t[4];
        uint32_t first, second;

        set(MASKED, divide[i], ~0u);
        t[0] = ordered_tsc();
        first = mmio(LAPIC_BASE)[APIC_COUNT];
        t[1] = ordered_tsc();
        wait_cycles(SHORT_WAIT);
        t[2] = ordered_tsc();
        second = mmio(LAPIC_BASE)[APIC_COUNT];
        t[3] = ordered_tsc();
        counts[i] = first - second;
        shorts[i] = t[2] - t[1];
        longs[i] = t[3] - t[0];
    }
    shot = lapic_shot((uint32_t)counts[0], longs[0]);
    data("lapic.divisors");
    values("counts", counts, DIVISORS);
    values("shortest", shorts, DIVISORS);
    values("longest", longs, DIVISORS);
    put_end();
}

static void one_shot(void)
{
    uint64_t start[2];
    uint32_t left;
    int came, more;

    begin("lapic.one_shot");
    start[0] = ordered_tsc();
    set(0, BY_1, shot);
    start[1] = ordered_tsc();
    came = wait_irq(PATIENT_WAIT);
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
    left = mmio(LAPIC_BASE)[APIC_COUNT];
    data("lapic.one_shot");
    value("count", shot);
    value("start", start[0]);
    value("armed", start[1]);
    value("fired", (uint64_t)came);
    value("irq", came ? irq_tsc : 0);
    value("vector", irq_vector);
    value("left", left);
    more = wait_irq(2 * SHORT_WAIT);
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
    value("again", (uint64_t)more);
    put_end();
}

static void periodic(void)
{
    uint64_t at[TICKS], start;
    unsigned n;

    begin("lapic.periodic");
    start = ordered_tsc();
    set(PERIODIC, BY_1, shot);
    for (n = 0; n < TICKS && wait_irq(PATIENT_WAIT); n++) {
        at[n] = irq_tsc - start;
        mmio(LAPIC_BASE)[APIC_EOI] = 0;
    }
    set(MASKED, BY_1, 0);
    data("lapic.periodic");
    value("count", shot);
    value("wanted", TICKS);
    if (n)
        values("at", at, n);
    put_end();
    wait_irq(SHORT_WAIT);
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
}

static void masked(void)
{
    uint32_t before;

    begin("lapic.masked");
    before = irq_count;
    set(MASKED, BY_1, shot);
    wait_irq(4 * SHORT_WAIT);
    data("lapic.masked");
    value("interrupts", irq_count - before);
    value("left", mmio(LAPIC_BASE)[APIC_COUNT]);
    put_end();
}

static void stopped(void)
{
    uint32_t before;
    uint64_t start, stop;

    begin("lapic.stopped");
    before = irq_count;
    start = ordered_tsc();
    set(0, BY_1, shot * 8);
    mmio(LAPIC_BASE)[APIC_INITIAL] = 0;
    stop = ordered_tsc();
    wait_irq(20 * SHORT_WAIT);
    data("lapic.stopped");
    value("count", shot * 8);
    value("start", start);
    value("stop", stop);
    value("interrupts", irq_count - before);
    value("left", mmio(LAPIC_BASE)[APIC_COUNT]);
    put_end();
}

void conform_lapic(void)
{
    static const char *const all[] = {
        "lapic.divisors", "lapic.one_shot", "lapic.periodic", "lapic.masked", "lapic.stopped",
    };

    if (!lapic_usable()) {
        for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
            skip(all[i], "no-lapic-in-xapic-mode");
        return;
    }
    mmio(LAPIC_BASE)[APIC_SPURIOUS] = 0x100 | SPURIOUS_VECTOR;
    divisors();
    one_shot();
    periodic();
    masked();
    stopped();
}
