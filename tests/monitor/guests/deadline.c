/*
 * Arms the LAPIC timer by a TSC deadline, ahead by as many cycles as the command line says
 * (hexadecimal), and says when its interrupt was pending: D announced armed fired late_by.
 */
#include "guest.h"

enum { LVT_TIMER = 0xfee00320, IRR_64 = 0xfee00220, DEADLINE_MODE = 2 << 17, VECTOR = 64 };
enum { DEADLINE = 0x6e0, PATIENCE_SHIFT = 33 };

static uint64_t number(const char *text)
{
    uint64_t value = 0;

    for (; *text > ' '; text++)
        value = value << 4 | (uint64_t)(*text >= 'a' ? *text - 'a' + 10 : *text - '0');
    return value;
}

void bare_main(const uint32_t *start_info)
{
    uint64_t deadline, now;

    serial_init();
    *mmio(SPURIOUS) = APIC_ON;
    *mmio(LVT_TIMER) = DEADLINE_MODE | VECTOR;
    deadline = rdtsc() + number(command_line(start_info));
    uint32_t refused = try_wrmsr(DEADLINE, deadline);
    do
        now = rdtsc();
    while (!(*mmio(IRR_64) & 1) && now - deadline + (1ull << 32) < 1ull << PATIENCE_SHIFT);
    now = rdtsc();
    put_text("D");
    put_word(cpuid(1, 0).ecx >> 24 & 1);
    put_word(!refused);
    put_word(*mmio(IRR_64) & 1);
    put_word(now >= deadline ? now - deadline : 0);
    put_end();
    outl(0xf4, 1);
}
