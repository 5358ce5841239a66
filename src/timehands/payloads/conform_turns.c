/*
 * The conformance guest's processors read one clock by turns: one after the other, under a lock, so
 * that nobody may read less than the one before.
 */
#include "conform_turns.h"

enum { READS_MOST = 1 << 18 };

struct turns turns;
static volatile uint32_t guard, reader;
static volatile uint64_t last, until;
static turns_clock *clock;
static unsigned enough;

/* On a busy host it takes longer until each has had its turns. */
static void read_in_turn(unsigned cpu)
{
    for (unsigned i = 0; i < READS_MOST; i++) {
        uint64_t now, tsc;
        int64_t over;

        lock(&guard);
        now = clock(cpu, &tsc);
        if (now < last) {
            turns.warps++;
            if (last - now > turns.worst)
                turns.worst = last - now;
        }
        last = now;
        turns.reads++;
        turns.taken += reader != cpu;
        reader = cpu;
        unlock(&guard);
        over = (int64_t)(tsc - until);
        if (turns.taken >= TURNS_WANTED ? over > 0 || i > enough : over > PATIENT_WAIT)
            break;
    }
}

int turns_take(turns_clock *of, unsigned reads)
{
    turns = (struct turns){0};
    last = reader = 0;
    clock = of;
    enough = reads;
    until = rdtsc() + LONG_WAIT;
    return smp_run(read_in_turn);
}

void put_turns(const char *worst)
{
    value("cpus", smp_cpus());
    value("reads", turns.reads);
    value("turns", turns.taken);
    value("warps", turns.warps);
    value(worst, turns.worst);
}
