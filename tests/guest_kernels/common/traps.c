/* The interrupt table, and the ways to stop. */
#include "guest.h"

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

extern const char exception_stubs[32][16];
void timerint(void);
void spuriousint(void);
static struct gate idt[256];

static void set_gate(unsigned vector, const void *handler)
{
    uint64_t at = (uint64_t)handler;
    idt[vector] = (struct gate){(uint16_t)at, 0x20, 0, 0x8e, (uint16_t)(at >> 16),
                                (uint32_t)(at >> 32), 0};
}

void traps_init(void)
{
    struct table_pointer pointer = {sizeof(idt) - 1, (uint64_t)idt};
    for (unsigned vector = 0; vector < 32; vector++)
        set_gate(vector, exception_stubs[vector]);
    for (unsigned vector = 32; vector < 256; vector++)
        set_gate(vector, (const void *)spuriousint);
    set_gate(TIMER_VECTOR, (const void *)timerint);
    __asm__ volatile("lidt %0" : : "m"(pointer));
    outb(0x21, 0xff); /* nothing from the two 8259 */
    outb(0xa1, 0xff);
}

void halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

void idle(void)
{
    for (;;)
        __asm__ volatile("sti; hlt");
}

void reset(void)
{
    struct table_pointer nothing = {0, 0};
    __asm__ volatile("lidt %0; ud2" : : "m"(nothing));
    halt();
}
