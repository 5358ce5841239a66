/*
 * What must go on after a snapshot, on one vCPU. Reads pvclock whenever it has nothing else to do.
 *
 *   't'  the line of time_page.h
 *   'S'  sets all of the following up, and says S
 *   'g'  G count0 rtc_ram wall_version wall_sec wall_nsec dr0 sysenter
 *   'a'  arms the LAPIC's timer by a TSC deadline about half a second ahead: A deadline
 *   'i'  I whether it rang, deadline, tsc
 */
#include "time_page.h"

enum { SYSTEM_TIME = 0x4b564d01, WALL_CLOCK = 0x4b564d00, SYSENTER_ESP = 0x175, DEADLINE = 0x6e0 };
enum { VECTOR = 0x40, LVT_TIMER = 0xfee00320, IRR = 0xfee00200, BY_DEADLINE = 2 << 17 };
enum { RTC_RAM = 0x40, AHEAD = 1300000000 };

static struct time_info page;
static volatile uint32_t wall[4] __attribute__((aligned(16)));

static void say_times_of_now(void)
{
    if (page.version)
        read_one(&page);        /* not before we were asked */
    read_one(&page);            /* of now, not of before it was asked */
    say_times();
}

static void set_up(void)
{
    outb(0x43, 0x34);           /* channel 0, both bytes, mode 2 */
    outb(0x40, 0);
    outb(0x40, 0);
    outb(0x70, RTC_RAM);
    outb(0x71, 0x5a);
    try_wrmsr(WALL_CLOCK, (uint32_t)(uintptr_t)wall);
    try_wrmsr(SYSENTER_ESP, 0x12345678);
    __asm__ volatile("movl %0, %%dr0" : : "r"(0x00c0ffee));
    put_text("S");
    put_end();
}

static void say_all(void)
{
    uint32_t msr[2], dr0;

    outb(0x43, 0x00);
    uint32_t low = inb(0x40);
    put_text("G");
    put_word(low | (uint32_t)inb(0x40) << 8);
    outb(0x70, RTC_RAM);
    put_word(inb(0x71));
    for (int i = 0; i < 3; i++)
        put_word(wall[i]);
    __asm__ volatile("movl %%dr0, %0" : "=r"(dr0));
    put_word(dr0);
    bare_rdmsr(SYSENTER_ESP, msr);
    put_word(msr[0]);
    put_end();
}

static uint64_t deadline(void)
{
    uint32_t value[2];

    bare_rdmsr(DEADLINE, value);
    return (uint64_t)value[1] << 32 | value[0];
}

static void arm(void)
{
    *mmio(SPURIOUS) = APIC_ON;
    *mmio(LVT_TIMER) = BY_DEADLINE | VECTOR;
    uint64_t at = rdtsc() + AHEAD;
    try_wrmsr(DEADLINE, at);
    put_text("A");
    put_word(at);
    put_end();
}

static void say_whether_it_rang(void)
{
    put_text("I");
    put_word(*mmio(IRR + 0x10 * (VECTOR / 32)) >> VECTOR % 32 & 1);
    put_word(deadline());
    put_word(rdtsc());
    put_end();
}

void bare_main(const uint32_t *start_info)
{
    (void)start_info;
    serial_init();
    put_text("begun\n");
    try_wrmsr(SYSTEM_TIME, (uint32_t)(uintptr_t)&page | 1);
    for (;;) {
        if (page.version)
            read_one(&page);
        switch (get_char()) {
        case 't': say_times_of_now(); break;
        case 'S': set_up(); break;
        case 'g': say_all(); break;
        case 'a': arm(); break;
        case 'i': say_whether_it_rang(); break;
        case 's': return;
        }
    }
}
