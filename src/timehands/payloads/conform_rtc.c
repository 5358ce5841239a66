/*
 * The conformance guest's RTC: its date, its flags, and whether its seconds go on.
 *
 * Source: Motorola MC146818A data sheet; the century register is the PC's (0x32).
 */
#include "conform.h"

enum {
    INDEX = 0x70, DATA = 0x71, REG_A = 0xa, REG_B = 0xb, REG_C = 0xc, REG_D = 0xd, CENTURY = 0x32,
    UPDATING = 0x80, PERIODIC_FLAG = 0x40, RATE_128 = 9, FIELDS = 7, EDGES = 12,
    LOOKS = 1 << 18, CHANGE_LOOKS = 1 << 22, CHANGES = 3, SECONDS_LOOKS = 4,
};

/* A second and more on any machine. */
#define CHANGE_CYCLES ((uint64_t)5 << 31)

/* On a busy host, for a dozen flags that take 0.1 s. */
#define FLAGS_WAIT ((uint64_t)4 * PATIENT_WAIT)

static int there;             /* and its cases have begun */

static uint8_t get(uint8_t reg)
{
    outb(INDEX, reg | 0x80);    /* NMI off */
    return inb(DATA);
}

static void set(uint8_t reg, uint8_t v)
{
    outb(INDEX, reg | 0x80);
    outb(DATA, v);
}

static void read_date(uint64_t out[FIELDS])
{
    static const uint8_t regs[FIELDS] = {0, 2, 4, 7, 8, 9, CENTURY};
    unsigned patience = LOOKS / 16;

    while (patience-- && get(REG_A) & UPDATING)
        ;
    for (unsigned i = 0; i < FIELDS; i++)
        out[i] = get(regs[i]);
}

/* The date, read until two readings agree (at most four times). */
static void put_date(const char *id, unsigned changed)
{
    uint64_t now[FIELDS], before[FIELDS], t, after;
    unsigned same = 0;

    t = ordered_tsc();
    read_date(now);
    for (unsigned i = 0; i < 4 && !same; i++) {
        for (unsigned k = 0; k < FIELDS; k++)
            before[k] = now[k];
        t = ordered_tsc();
        read_date(now);
        same = 1;
        for (unsigned k = 0; k < FIELDS; k++)
            same &= before[k] == now[k];
    }
    after = ordered_tsc();
    data(id);
    values("date", now, FIELDS);
    value("register_b", get(REG_B));
    value("register_d", get(REG_D));
    value("tsc", t);
    value("tsc_after", after);
    value("changed", changed);
    put_end();
}

static void flags(void)
{
    uint8_t a = get(REG_A), b = get(REG_B);
    uint64_t at[EDGES], start;
    unsigned n = 0;

    begin("rtc.periodic");
    set(REG_A, (a & 0x70) | RATE_128);
    start = ordered_tsc();              /* before its timer runs, which a host may be late for */
    set(REG_B, b | PERIODIC_FLAG);      /* interrupts are off: only the flag matters */
    get(REG_C);                         /* clears what was there before */
    for (unsigned i = 0; i < LOOKS && n < EDGES && rdtsc() - start < FLAGS_WAIT; i++)
        if (get(REG_C) & PERIODIC_FLAG)
            at[n++] = ordered_tsc() - start;
    set(REG_A, a);
    set(REG_B, b);
    get(REG_C);
    data("rtc.periodic");
    value("hz", 128);
    value("wanted", EDGES);
    if (n)
        values("at", at, n);
    put_end();
}

void conform_rtc(void)
{
    there = !(get(REG_A) == 0xff && get(REG_B) == 0xff && get(REG_D) == 0xff);
    if (!there) {
        skip("rtc.date", "no-rtc");
        skip("rtc.periodic", "no-rtc");
        skip("rtc.goes_on", "no-rtc");
        skip("rtc.update", "no-rtc");
        return;
    }
    begin("rtc.date");
    put_date("rtc.date", 0);
    flags();
}

/* A look at the update flag, and a few at the second: until that changes, up to three times, if the
   flag was not seen. (On a busy host it is easily missed.) The last look at the flag that was before
   a change, and the change, lie within so many cycles; the least of them counts. Returns how often
   the second changed. */
static unsigned update(void)
{
    uint64_t start = rdtsc(), flag = start, before = 0, within = ~(uint64_t)0;
    uint32_t looks = 0, seen = 0, changes = 0;
    uint8_t second = get(0), now;

    while (changes < CHANGES && looks < CHANGE_LOOKS && flag - start < CHANGE_CYCLES) {
        outb(INDEX, REG_A | 0x80);
        flag = ordered_tsc();
        seen += !!(inb(DATA) & UPDATING);
        looks++;
        outb(INDEX, 0x80);
        for (unsigned i = 0; i < SECONDS_LOOKS; i++) {
            now = inb(DATA);
            if (now == second) {
                before = flag;          /* the second was still the old one after that look */
                continue;
            }
            if (before && ordered_tsc() - before < within)
                within = ordered_tsc() - before;
            second = now;
            before = 0;
            changes++;
            break;
        }
        if (changes && seen)
            break;
    }
    data("rtc.update");
    value("looks", looks);
    value("seen", seen);
    value("changes", changes);
    value("within", within);
    put_end();
    return changes;
}

void conform_rtc_again(void)
{
    unsigned changes;

    if (!there)
        return;
    begin("rtc.update");
    changes = update();
    begin("rtc.goes_on");
    put_date("rtc.goes_on", changes != 0);
}
