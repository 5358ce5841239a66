/*
 * An HPET, by its registers alone; interrupts are seen in its status.
 *
 *   'c'  C counter tsc
 *   'o'  one-shot, 2 ms ahead, level: O the counter when its status was seen, the comparator
 *   'p'  periodic, 1 ms, level: P the counter when each of ten matches was seen
 *   'h'  as 'o', and leaves it unacknowledged: H
 *   'a'  acknowledges: A the status after it
 */
#include "guest.h"

enum { HPET = 0xfed00000, CONFIGURATION = 0x10, STATUS = 0x20, COUNTER = 0xf0 };
enum { TIMER = 0x100, COMPARATOR = 0x108, LEVEL = 2, INTERRUPTS = 4, PERIODIC = 8, SET = 0x40 };
enum { BITS_32 = 0x100, PIN_20 = 20 << 9, MS = 100000, MATCHES = 10 };

static volatile uint32_t *at(uint32_t offset)
{
    return mmio(HPET + offset);
}

static void wait_for_match(void)
{
    while (!(*at(STATUS) & 1))
        __asm__ volatile("pause");
}

static uint32_t one_shot(void)
{
    *at(TIMER) = LEVEL | INTERRUPTS | BITS_32 | PIN_20;
    uint32_t due = *at(COUNTER) + 2 * MS;
    *at(COMPARATOR) = due;
    wait_for_match();
    return due;
}

static void say_one_shot(void)
{
    uint32_t due = one_shot();
    put_text("O");
    put_word(*at(COUNTER));
    put_word(due);
    put_end();
    *at(STATUS) = 1;
}

static void say_periodic(void)
{
    uint32_t seen[MATCHES];

    *at(TIMER) = LEVEL | INTERRUPTS | PERIODIC | SET | BITS_32 | PIN_20;
    uint32_t first = *at(COUNTER) + MS;
    *at(COMPARATOR) = first;
    *at(COMPARATOR) = MS;
    for (int i = 0; i < MATCHES; i++) {
        wait_for_match();
        seen[i] = *at(COUNTER) - first;
        *at(STATUS) = 1;
    }
    *at(TIMER) = 0;
    *at(STATUS) = 1;
    put_text("P");
    for (int i = 0; i < MATCHES; i++)
        put_word(seen[i]);
    put_end();
}

void bare_main(const uint32_t *start_info)
{
    (void)start_info;
    serial_init();
    put_text("begun\n");
    *at(CONFIGURATION) = 1;
    for (;;) {
        switch (get_char()) {
        case 'c':
            put_text("C");
            put_word(*at(COUNTER));
            put_word(rdtsc());
            put_end();
            break;
        case 'o': say_one_shot(); break;
        case 'p': say_periodic(); break;
        case 'h': one_shot(); put_text("H\n"); break;
        case 'a':
            *at(STATUS) = 1;
            put_text("A");
            put_word(*at(STATUS));
            put_end();
            break;
        case 's': return;
        }
    }
}
