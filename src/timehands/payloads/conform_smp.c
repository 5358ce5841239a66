/*
 * The conformance guest's other processors: started by broadcast INIT and start-up interrupts,
 * then asleep until the first one gives all of them the same work.
 *
 * Source: Intel SDM volume 3, 8.4.4 (MP initialization), 10.6.1 (interrupt command register).
 */
#include "conform.h"

enum {
    TRAMPOLINE = 0x70000,
    ALL_BUT_SELF = 3 << 18, ASSERT = 1 << 14, INIT = 5 << 8, STARTUP = 6 << 8,
    PENDING = 1 << 12, LOOKS = 1 << 16,
    SETTLE = 1 << 25,           /* TSC cycles without a new processor: no more come */
    PATIENCE = 1 << 24,         /* turns: for a processor that was given work */
};

void smp_sleep(const volatile uint32_t *word, uint32_t value);
extern char smp_trampoline[], smp_trampoline_end[];
static void (*volatile job)(unsigned cpu);
static volatile uint32_t number, started, done, lost;

static void send(uint32_t command)
{
    mmio(LAPIC_BASE)[APIC_ICR_HIGH] = 0;
    mmio(LAPIC_BASE)[APIC_ICR] = ALL_BUT_SELF | ASSERT | command;
    for (unsigned i = 0; i < LOOKS && mmio(LAPIC_BASE)[APIC_ICR] & PENDING; i++)
        ;
}

static void settle(void)
{
    uint32_t seen;

    do {
        seen = smp_count;
        wait_cycles(SETTLE);
    } while (smp_count != seen);
}

void smp_start(void)
{
    volatile char *to = (volatile char *)TRAMPOLINE;

    if (!lapic_usable() || option("smp=off"))
        return;
    mmio(LAPIC_BASE)[APIC_SPURIOUS] = 0x100 | SPURIOUS_VECTOR;
    for (unsigned i = 0; smp_trampoline + i < smp_trampoline_end; i++)
        to[i] = smp_trampoline[i];
    send(INIT);
    wait_cycles(SETTLE);
    send(STARTUP | TRAMPOLINE >> 12);
    wait_cycles(SHORT_WAIT);
    send(STARTUP | TRAMPOLINE >> 12);
    settle();
}

/* How many processors there are, the first one counted. */
unsigned smp_cpus(void)
{
    return lost ? 1 : (smp_count < SMP_MOST ? smp_count : SMP_MOST - 1) + 1;
}

void smp_main(unsigned cpu)
{
    uint32_t seen = number;

    mmio(LAPIC_BASE)[APIC_SPURIOUS] = 0x100 | SPURIOUS_VECTOR;
    for (;;) {
        smp_sleep(&number, seen);
        seen = number;
        __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
        job(cpu);
        __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
    }
}

static int reached(volatile uint32_t *count, uint32_t wanted)
{
    for (unsigned i = 0; i < PATIENCE; i++)
        if (*count >= wanted)
            return 1;
    return 0;
}

/* All processors do this work, the first one too (as 0). Returns 0 when one did not come. */
int smp_run(void (*work)(unsigned cpu))
{
    uint32_t others = smp_cpus() - 1;

    job = work;
    started = done = 0;
    if (others) {
        __atomic_add_fetch(&number, 1, __ATOMIC_SEQ_CST);
        send(SMP_VECTOR);
        lost = !reached(&started, others);
    }
    work(0);
    if (others && !lost)
        lost = !reached(&done, others);
    return !lost;
}

void lock(volatile uint32_t *word)
{
    while (__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE))
        while (*word)
            __asm__ volatile("pause");
}

void unlock(volatile uint32_t *word)
{
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
}
