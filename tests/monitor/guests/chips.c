/*
 * The IOAPIC and the 8259s, by the i8254, the RTC, and the serial port's interrupt.
 *
 *   't'  five ticks of the i8254 by the first 8259: T vector ISR ISR-after-EOI, for each
 *   'c'  an interrupt of the RTC by the second 8259: C vector ISR-2 ISR-1 ISRs-after-EOI
 *   'i'  five ticks of the i8254 by pin 2 of the IOAPIC: I vector, for each
 *   'l'  the serial port's level at pin 4: L vector, entry, vector after an EOI too early, then,
 *        with the port served, the entry when none came any more, or what came after ten ends
 *   'h'  has it come, and neither serves nor ends it: H
 *   'e'  then ends it: E the vector that comes after it
 */
#include "guest.h"

extern uint32_t irq_vector, irq_count;
extern char irq_stubs[];
uint32_t irq_halt(void);
uint32_t irq_spin(uint32_t turns);

enum { FIRST = 0x20, SECOND = 0xa0, READ_ISR = 0x0b, EOI = 0x20, TICKS = 5, HZ_100 = 11932 };
enum { IOAPIC = 0xfec00000, WINDOW = 0x10, LAPIC_EOI = 0xfee000b0, MASKED = 1 << 16 };
enum { LEVEL = 1 << 15, SERIAL = 0x3f8, TURNS = 200000, SOME_TURNS = 1000, ENDS = 10 };
enum { BY_IOAPIC = 0x40, BY_SERIAL = 0x50 };

static uint64_t gates[0x60];

static void set_gates(void)
{
    struct { uint16_t limit; uint32_t base; } __attribute__((packed)) idt;

    __asm__ volatile("sidt %0" : "=m"(idt));
    for (unsigned i = 0; i < 0x60; i++) {
        uint32_t stub = (uint32_t)(uintptr_t)irq_stubs + 16 * (i - 0x20);
        gates[i] = i < 0x20 ? ((uint64_t *)(uintptr_t)idt.base)[i]
                            : (uint64_t)(stub & 0xffff0000u) << 32 | 0x8e0000080000ull | (stub & 0xffff);
    }
    idt.limit = sizeof gates - 1;
    idt.base = (uint32_t)(uintptr_t)gates;
    __asm__ volatile("lidt %0" : : "m"(idt));
}

static void start_pics(uint8_t first_mask, uint8_t second_mask)
{
    outb(FIRST, 0x11);
    outb(SECOND, 0x11);
    outb(FIRST + 1, 0x20);
    outb(SECOND + 1, 0x28);
    outb(FIRST + 1, 4);
    outb(SECOND + 1, 2);
    outb(FIRST + 1, 1);
    outb(SECOND + 1, 1);
    outb(FIRST + 1, first_mask);
    outb(SECOND + 1, second_mask);
    outb(FIRST, READ_ISR);
    outb(SECOND, READ_ISR);
}

static void start_ticks(void)
{
    outb(0x43, 0x34);
    outb(0x40, HZ_100 & 0xff);
    outb(0x40, HZ_100 >> 8);
}

static void stop_ticks(void)
{
    outb(0x43, 0x30);
}

static void tick_by_pics(void)
{
    put_text("T");
    start_pics(0xfe, 0xff);
    start_ticks();
    for (int i = 0; i < TICKS; i++) {
        put_word(irq_halt());
        put_word(inb(FIRST));
        outb(FIRST, EOI);
        put_word(inb(FIRST));
    }
    stop_ticks();
    outb(FIRST + 1, 0xff);
    put_end();
}

static uint8_t rtc(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void set_rtc(uint8_t index, uint8_t value)
{
    outb(0x70, index);
    outb(0x71, value);
}

static void rtc_by_pics(void)
{
    put_text("C");
    start_pics(0xfb, 0xfe);
    set_rtc(0x0a, 0x26);
    rtc(0x0c);
    set_rtc(0x0b, rtc(0x0b) | 0x40);
    put_word(irq_halt());
    put_word(inb(SECOND));
    put_word(inb(FIRST));
    set_rtc(0x0b, rtc(0x0b) & ~0x40);
    rtc(0x0c);
    outb(SECOND, EOI);
    outb(FIRST, EOI);
    put_word((uint32_t)inb(SECOND) | inb(FIRST));
    outb(FIRST + 1, 0xff);
    outb(SECOND + 1, 0xff);
    put_end();
}

static uint32_t entry(uint32_t pin)
{
    *mmio(IOAPIC) = 0x10 + 2 * pin;
    return *mmio(IOAPIC + WINDOW);
}

static void set_entry(uint32_t pin, uint32_t low)
{
    *mmio(IOAPIC) = 0x11 + 2 * pin;
    *mmio(IOAPIC + WINDOW) = 0;
    *mmio(IOAPIC) = 0x10 + 2 * pin;
    *mmio(IOAPIC + WINDOW) = low;
}

static void tick_by_ioapic(void)
{
    put_text("I");
    set_entry(2, BY_IOAPIC);
    start_ticks();
    for (int i = 0; i < TICKS; i++) {
        put_word(irq_halt());
        *mmio(LAPIC_EOI) = 0;
    }
    stop_ticks();
    set_entry(2, MASKED);
    put_end();
}

static uint32_t serial_interrupts(void)
{
    set_entry(4, LEVEL | BY_SERIAL);
    outb(SERIAL + 1, 2);
    return irq_spin(TURNS);
}

static void serve(void)
{
    inb(SERIAL + 2);
    outb(SERIAL + 1, 0);
    *mmio(LAPIC_EOI) = 0;
}

static void level_by_ioapic(void)
{
    uint32_t first = serial_interrupts(), held = entry(4);
    *mmio(LAPIC_EOI) = 0;
    uint32_t second = irq_spin(TURNS);
    serve();
    uint32_t last = irq_spin(SOME_TURNS);
    for (int i = 0; last && i < ENDS; i++) {
        *mmio(LAPIC_EOI) = 0;
        last = irq_spin(SOME_TURNS);
    }
    uint32_t released = last ? last : entry(4);

    set_entry(4, MASKED);
    put_text("L");
    put_word(first);
    put_word(held);
    put_word(second);
    put_word(released);
    put_end();
}

static void end_held(void)
{
    *mmio(LAPIC_EOI) = 0;
    uint32_t vector = irq_spin(TURNS);
    serve();
    put_text("E");
    put_word(vector);
    put_end();
}

void bare_main(const uint32_t *start_info)
{
    (void)start_info;
    serial_init();
    set_gates();
    *mmio(SPURIOUS) = 0x100 | 0x5f;
    start_pics(0xff, 0xff);
    put_text("begun\n");
    for (;;) {
        switch (get_char()) {
        case 't': tick_by_pics(); break;
        case 'c': rtc_by_pics(); break;
        case 'i': tick_by_ioapic(); break;
        case 'l': level_by_ioapic(); break;
        case 'h': serial_interrupts(); put_text("H\n"); break;
        case 'e': end_held(); break;
        }
    }
}
