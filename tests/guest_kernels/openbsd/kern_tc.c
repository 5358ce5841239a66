/* Timecounters: the list, and which one is used. OpenBSD says nothing of them at boot. */
#include "openbsd.h"

static u_int dummy_get_timecount(struct timecounter *tc)
{
    static u_int now;
    (void)tc;
    return ++now;
}

static struct timecounter dummy_timecounter = {
    .tc_get_timecount = dummy_get_timecount, .tc_counter_mask = ~0u, .tc_frequency = 1000000,
    .tc_name = "dummy", .tc_quality = -1000000,
};
struct timecounter *timecounter = &dummy_timecounter;
static struct {
    struct timecounter *slh_first;
} tc_list __attribute__((used)) = {&dummy_timecounter}; /* clang would call it tc_list.0 */

void tc_init(struct timecounter *tc)
{
    uint64_t needed = tc->tc_frequency / tc->tc_counter_mask * 11 / 10;
    if (tc->tc_quality >= 0 && needed > (uint64_t)hz) {
        tc->tc_quality = -2000;
        printf("Timecounter \"%s\" frequency %lu Hz -- Insufficient hz, needs at least %lu\n",
               tc->tc_name, tc->tc_frequency, needed);
    }
    tc->tc_next.sle_next = tc_list.slh_first;
    tc_list.slh_first = tc;
    tc->tc_precision = ~0ull / tc->tc_frequency + 1;
    if (tc->tc_quality < 0 || tc->tc_quality < timecounter->tc_quality)
        return;
    if (tc->tc_quality == timecounter->tc_quality && tc->tc_frequency < timecounter->tc_frequency)
        return;
    timecounter = tc;
}

void damage_timecounters(const char *how)
{
    struct timecounter *last = tc_list.slh_first;
    while (last->tc_next.sle_next)
        last = last->tc_next.sle_next;
    if (!strcmp(how, "cyclic"))
        last->tc_next.sle_next = tc_list.slh_first;
    if (!strcmp(how, "corrupt"))
        last->tc_next.sle_next = (struct timecounter *)0xdeadc0dedeadc0de;
}
