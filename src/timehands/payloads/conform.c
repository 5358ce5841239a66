/*
 * The conformance guest: it measures each clock of its machine and says what it saw, a line a case;
 * timehands.conform.judge knows what should have been seen. docs/conform.md tells of the lines.
 *
 *   timehands-conform 1         the first line
 *   B, C                        cases: conform_words.c
 *   H, S                        talk with the host: conform_host.c
 *   X vector code eip           an exception that nobody expected; the guest ends
 *   E tsc                       the end
 *
 * Every case is bounded by TSC cycles and by turns of its loop, so that a clock that stands still
 * ends it too; HLT is only used with a timer that was seen to wake.
 *
 * Words on the command line leave something out: host=off, smp=off, tsc=off, pvclock=off,
 * lapic=off, i8254=off, rtc=off, sleeping=off, events=off. Clocks are found all the same.
 */
#include "conform.h"

enum { PIC1_MASK = 0x21, PIC2_MASK = 0xa1, DEBUG_EXIT = 0xf4, KEYBOARD = 0x64, RESET_PULSE = 0xfe };
enum { TURNS_MOST = 1 << 25, SPIN = 64, SPINS_MOST = 1 << 20 };

static int has_lfence;

/* The TSC, read after all loads before it. */
uint64_t ordered_tsc(void)
{
    if (has_lfence)
        __asm__ volatile("lfence" : : : "memory");
    else
        cpuid(0, 0);
    return rdtsc();
}

int wrmsr64(uint32_t msr, uint64_t v)
{
    return try_wrmsr(msr, (uint32_t)v, (uint32_t)(v >> 32));
}

int rdmsr64(uint32_t msr, uint64_t *v)
{
    uint32_t words[2];
    int refused = (int)bare_rdmsr(msr, words);

    *v = (uint64_t)words[1] << 32 | words[0];
    return refused;
}

void wait_cycles(uint64_t cycles)
{
    uint64_t start = rdtsc();

    for (unsigned i = 0; i < TURNS_MOST && rdtsc() - start < cycles; i++)
        ;
}

/* Wait for an interrupt without HLT, so long at most. Returns whether one came: also one that waits
   when the time is over, since the guest may not have been run for all of it. */
int wait_irq(uint64_t cycles)
{
    uint64_t start = rdtsc();

    for (unsigned i = 0; i < SPINS_MOST && rdtsc() - start < cycles; i++)
        if (irq_spin(SPIN))
            return 1;
    return irq_spin(SPIN);
}

/* The ends that VMMs know: isa-debug-exit, the keyboard controller's reset, a triple fault. */
static void end(void)
{
    put_text("E");
    put_word(rdtsc());
    put_end();
    serial_release();
    outb(DEBUG_EXIT, 0);
    outb(KEYBOARD, RESET_PULSE);
    wait_cycles(LONG_WAIT);
    bare_end();
}

static void areas(const uint32_t *info)
{
    if (!option("tsc=off"))
        conform_tsc();
    if (!option("pvclock=off"))
        conform_pvclock(info);
    if (!option("lapic=off"))
        conform_lapic();
    if (!option("i8254=off"))
        conform_i8254();
    if (!option("rtc=off"))
        conform_rtc();
    if (!option("sleeping=off"))
        conform_sleeping();
}

void bare_main(const uint32_t *info)
{
    words_init(info);
    serial_init();
    put_text("timehands-conform 1\n");
    has_lfence = cpuid(1, 0).edx & 1 << 26 && !try_lfence();
    irq_init();
    outb(PIC1_MASK, 0xff);      /* firmware that was never there did not place their vectors */
    outb(PIC2_MASK, 0xff);
    smp_start();
    host_hello();
    conform_discovery();
    conform_pvclock_register();
    host_rows("first", 2);
    areas(info);
    host_rows("last", 1);
    conform_rtc_again();
    if (!option("events=off"))
        host_events();
    if (!option("tsc=off"))
        conform_tsc_writes();
    end();
}
