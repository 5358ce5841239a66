/*
 * Calls tick for ever, on as many vCPUs as the first digit of the command line says; each call
 * counts and does what the second letter asks: 'o' writes a port, 'i' reads one, 'n' neither.
 * Says "begun" first.
 */
#include "guest.h"

volatile uint32_t ticks, ready;
static char what;

__attribute__((noinline)) void tick(void)
{
    ticks++;
    if (what == 'o')
        outb(0x80, (uint8_t)ticks);
    if (what == 'i')
        inb(0x84);
}

void other_main(uint32_t number)
{
    (void)number;
    for (;;)
        tick();
}

void bare_main(const uint32_t *start_info)
{
    const char *words = command_line(start_info);

    serial_init();
    what = words[1];
    put_text("begun\n");
    if (words[0] > '1')
        start_others((uint32_t)(words[0] - '1'));
    for (;;)
        tick();
}
