/* What the guests of these tests share. */
#ifndef GUEST_H
#define GUEST_H

#include "bare.h"

extern uint32_t bare_fixup, bare_faults;

/* 0, or 1 when the CPU refused. */
static inline uint32_t try_wrmsr(uint32_t msr, uint64_t value)
{
    uint32_t faults;

    __asm__ volatile("movl $1f, bare_fixup\n\t"
                     "wrmsr\n"
                     "1:\tmovl $0, bare_fixup\n\t"
                     "movl bare_faults, %0\n\t"
                     "movl $0, bare_faults"
                     : "=r"(faults)
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
    return faults;
}

static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* The command line that PVH's start_info tells of. */
static inline const char *command_line(const uint32_t *start_info)
{
    return (const char *)(uintptr_t)start_info[6];
}

/* smp.S: how many processors started, and where each of them goes with its number from 1 on. */
extern volatile uint32_t started;
extern char trampoline[], trampoline_end[];
void other_main(uint32_t number);

enum { TRAMPOLINE = 0x8000, ICR_LOW = 0xfee00300, ALL_BUT_SELF = 3 << 18, INIT = 0x4500 };
enum { SIPI = 0x4600 | TRAMPOLINE >> 12, SPURIOUS = 0xfee000f0, APIC_ON = 0x1ff };

/* INIT and SIPI to all others, and wait until so many have come. */
static inline void start_others(uint32_t count)
{
    for (char *from = trampoline, *to = (char *)TRAMPOLINE; from < trampoline_end;)
        *to++ = *from++;
    *mmio(SPURIOUS) = APIC_ON;
    *mmio(ICR_LOW) = ALL_BUT_SELF | INIT;
    *mmio(ICR_LOW) = ALL_BUT_SELF | SIPI;
    while (started < count)
        __asm__ volatile("pause");
}

#endif
