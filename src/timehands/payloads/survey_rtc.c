/*
 * The survey's RTC (MC146818 data sheet): its registers, the time that it shows, and whether its
 * periodic flag comes, at 1024 Hz, without waiting for a whole second.
 *
 *   R a b c d                             its status registers; "R -": it does not answer
 *   D sec min hour mday month year cent   the time, as the registers have it
 *   F edges first last now                periodic flags seen, the TSC at the first and last one
 */
#include "survey.h"

enum {
    INDEX = 0x70, DATA = 0x71,
    REG_A = 0xa, REG_B = 0xb, REG_C = 0xc, REG_D = 0xd, CENTURY = 0x32,
    UPDATING = 0x80, PERIODIC = 0x40, RATE_1024 = 6,
    EDGES = 12,
    LOOKS = 1 << 18,
    PATIENCE = 1 << 26,         /* TSC cycles */
};

static uint8_t get(uint8_t reg)
{
    outb(INDEX, reg | 0x80);    /* NMI off */
    return inb(DATA);
}

static void set(uint8_t reg, uint8_t value)
{
    outb(INDEX, reg | 0x80);
    outb(DATA, value);
}

static void read_time(uint8_t out[7])
{
    static const uint8_t regs[7] = {0, 2, 4, 7, 8, 9, CENTURY};
    unsigned patience = LOOKS / 16;

    while (patience-- && get(REG_A) & UPDATING)
        ;
    for (unsigned i = 0; i < 7; i++)
        out[i] = get(regs[i]);
}

/* The time, read until two readings agree (at most four times). */
static void put_time(void)
{
    uint8_t now[7], before[7];
    unsigned same = 0;

    read_time(now);
    for (unsigned i = 0; i < 4 && !same; i++) {
        for (unsigned k = 0; k < 7; k++)
            before[k] = now[k];
        read_time(now);
        same = 1;
        for (unsigned k = 0; k < 7; k++)
            same &= before[k] == now[k];
    }
    put_char('D');
    for (unsigned i = 0; i < 7; i++)
        put_word(now[i]);
    put_end();
}

static void put_flags(void)
{
    uint64_t start = rdtsc(), first = 0, last = 0;
    unsigned edges = 0;

    get(REG_C);                 /* clears the flags */
    for (unsigned i = 0; i < LOOKS && edges < EDGES && rdtsc() - start < PATIENCE; i++) {
        if (!(get(REG_C) & PERIODIC))
            continue;
        last = rdtsc();
        if (!edges++)
            first = last;
    }
    put_char('F');
    put_word(edges);
    put_word(first);
    put_word(last);
    put_word(rdtsc());
    put_end();
}

void survey_rtc(void)
{
    uint8_t a = get(REG_A), b = get(REG_B), d = get(REG_D);

    if (a == 0xff && b == 0xff && d == 0xff) {
        put_text("R -\n");
        return;
    }
    put_char('R');
    put_word(a);
    put_word(b);
    put_word(get(REG_C));
    put_word(d);
    put_end();
    put_time();
    set(REG_A, (a & 0x70) | RATE_1024);
    set(REG_B, b | PERIODIC);   /* interrupts are off: only the flag matters */
    put_flags();
    set(REG_A, a);
    set(REG_B, b);
}
