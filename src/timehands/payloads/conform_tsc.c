/*
 * The conformance guest's TSC cases: backwards steps on one processor, between processors, writes
 * to it, and its deadline timer.
 *
 * Sources: Intel SDM volume 3, 17.17 (TSC, IA32_TSC_ADJUST), 10.5.4.1 (TSC-deadline mode).
 */
#include "conform_turns.h"

enum {
    READS = 20000, READS_LEAST = 100, PINGS = 64, BIG_TURNS = 1 << 22,
    ADJUST_FEATURE = 1 << 1, DEADLINE_FEATURE = 1 << 24,
};
#define FAR ((uint64_t)1 << 40)         /* how far the TSC is moved: minutes */

/* What the shared variables of a case that runs on several processors hold. */
static volatile uint32_t go, asked;
static volatile uint64_t answer;

static void monotonic(void)
{
    uint64_t start = rdtsc(), before = start, back = 0, most = 0, still = 0, step = 0;
    unsigned n;

    begin("tsc.monotonic");
    for (n = 0; n < READS_LEAST || (n < READS && before - start < LONG_WAIT); n++) {
        uint64_t now = ordered_tsc();

        if (now < before) {
            back++;
            if (before - now > most)
                most = before - now;
        }
        still += now == before;
        if (now > before && now - before > step)
            step = now - before;
        before = now;
    }
    data("tsc.monotonic");
    value("reads", n);
    value("backwards", back);
    value("worst", most);
    value("same", still);
    value("longest_step", step);
    value("elapsed", before - start);
    put_end();
}

static uint64_t own_tsc(unsigned cpu, uint64_t *tsc)
{
    (void)cpu;
    return *tsc = ordered_tsc();
}

static void across(void)
{
    begin("tsc.across");
    if (smp_cpus() < 2) {
        skip("tsc.across", "one-vcpu");
        return;
    }
    if (!turns_take(own_tsc, READS)) {
        skip("tsc.across", "a-vcpu-did-not-come");
        return;
    }
    data("tsc.across");
    put_turns("worst");
    put_end();
}

/* The first processor asks, the one that is meant answers with its TSC. */
static volatile uint32_t partner;
static uint64_t low_bound, high_bound;

static void ask(void)
{
    uint64_t low = 0, high = ~(uint64_t)0;      /* both with FAR added, so that they are positive */

    for (uint32_t i = 1; i <= PINGS; i++) {
        uint64_t before = ordered_tsc(), after;
        unsigned turns = 0;

        __atomic_store_n(&asked, i, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&go, __ATOMIC_SEQ_CST) != i && turns++ < BIG_TURNS)
            ;
        after = ordered_tsc();
        if (turns >= BIG_TURNS)
            break;
        /* its offset is at least answer - after, at most answer - before */
        if (answer - after + FAR > low)
            low = answer - after + FAR;
        if (answer - before + FAR < high)
            high = answer - before + FAR;
    }
    low_bound = low;
    high_bound = high;
    __atomic_store_n(&asked, ~0u, __ATOMIC_SEQ_CST);
}

static void answer_all(void)
{
    uint32_t seen = 0;

    for (unsigned turns = 0; turns < BIG_TURNS; turns++) {
        uint32_t now = __atomic_load_n(&asked, __ATOMIC_SEQ_CST);

        if (now == ~0u)
            return;
        if (now == seen)
            continue;
        seen = now;
        turns = 0;
        answer = ordered_tsc();
        __atomic_store_n(&go, seen, __ATOMIC_SEQ_CST);
    }
}

static void ping(unsigned cpu)
{
    if (cpu == 0)
        ask();
    else if (cpu == partner)
        answer_all();
}

static void offsets(void)
{
    uint64_t low[SMP_MOST], high[SMP_MOST];
    unsigned n = smp_cpus();

    begin("tsc.offset");
    if (n < 2) {
        skip("tsc.offset", "one-vcpu");
        return;
    }
    for (partner = 1; partner < n; partner++) {
        asked = go = 0;
        if (!smp_run(ping)) {
            skip("tsc.offset", "a-vcpu-did-not-come");
            return;
        }
        low[partner - 1] = low_bound;
        high[partner - 1] = high_bound;
    }
    data("tsc.offset");
    value("zero", FAR);
    values("low", low, n - 1);
    values("high", high, n - 1);
    put_end();
}

/* Arm the deadline timer and see when it comes; the MSR then reads 0. */
static void deadline(void)
{
    uint64_t at, left = 0, start;
    uint32_t before = irq_count;
    int came, refused;

    begin("tsc.deadline");
    if (!(cpuid(1, 0).ecx & DEADLINE_FEATURE) || !lapic_usable()) {
        skip("tsc.deadline", "no-tsc-deadline-in-cpuid");
        return;
    }
    mmio(LAPIC_BASE)[APIC_TIMER] = DEADLINE | TIMER_VECTOR;
    start = rdtsc();
    at = start + SHORT_WAIT;
    refused = wrmsr64(MSR_TSC_DEADLINE, at);
    came = !refused && wait_irq(PATIENT_WAIT);
    rdmsr64(MSR_TSC_DEADLINE, &left);
    data("tsc.deadline");
    value("refused", (uint64_t)refused);
    value("fired", (uint64_t)came);
    value("set", start);
    value("deadline", at);
    value("irq", came ? irq_tsc : 0);
    value("vector", irq_vector);
    value("msr_after", left);
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
    at = rdtsc() + 8 * SHORT_WAIT;
    wrmsr64(MSR_TSC_DEADLINE, at);
    wrmsr64(MSR_TSC_DEADLINE, 0);                       /* disarmed: none may come */
    value("disarm", at);
    value("disarmed", ordered_tsc());
    value("after_disarm", (uint64_t)wait_irq(10 * SHORT_WAIT));
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
    wrmsr64(MSR_TSC_DEADLINE, rdtsc() - SHORT_WAIT);    /* one that is over comes at once */
    value("past_fired", (uint64_t)wait_irq(PATIENT_WAIT));
    mmio(LAPIC_BASE)[APIC_EOI] = 0;
    value("interrupts", irq_count - before);
    put_end();
    mmio(LAPIC_BASE)[APIC_TIMER] = MASKED | TIMER_VECTOR;
}

void conform_tsc(void)
{
    monotonic();
    across();
    offsets();
    deadline();
}

static void write_tsc(void)
{
    uint64_t adjust_before = 0, adjust_after = 0, before, after, target;
    int refused;

    begin("tsc.write");
    rdmsr64(MSR_TSC_ADJUST, &adjust_before);
    before = rdtsc();
    target = before + FAR;
    refused = wrmsr64(MSR_TSC, target);
    after = rdtsc();
    rdmsr64(MSR_TSC_ADJUST, &adjust_after);
    wrmsr64(MSR_TSC, rdtsc() - FAR);
    data("tsc.write");
    value("refused", (uint64_t)refused);
    value("before", before);
    value("written", target);
    value("after", after);
    value("restored", rdtsc());
    value("adjust_before", adjust_before);
    value("adjust_after", adjust_after);
    put_end();
}

static void adjust_tsc(void)
{
    uint64_t adjust = 0, again = 0, before, after;
    int refused;

    begin("tsc.adjust");
    if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).ebx & ADJUST_FEATURE)) {
        skip("tsc.adjust", "no-tsc-adjust-in-cpuid");
        return;
    }
    refused = rdmsr64(MSR_TSC_ADJUST, &adjust);
    before = rdtsc();
    refused |= wrmsr64(MSR_TSC_ADJUST, adjust + FAR);
    after = rdtsc();
    rdmsr64(MSR_TSC_ADJUST, &again);
    wrmsr64(MSR_TSC_ADJUST, adjust);
    data("tsc.adjust");
    value("refused", (uint64_t)refused);
    value("by", FAR);
    value("before", before);
    value("after", after);
    value("read_back", again - adjust);
    value("restored", rdtsc());
    put_end();
}

/* Last of all: clocks that are made of the TSC may not survive them. */
void conform_tsc_writes(void)
{
    write_tsc();
    adjust_tsc();
}
