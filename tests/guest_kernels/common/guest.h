/* What every test kernel works with: instructions, memory, a console, the command line's words. */
#ifndef GUEST_H
#define GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned int u_int;
typedef unsigned long u_long;
typedef uint64_t vm_paddr_t;
typedef long register_t;

#include <trapframe.h> /* each kernel may have its own */

/* A function that the real kernel has in another file than its callers: it stays one here. */
#define APART __attribute__((noinline))

#define KERNBASE 0xffffffff80000000ul
#define DIRECT 0xfffff80000000000ul
#define TIMER_VECTOR 0xef

/* The head of Xen's struct hvm_start_info. */
struct start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr;
};
#define START_INFO_MAGIC 0x336ec578u

static inline void *direct(vm_paddr_t address)
{
    return (void *)(DIRECT + address);
}

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

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline uint64_t rdtsc_ordered(void)
{
    __asm__ volatile("lfence" : : : "memory");
    return rdtsc();
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline void do_cpuid(uint32_t leaf, uint32_t regs[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3])
                     : "a"(leaf), "c"(0));
}

static inline void spin(void)
{
    __asm__ volatile("pause");
}

/* Stop for good: the vCPU rests with interrupts off. */
void halt(void) __attribute__((noreturn));
/* A triple fault, which resets a machine of any type. */
void reset(void) __attribute__((noreturn));
/* Rest with interrupts on. */
void idle(void) __attribute__((noreturn));

void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *one, const void *other, size_t length);
int strcmp(const char *one, const char *other);
int strncmp(const char *one, const char *other, size_t length);
size_t strlen(const char *text);

/* console.c: the 16550 at 0x3f8. Formats: %s %c %d %i %u %x %p %%, l j z, width, 0, ll. */
extern bool console_on;
extern const char *console_prefix; /* printed at the start of each line */
void console_init(void);
void vprintf(const char *format, va_list args);
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* words.c: the command line, as it was given. */
extern char command_line[4096];
void words_init(vm_paddr_t start_info_paddr);
const char *word_value(const char *name); /* of "name=value", cut at the blank; NULL: not there */
bool word_given(const char *word);        /* is the word there, whole */
bool word_is(const char *name, const char *value);

/* traps.c, entry.S, and one of each kernel. */
void traps_init(void);
void trap(struct trapframe *frame);
void timer_interrupt(void);

/* What a test can ask of a kernel by words, after its clocks are there. */
void misbehave(void);

#endif
