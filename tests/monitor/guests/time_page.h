/* pvclock's record, read again and again, and what must not be seen of it. */
#ifndef TIME_PAGE_H
#define TIME_PAGE_H

#include "guest.h"

enum { STOPPED = 2 };

struct time_info {
    volatile uint32_t version;
    uint32_t pad0;
    uint64_t tsc_timestamp, system_time;
    uint32_t mul;
    int8_t shift;
    volatile uint8_t flags;
    uint8_t pad[2];
} __attribute__((aligned(32)));

/* Of all reads: the last time, steps back, and how often GUEST_STOPPED was found (and cleared). */
static uint64_t last, worst;
static uint32_t reads, warps, stopped;

static inline uint64_t scaled(uint64_t delta, uint32_t mul, int shift)
{
    delta = shift < 0 ? delta >> -shift : delta << shift;
    return (((delta & 0xffffffff) * mul) >> 32) + (delta >> 32) * mul;
}

static inline uint64_t now(const struct time_info *page)
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

/* Read it once, and count. Where several vCPUs do, one at a time. */
static inline void read_one(struct time_info *page)
{
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
}

/* T reads warps worst_ns stopped ns tsc */
static inline void say_times(void)
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

#endif
