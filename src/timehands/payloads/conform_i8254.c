/*
 * The conformance guest's i8254: latch, read-back, modes 0, 2 and 3, the gate, its interrupt.
 *
 * Sources: Intel 8254 data sheet; IBM PC/AT Technical Reference (port 0x61: gate and output of
 * channel 2); Intel 8259A data sheet.
 */
#include "conform.h"

enum {
    PIT = 0x40, CONTROL = 0x43, SPEAKER = 0x61, GATE = 1, SOUND = 2, OUT = 0x20,
    LATCH = 0x00, BOTH = 0x30, MODE_0 = 0, MODE_2 = 4, MODE_3 = 6, READ_BACK_STATUS = 0xe2,
    PIC1 = 0x20, PIC2 = 0xa0, PIC_EOI = 0x20, EXTINT = 0x700,
    LOOKS = 256, TICKS = 6, PERIOD = 11932, COUNT_DOWN = 5000, TURNS = 1 << 18,
};

static int counts;

uint32_t pit_latched(unsigned channel)
{
    uint32_t low;

    outb(CONTROL, (uint8_t)(channel << 6 | LATCH));
    low = inb((uint16_t)(PIT + channel));
    return low | (uint32_t)inb((uint16_t)(PIT + channel)) << 8;
}

static void load(unsigned channel, uint8_t mode, uint32_t count)
{
    outb(CONTROL, (uint8_t)(channel << 6 | BOTH | mode));
    outb((uint16_t)(PIT + channel), (uint8_t)count);
    outb((uint16_t)(PIT + channel), (uint8_t)(count >> 8));
}

static void gate(int on)
{
    uint8_t now = inb(SPEAKER);

    outb(SPEAKER, (uint8_t)((now & ~(GATE | SOUND)) | (on ? GATE : 0)));
}

void pit_free_run(void)
{
    uint32_t first;

    load(0, MODE_2, 0);
    first = pit_latched(0);
    counts = 0;
    for (unsigned i = 0; i < LOOKS && !counts; i++)
        counts = pit_latched(0) != first;
}

int pit_counts(void) { return counts; }

static int has_speaker(void) { return inb(SPEAKER) != 0xff; }

/* The latch holds the count while it goes on. */
static void latch(void)
{
    uint64_t t[4];
    uint32_t held, low, later;

    begin("i8254.latch");
    load(0, MODE_2, 0);
    wait_cycles(SHORT_WAIT / 4);
    t[0] = ordered_tsc();
    outb(CONTROL, LATCH);
    t[1] = ordered_tsc();
    wait_cycles(SHORT_WAIT);
    low = inb(PIT);
    held = low | (uint32_t)inb(PIT) << 8;
    t[2] = ordered_tsc();
    later = pit_latched(0);
    t[3] = ordered_tsc();
    data("i8254.latch");
    value("held", held);
    value("later", later);
    value("shortest", t[2] - t[1]);
    value("longest", t[3] - t[0]);
    put_end();
}

static uint8_t status(void)
{
    outb(CONTROL, READ_BACK_STATUS);
    return inb(PIT);
}

static void read_back(void)
{
    uint8_t mode_2, mode_3;

    begin("i8254.read_back");
    load(0, MODE_2, 0x1234);
    mode_2 = status();
    load(0, MODE_3, 0x1234);
    mode_3 = status();
    data("i8254.read_back");
    value("mode_2", mode_2);
    value("mode_3", mode_3);
    put_end();
}

/* As kernels time their TSC: count down on channel 2, and look for its output. */
static void mode_0(void)
{
    uint64_t t[4];
    unsigned turns = 0;
    uint8_t out_first;

    begin("i8254.mode_0");
    if (!has_speaker()) {
        skip("i8254.mode_0", "no-port-0x61");
        return;
    }
    gate(1);
    outb(CONTROL, 2 << 6 | BOTH | MODE_0);
    outb(PIT + 2, (uint8_t)COUNT_DOWN);
    t[0] = ordered_tsc();
    outb(PIT + 2, COUNT_DOWN >> 8);
    t[1] = ordered_tsc();
    t[2] = t[1];                /* before the last look at which it was low */
    out_first = inb(SPEAKER) & OUT;
    t[3] = ordered_tsc();
    while (!(inb(SPEAKER) & OUT) && turns++ < TURNS && t[3] - t[0] < PATIENT_WAIT) {
        t[2] = t[3];
        t[3] = ordered_tsc();
    }
    t[3] = ordered_tsc();
    data("i8254.mode_0");
    value("count", COUNT_DOWN);
    value("out_at_first", out_first);
    value("out", inb(SPEAKER) & OUT);
    value("shortest", t[2] - t[1]);
    value("longest", t[3] - t[0]);
    put_end();
}

/* Counts and the TSC time for them, in one mode. */
static void counted(const char *id, uint8_t mode)
{
    uint64_t t[4];
    uint32_t first, second;

    begin(id);
    load(0, mode, 0);
    wait_cycles(SHORT_WAIT / 16);
    t[0] = ordered_tsc();
    first = pit_latched(0);
    t[1] = ordered_tsc();
    wait_cycles(SHORT_WAIT);
    t[2] = ordered_tsc();
    second = pit_latched(0);
    t[3] = ordered_tsc();
    data(id);
    value("counts", (first - second) & 0xffff);
    value("shortest", t[2] - t[1]);
    value("longest", t[3] - t[0]);
    put_end();
}

/* A rising gate starts mode 2 anew; in mode 0 a low gate holds the count. */
static void gates(void)
{
    uint32_t after, held, later;
    uint64_t loaded[2], rose[2], looked[2];

    if (!has_speaker()) {
        skip("i8254.gate_starts", "no-port-0x61");
        skip("i8254.gate_holds", "no-port-0x61");
        return;
    }
    begin("i8254.gate_starts");
    gate(1);
    loaded[0] = ordered_tsc();
    load(2, MODE_2, 0);
    loaded[1] = ordered_tsc();
    wait_cycles(SHORT_WAIT);
    gate(0);
    rose[0] = ordered_tsc();
    gate(1);
    rose[1] = ordered_tsc();
    looked[0] = ordered_tsc();
    after = pit_latched(2);
    looked[1] = ordered_tsc();
    data("i8254.gate_starts");
    value("after", after);
    value("shortest", looked[0] - rose[1]);
    value("longest", looked[1] - rose[0]);
    value("shortest_loaded", looked[0] - loaded[1]);
    value("longest_loaded", looked[1] - loaded[0]);
    put_end();
    begin("i8254.gate_holds");
    load(2, MODE_0, 0xffff);
    gate(0);
    held = pit_latched(2);
    wait_cycles(SHORT_WAIT);
    later = pit_latched(2);
    gate(1);
    data("i8254.gate_holds");
    value("held", held);
    value("later", later);
    put_end();
}

static int has_pic(void)
{
    uint8_t mask;

    outb(PIC1 + 1, 0xfb);
    mask = inb(PIC1 + 1);
    outb(PIC1 + 1, 0xff);
    return mask == 0xfb;
}

/* Both PICs at PIC_VECTOR, all but interrupt 0 masked; what came before is forgotten. */
static void pic_start(void)
{
    outb(PIC1, 0x11);
    outb(PIC2, 0x11);
    outb(PIC1 + 1, PIC_VECTOR);
    outb(PIC2 + 1, PIC_VECTOR + 8);
    outb(PIC1 + 1, 4);
    outb(PIC2 + 1, 2);
    outb(PIC1 + 1, 1);
    outb(PIC2 + 1, 1);
    outb(PIC2 + 1, 0xff);
    outb(PIC1 + 1, 0xfe);
}

static void interrupts(void)
{
    uint64_t at[TICKS], start;
    unsigned n;

    begin("i8254.interrupt");
    if (!has_pic()) {
        skip("i8254.interrupt", "no-pic");
        return;
    }
    if (lapic_usable())
        mmio(LAPIC_BASE)[APIC_LINT0] = EXTINT;
    start = ordered_tsc();
    load(0, MODE_2, PERIOD);    /* which may interrupt at once, as its output rises */
    pic_start();
    for (n = 0; n < TICKS && wait_irq(PATIENT_WAIT); n++) {
        at[n] = irq_tsc - start;
        outb(PIC1, PIC_EOI);
    }
    outb(PIC1 + 1, 0xff);
    data("i8254.interrupt");
    value("count", PERIOD);
    value("wanted", TICKS);
    value("vector", irq_vector);
    if (n)
        values("at", at, n);
    put_end();
    if (lapic_usable())
        mmio(LAPIC_BASE)[APIC_LINT0] = MASKED | EXTINT;
    wait_irq(SHORT_WAIT);
    outb(PIC1, PIC_EOI);
}

void conform_i8254(void)
{
    static const char *const all[] = {
        "i8254.latch", "i8254.read_back", "i8254.mode_0", "i8254.mode_2", "i8254.mode_3",
        "i8254.gate_starts", "i8254.gate_holds", "i8254.interrupt",
    };

    pit_free_run();
    if (!counts) {
        for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
            skip(all[i], "no-i8254");
        return;
    }
    latch();
    read_back();
    mode_0();
    counted("i8254.mode_2", MODE_2);
    counted("i8254.mode_3", MODE_3);
    gates();
    interrupts();
    pit_free_run();
}
