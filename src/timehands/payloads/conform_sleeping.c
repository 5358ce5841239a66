/*
 * The conformance guest asleep: HLT until a timer wakes it, how late, and what the clocks did
 * meanwhile.
 */
#include "conform.h"

enum { SLEEPS = 16, ONE_SHOT = 0, BY_1 = 0xb, DEADLINE_FEATURE = 1 << 24, LONG_SLEEPS = 24 };

static uint32_t measured_shot(void)
{
    uint64_t start;
    uint32_t first, counted;

    lapic_free_run();
    start = ordered_tsc();
    first = mmio(LAPIC_BASE)[APIC_COUNT];
    wait_cycles(SHORT_WAIT);
    counted = first - mmio(LAPIC_BASE)[APIC_COUNT];
    return lapic_shot(counted, ordered_tsc() - start);
}

/* One sleep with the LAPIC's one-shot timer; 0 when it woke for no interrupt. */
static int doze(uint32_t count, uint64_t *armed, uint64_t *took)
{
    uint64_t start = ordered_tsc();
    int came;

    mmio(LAPIC_BASE)[APIC_TIMER] = TIMER_VECTOR;
    mmio(LAPIC_BASE)[APIC_DIVIDE] = BY_1;
    mmio(LAPIC_BASE)[APIC_INITIAL] = count;
    *armed = ordered_tsc() - start;
    came = irq_halt();
    *took = irq_tsc - start;
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
    return came;
}

static void with_lapic(uint32_t shot)
{
    uint64_t armed[SLEEPS], took[SLEEPS], counts[SLEEPS];
    unsigned n, woken = 0;

    begin("sleeping.lapic");
    for (n = 0; n < SLEEPS; n++) {
        counts[n] = shot / 4 * (1 + n % 4);
        woken += (unsigned)doze((uint32_t)counts[n], &armed[n], &took[n]);
    }
    data("sleeping.lapic");
    value("sleeps", SLEEPS);
    value("woken", woken);
    values("counts", counts, SLEEPS);
    values("armed", armed, SLEEPS);
    values("took", took, SLEEPS);
    put_end();
}

static void with_deadline(void)
{
    uint64_t wanted[SLEEPS], took[SLEEPS];
    unsigned n, woken = 0;

    begin("sleeping.deadline");
    if (!(cpuid(1, 0).ecx & DEADLINE_FEATURE)) {
        skip("sleeping.deadline", "no-tsc-deadline-in-cpuid");
        return;
    }
    mmio(LAPIC_BASE)[APIC_TIMER] = DEADLINE | TIMER_VECTOR;
    wrmsr64(MSR_TSC_DEADLINE, rdtsc() + SHORT_WAIT);
    if (!wait_irq(PATIENT_WAIT)) {
        skip("sleeping.deadline", "its-interrupt-does-not-come");
        return;
    }
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
    for (n = 0; n < SLEEPS; n++) {
        uint64_t start = ordered_tsc();

        wanted[n] = SHORT_WAIT / 4 * (1 + n % 4);
        wrmsr64(MSR_TSC_DEADLINE, start + wanted[n]);
        woken += (unsigned)irq_halt();
        took[n] = irq_tsc - start;
        mmio(LAPIC_BASE)[APIC_EOI] = 0;
    }
    mmio(LAPIC_BASE)[APIC_TIMER] = MASKED | TIMER_VECTOR;
    data("sleeping.deadline");
    value("sleeps", SLEEPS);
    value("woken", woken);
    values("wanted", wanted, SLEEPS);
    values("took", took, SLEEPS);
    put_end();
}

/* Whether the LAPIC's timer wakes at all, seen without HLT: else nothing would. */
static int wakes(uint32_t shot)
{
    int came;

    mmio(LAPIC_BASE)[APIC_TIMER] = TIMER_VECTOR;
    mmio(LAPIC_BASE)[APIC_DIVIDE] = BY_1;
    mmio(LAPIC_BASE)[APIC_INITIAL] = shot;
    came = wait_irq(PATIENT_WAIT);
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
    return came;
}

/* A while of nothing but HLT between two rows of the host's samples. */
static void clocks_asleep(uint32_t shot)
{
    uint64_t armed, took;

    begin("sleeping.clocks");
    host_rows("awake", 1);
    for (unsigned i = 0; i < LONG_SLEEPS; i++)
        doze(shot * 2, &armed, &took);
    host_rows("slept", 1);
    data("sleeping.clocks");
    value("sleeps", LONG_SLEEPS);
    put_end();
}

void conform_sleeping(void)
{
    uint32_t shot;

    if (!lapic_usable()) {
        skip("sleeping.lapic", "no-lapic-in-xapic-mode");
        skip("sleeping.deadline", "no-lapic-in-xapic-mode");
        skip("sleeping.clocks", "no-lapic-in-xapic-mode");
        return;
    }
    shot = measured_shot();
    if (!wakes(shot)) {
        skip("sleeping.lapic", "its-interrupt-does-not-come");
        skip("sleeping.deadline", "the-lapic-timer-does-not-wake");
        skip("sleeping.clocks", "the-lapic-timer-does-not-wake");
        return;
    }
    with_lapic(shot);
    with_deadline();
    clocks_asleep(shot);
}
