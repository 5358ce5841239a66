/*
 * Reads pvclock for ever, on as many vCPUs as the first digit of the command line says, and counts
 * what must not be. Says "begun" when it listens, and on 't': T reads warps worst_ns stopped ns tsc. 's': stop asking, and end.
 */
#include "guest.h"

enum { SYSTEM_TIME = 0x4b564d01, STOPPED = 2, MOST = 8 };

struct time_info {
    volatile uint32_t version;
    uint32_t pad0;
    uint64_t tsc_timestamp, system_time;
    uint32_t mul;
    int8_t shift;
    volatile uint8_t flags;
    uint8_t pad[2];
} __attribute__((aligned(32)));

static struct time_info pages[MOST];
static volatile uint32_t lock;
static uint64_t last, worst;
static uint32_t reads, warps, stopped;

static uint64_t scaled(uint64_t delta, uint32_t mul, int shift)
{
    delta = shift < 0 ? delta >> -shift : delta << shift;
    return (((delta & 0xffffffff) * mul) >> 32) + (delta >> 32) * mul;
}

static uint64_t now(struct time_info *page)
{
    uint32_t version;
    uint64_t ns;

    do {
        version = page->version & ~1u;
        __asm__ volatile("" : : : "memory");
        ns = page->system_time + scaled(rdtsc() - page->tsc_timestamp, page->mul, page->shift);
        __asm__ volatile("" : : : "memory");
    } while (version != page->version);
    return ns;
}

static void read_one(struct time_info *page)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        __asm__ volatile("pause");
    uint64_t ns = now(page);
    reads++;
    if (ns < last) {
        warps++;
        if (last - ns > worst)
            worst = last - ns;
    }
    last = ns;
    if (page->flags & STOPPED) {
        stopped++;
        __asm__ volatile("lock andb %1, %0" : "+m"(page->flags) : "i"((uint8_t)~STOPPED));
    }
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static void say(void)
{
    put_text("T");
    put_word(reads);
    put_word(warps);
    put_word(worst);
    put_word(stopped);
    put_word(last);
    put_word(rdtsc());
    put_end();
}

static void attach(uint32_t number)
{
    uint32_t address = (uint32_t)(uintptr_t)&pages[number] | 1;

    __asm__ volatile("wrmsr" : : "c"(SYSTEM_TIME), "a"(address), "d"(0) : "memory");
}

void other_main(uint32_t number)
{
    attach(number);
    for (;;)
        read_one(&pages[number]);
}

void bare_main(const uint32_t *start_info)
{
    serial_init();
    put_text("begun\n");
    attach(0);
    if (command_line(start_info)[0] > '1')
        start_others((uint32_t)(command_line(start_info)[0] - '1'));
    for (;;) {
        for (int i = 0; i < 16; i++)
            read_one(&pages[0]);
        int c = get_char();
        if (c == 't') {
            read_one(&pages[0]);    /* not before we were asked */
            say();
        }
        if (c == 's')
            return;
    }
}
