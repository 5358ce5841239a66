/*
 * The conformance guest: one clock read by all processors in turn (conform_turns.c).
 */
#ifndef CONFORM_TURNS_H
#define CONFORM_TURNS_H

#include "conform.h"

/* A processor's reading of the clock, and the TSC that it is from. */
typedef uint64_t turns_clock(unsigned cpu, uint64_t *tsc);

/* What was seen: reads, how often another processor had its turn, steps backwards and the worst. */
extern struct turns {
    volatile uint32_t reads, taken, warps;
    volatile uint64_t worst;
} turns;

/* Each reads `reads` times at least, or for LONG_WAIT. 0 when a processor did not come. */
int turns_take(turns_clock *of, unsigned reads);
void put_turns(const char *worst);

#endif
