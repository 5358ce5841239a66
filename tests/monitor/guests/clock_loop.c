/*
 * Reads pvclock for ever, on as many vCPUs as the first digit of the command line says, and counts
 * what must not be. Says "begun" when it listens, and the line of time_page.h on 't'. 's': stop
 * asking, and end.
 */
#include "time_page.h"

enum { SYSTEM_TIME = 0x4b564d01, MOST = 8 };

static struct time_info pages[MOST];
static volatile uint32_t lock;

static void read_in_turn(struct time_info *page)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        __asm__ volatile("pause");
    read_one(page);
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
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
        read_in_turn(&pages[number]);
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
            read_in_turn(&pages[0]);
        int c = get_char();
        if (c == 't') {
            read_in_turn(&pages[0]);    /* not before we were asked */
            say_times();
        }
        if (c == 's')
            return;
    }
}
