/* Where pvclock's records can be: tries the addresses below, and says of each whether it was
   refused. The command line is the memory's size in hexadecimal. */
#include "guest.h"

enum { SYSTEM_TIME = 0x4b564d01, WALL_CLOCK = 0x4b564d00, OLD_SYSTEM_TIME = 0x12 };

static uint64_t number(const char *text)
{
    uint64_t value = 0;

    for (; *text > ' '; text++)
        value = value << 4 | (uint64_t)(*text >= 'a' ? *text - 'a' + 10 : *text - '0');
    return value;
}

static void try(char tag, uint32_t msr, uint64_t value)
{
    uint32_t refused = try_wrmsr(msr, value);
    uint32_t kept[2];

    bare_rdmsr(msr, kept);
    put_char(tag);
    put_word(value);
    put_word(refused);
    put_word((uint64_t)kept[1] << 32 | kept[0]);
    put_end();
}

void bare_main(const uint32_t *start_info)
{
    uint64_t size = number(command_line(start_info));
    uint64_t places[] = {
        size - 64, size - 32, size - 28, size - 4, size, size - 62, 0x9000 - 16, 0xc0000000,
        0xfee00000, 0xfffffffc, 0x100000000, 1ull << 40, 1ull << 52, -32ull, 0,
    };

    serial_init();
    for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++) {
        try('S', SYSTEM_TIME, places[i] | 1);
        try('W', WALL_CLOCK, places[i]);
    }
    try('O', OLD_SYSTEM_TIME, 0x9001);
    try('S', SYSTEM_TIME, 0);
    outl(0xf4, 7);
}
