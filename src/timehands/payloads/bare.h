/* What a bare guest works with: ports, registers, and a serial line to say it on. */
#ifndef BARE_H
#define BARE_H

#include <stddef.h>
#include <stdint.h>

struct cpuid { uint32_t eax, ebx, ecx, edx; };

void bare_main(const uint32_t *start_info);
void bare_fault(uint32_t vector, uint32_t code, uint32_t eip);
void bare_end(void) __attribute__((noreturn));
uint32_t bare_rdmsr(uint32_t msr, uint32_t value[2]);

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t rdtsc(void)
{
    uint64_t value;
    __asm__ volatile("rdtsc" : "=A"(value));
    return value;
}

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

static inline volatile uint32_t *mmio(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

/* bare_serial.c: the console at 0x3f8. Lines are a tag letter and hexadecimal words. */
void serial_init(void);
void serial_hold(void);
void serial_release(void);
void put_char(char c);
void put_text(const char *text);
void put_hex(uint64_t value);
void put_word(uint64_t value);
void put_end(void);
int get_char(void);

#endif
