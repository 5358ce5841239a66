/* Timecounters: the list, which one is used, and the timehands. */
#include "netbsd.h"

struct bintime {
    int64_t sec;
    uint64_t frac;
};

struct timehands {
    struct timecounter *th_counter;
    int64_t th_adjustment;
    uint64_t th_scale;
    uint64_t th_offset_count;
    struct bintime th_offset;
    int64_t th_microtime[2], th_nanotime[2];
    volatile u_int th_generation;
    struct timehands *th_next;
};

static u_int dummy_get_timecount(struct timecounter *tc)
{
    static u_int now;
    (void)tc;
    return ++now;
}

static struct timecounter dummy_timecounter = {
    dummy_get_timecount, NULL, ~0u, 1000000, "dummy", -1000000, NULL, NULL,
};
static struct timehands ths[2] = {
    {.th_counter = &dummy_timecounter, .th_scale = 0x10c6f7a0b5ec, .th_generation = 1,
     .th_next = &ths[1]},
    {.th_next = &ths[0]},
};
static struct timehands *volatile timehands = &ths[0];
struct timecounter *timecounter = &dummy_timecounter;
static struct timecounter *timecounters = &dummy_timecounter;

static void tc_windup(void)
{
    struct timehands *old = timehands, *th = old->th_next, *next = th->th_next;
    u_int generation = old->th_generation + 1;
    th->th_generation = 0;
    *th = *old;
    th->th_next = next;
    th->th_generation = 0;
    struct timecounter *tc = old->th_counter;
    u_int delta = (tc->tc_get_timecount(tc) - (u_int)old->th_offset_count) & tc->tc_counter_mask;
    unsigned __int128 passed = (unsigned __int128)th->th_scale * delta;
    th->th_offset_count = (old->th_offset_count + delta) & tc->tc_counter_mask;
    th->th_offset.sec += (int64_t)(passed >> 64);
    th->th_offset.frac += (uint64_t)passed;
    th->th_offset.sec += th->th_offset.frac < (uint64_t)passed;
    if (timecounter != tc) {
        th->th_counter = timecounter;
        th->th_offset_count = timecounter->tc_get_timecount(timecounter);
        th->th_scale = (1ull << 63) / timecounter->tc_frequency * 2;
    }
    th->th_generation = generation ? generation : 1;
    timehands = th;
}

void inittimecounter(void)
{
    unsigned period = 1000000 / (unsigned)hz;
    aprint_verbose("timecounter: Timecounters tick every %u.%03u msec\n", period / 1000,
                   period % 1000);
    (void)timecounter->tc_get_timecount(timecounter);
}

static bool is_better(const struct timecounter *tc)
{
    if (tc->tc_quality < 0 || tc->tc_quality < timecounter->tc_quality)
        return false;
    return tc->tc_quality > timecounter->tc_quality ||
           tc->tc_frequency > timecounter->tc_frequency;
}

void tc_init(struct timecounter *tc)
{
    u_int needed = (u_int)(tc->tc_frequency / tc->tc_counter_mask) * 11 / 10;
    if (needed > (u_int)hz && tc->tc_quality >= 0) {
        tc->tc_quality = -2000;
        aprint_verbose("timecounter: Timecounter \"%s\" frequency %ju Hz"
                       " -- Insufficient hz, needs at least %u\n",
                       tc->tc_name, tc->tc_frequency, needed);
    } else {
        aprint_verbose("timecounter: Timecounter \"%s\" frequency %ju Hz quality %d\n",
                       tc->tc_name, tc->tc_frequency, tc->tc_quality);
    }
    tc->tc_next = timecounters;
    timecounters = tc;
    if (is_better(tc)) {
        timecounter = tc;
        tc_windup();
    }
}

void tc_ticktock(void)
{
    tc_windup();
}

void damage_timecounters(const char *how)
{
    struct timecounter *last = timecounters;
    while (last->tc_next)
        last = last->tc_next;
    if (!strcmp(how, "cyclic"))
        last->tc_next = timecounters;
    if (!strcmp(how, "corrupt"))
        last->tc_next = (struct timecounter *)0xdeadc0dedeadc0de;
}
