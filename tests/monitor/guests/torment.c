/*
 * Writes and reads ports, MSRs and addresses at random for as many rounds as the command line says
 * (hexadecimal; a seed after it), all but those that end a guest. Ends with its number of rounds.
 */
#include "guest.h"

enum { DEBUG_EXIT = 0xf4, KEYBOARD = 0x64, RESET = 0xcf9 };

static uint32_t state;

static uint32_t random(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static uint32_t number(const char **text)
{
    uint32_t value = 0;

    for (; **text > ' '; (*text)++)
        value = value << 4 | (uint32_t)(**text >= 'a' ? **text - 'a' + 10 : **text - '0');
    if (**text)
        (*text)++;
    return value;
}

/* Ports and MSRs of clocks come more often than the others. */
static uint16_t some_port(void)
{
    static const uint16_t known[] = {
        0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x80, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd,
        0x3fe, 0x3ff, 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x60,
    };

    if (random() & 3)
        return known[random() % (sizeof(known) / sizeof(*known))];
    return (uint16_t)random();
}

static int ends(uint16_t port)
{
    return (port >= DEBUG_EXIT - 3 && port < DEBUG_EXIT + 4)
        || (port >= KEYBOARD - 3 && port <= KEYBOARD) || (port >= RESET - 3 && port <= RESET);
}

static void some_access(void)
{
    uint16_t port = some_port();
    uint32_t value = random();

    if (ends(port))
        return;
    switch (random() % 6) {
    case 0: outb(port, (uint8_t)value); break;
    case 1: outw(port, (uint16_t)value); break;
    case 2: outl(port, value); break;
    case 3: inb(port); break;
    case 4: inw(port); break;
    case 5: inl(port); break;
    }
}

static void some_msr(void)
{
    static const uint32_t known[] = {
        0x10, 0x11, 0x12, 0x3b, 0x6e0, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03,
        0x4b564d04, 0x4b564d05, 0x40000020, 0x40000021,
    };
    uint32_t msr = random() & 1 ? random() : known[random() % (sizeof(known) / sizeof(*known))];
    uint32_t value[2];

    if (random() & 1)
        try_wrmsr(msr, (uint64_t)random() << 32 | random());
    else
        try_wrmsr(msr, random() & 0x1fffffd);
    bare_rdmsr(msr, value);
}

/* Between the memory and the LAPIC there is nothing but devices; the registers of virtio's, which
   take small numbers and addresses of memory, come as often as all others. */
static void some_address(void)
{
    uint32_t known = 0xc0001000 + (random() & 0x11fc);
    volatile uint32_t *place = mmio(random() & 1 ? known : 0xc0000000 + (random() & 0x0fffffff));

    if (random() & 1)
        *place = random() & 1 ? random() & 0x0f : random() & 0x01fffff0;
    else
        (void)*place;
}

void bare_main(const uint32_t *start_info)
{
    const char *text = command_line(start_info);
    uint32_t rounds = number(&text);

    state = number(&text) | 1;
    for (uint32_t i = 0; i < rounds; i++) {
        some_access();
        some_msr();
        some_address();
    }
    outl(DEBUG_EXIT, rounds);
}
