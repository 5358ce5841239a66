/* What the conformance guest's pvclock cases share: the record, and how it is read. */
#ifndef CONFORM_PVCLOCK_H
#define CONFORM_PVCLOCK_H

#include "conform.h"

struct page {
    uint32_t version, pad0;
    uint64_t tsc_timestamp, system_time;
    uint32_t mul;
    int8_t shift;
    uint8_t flags, pad[2];
};
struct wall { uint32_t version, sec, nsec; };
union slot { struct page page; struct wall wall; uint8_t bytes[64]; };

/* What one read saw besides the time. */
struct seen { uint32_t odd, torn, tries; struct page page; uint64_t tsc; };

/* What is seen of a record that is written again and again. */
struct load {
    uint32_t changed, back, odd, torn, half, good, versions, reads;
    uint64_t ahead, behind;
};

/* conform_pvclock.c */
extern volatile union slot pvclock_pages[SMP_MOST];
void pvclock_register(volatile union slot *slot);
uint64_t pvclock_read(volatile struct page *page, struct seen *seen);
uint64_t pvclock_at(const struct page *page, uint64_t tsc);
void put_load(const struct load *load, uint32_t updates);

/* conform_pvclock_smp.c */
void conform_pvclock_across(void);
void conform_pvclock_version_across(void);

#endif
