/* Timecounters: the list, which one is used, and the timehands that are wound up each tick. */
#include "freebsd.h"

struct bintime {
    int64_t sec;
    uint64_t frac;
};

struct timehands {
    struct timecounter *th_counter;
    int64_t th_adjustment;
    uint64_t th_scale;
    u_int th_large_delta;
    u_int th_offset_count;
    struct bintime th_offset, th_bintime;
    int64_t th_microtime[2], th_nanotime[2];
    struct bintime th_boottime;
    u_int th_generation;
    struct timehands *th_next;
};

static u_int dummy_get_timecount(struct timecounter *tc)
{
    static u_int now;
    (void)tc;
    return ++now;
}

static struct timecounter dummy_timecounter = {
    dummy_get_timecount, NULL, ~0u, 1000000, "dummy", -1000000, 0, NULL, NULL, NULL, NULL,
};
static struct timehands ths[2] = {
    {.th_counter = &dummy_timecounter, .th_scale = 0x10c6f7a0b5ec, .th_generation = 1,
     .th_next = &ths[1]},
    {.th_next = &ths[0]},
};
static struct timehands *volatile timehands = &ths[0];
struct timecounter *timecounter = &dummy_timecounter;
static struct timecounter *timecounters = &dummy_timecounter;
static int tc_chosen;

static bool is_better(const struct timecounter *tc)
{
    const char *wanted = kern_getenv("kern.timecounter.hardware");
    if (wanted && !strcmp(wanted, tc->tc_name)) {
        tc_chosen = 1;
        return true;
    }
    if (tc_chosen || tc->tc_quality < 0 || tc->tc_quality < timecounter->tc_quality)
        return false;
    return tc->tc_quality > timecounter->tc_quality ||
           tc->tc_frequency >= timecounter->tc_frequency;
}

void tc_init(struct timecounter *tc)
{
    uint64_t needed = tc->tc_frequency / tc->tc_counter_mask * 11 / 10;
    if (needed > (uint64_t)hz && tc->tc_quality >= 0) {
        tc->tc_quality = -2000;
        if (bootverbose)
            printf("Timecounter \"%s\" frequency %ju Hz -- Insufficient hz, needs at least %ju\n",
                   tc->tc_name, tc->tc_frequency, needed);
    } else if (tc->tc_quality >= 0 || bootverbose) {
        printf("Timecounter \"%s\" frequency %ju Hz quality %d\n", tc->tc_name, tc->tc_frequency,
               tc->tc_quality);
    }
    tc->tc_next = timecounters;
    timecounters = tc;
    if (is_better(tc))
        timecounter = tc;
}

static void add_fraction(struct bintime *bt, uint64_t frac)
{
    bt->frac += frac;
    bt->sec += bt->frac < frac;
}

void tc_windup(void)
{
    struct timehands *old = timehands, *th = old->th_next;
    th->th_generation = 0;
    struct timehands *next = th->th_next;
    u_int generation = old->th_generation + 1;
    *th = *old;
    th->th_next = next;
    th->th_generation = 0;
    struct timecounter *tc = old->th_counter;
    u_int delta = (tc->tc_get_timecount(tc) - old->th_offset_count) & tc->tc_counter_mask;
    th->th_offset_count = (old->th_offset_count + delta) & tc->tc_counter_mask;
    th->th_offset.sec += (int64_t)((th->th_scale >> 32) * delta >> 32);
    add_fraction(&th->th_offset, th->th_scale * delta);
    if (timecounter != tc) {
        th->th_counter = timecounter;
        th->th_offset_count =
            timecounter->tc_get_timecount(timecounter) & timecounter->tc_counter_mask;
        th->th_scale = (1ull << 63) / timecounter->tc_frequency * 2;
        uint64_t large = (1ull << 63) / (th->th_scale / 2);
        th->th_large_delta = large > ~0u ? ~0u : (u_int)large;
    }
    th->th_generation = generation ? generation : 1;
    timehands = th;
}

void inittimecounter(void *dummy)
{
    (void)dummy;
    tick = 1000000 / hz;
    printf("Timecounters tick every %d.%03d msec\n", tick / 1000, tick % 1000);
    (void)timecounter->tc_get_timecount(timecounter);
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
