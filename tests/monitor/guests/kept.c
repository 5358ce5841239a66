/*
 * What must go on after a snapshot, on one vCPU. Reads pvclock whenever it has nothing else to do.
 *
 *   't'  T reads warps worst_ns stopped ns tsc
 *   'S'  sets all of the following up, and says S
 *   'g'  G count0 rtc_ram wall_version wall_sec wall_nsec dr0 sysenter
 *   'a'  arms the LAPIC's timer by a TSC deadline about half a second ahead: A deadline
 *   'i'  I whether it rang, deadline, tsc
 */
#include "guest.h"

enum { SYSTEM_TIME = 0x4b564d01, WALL_CLOCK = 0x4b564d00, SYSENTER_ESP = 0x175, DEADLINE = 0x6e0 };
enum { STOPPED = 2, VECTOR = 0x40, LVT_TIMER = 0xfee00320, IRR = 0xfee00200, BY_DEADLINE = 2 << 17 };
enum { RTC_RAM = 0x40, AHEAD = 1300000000 };

struct time_info {
    volatile uint32_t version;
    uint32_t pad0;
    uint64_t tsc_timestamp, system_time;
    uint32_t mul;
    int8_t shift;
    volatile uint8_t flags;
    uint8_t pad[2];
} __attribute__((aligned(32)));

static struct time_info page;
static volatile uint32_t wall[4] __attribute__((aligned(16)));
static uint64_t last, worst;
static uint32_t reads, warps, stopped;

static uint64_t scaled(uint64_t delta, uint32_t mul, int shift)
{
    delta = shift < 0 ? delta >> -shift : delta << shift;
    return (((delta & 0xffffffff) * mul) >> 32) + (delta >> 32) * mul;
}

static void read_one(void)
{
    uint32_t version;
    uint64_t ns;

    do {
        version = page.version & ~1u;
        __asm__ volatile("" : : : "memory");
        ns = page.system_time + scaled(rdtsc() - page.tsc_timestamp, page.mul, page.shift);
        __asm__ volatile("" : : : "memory");
    } while (version != page.version);
    reads++;
    if (ns < last) {
        warps++;
        if (last - ns > worst)
            worst = last - ns;
    }
    last = ns;
    if (page.flags & STOPPED) {
        stopped++;
        page.flags &= (uint8_t)~STOPPED;
    }
}

static void say_times(void)
{
    if (page.version)
        read_one();             /* not before we were asked */
    read_one();                 /* of now, not of before it was asked */
    put_text("T");
    put_word(reads);
    put_word(warps);
    put_word(worst);
    put_word(stopped);
    put_word(last);
    put_word(rdtsc());
    put_end();
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
            read_one();
        switch (get_char()) {
        case 't': say_times(); break;
        case 'S': set_up(); break;
        case 'g': say_all(); break;
        case 'a': arm(); break;
        case 'i': say_whether_it_rang(); break;
        case 's': return;
        }
    }
}
