/* Event timers: the list, by falling quality, and the one that ticks. */
#include "freebsd.h"

struct et_eventtimers_list {
    struct eventtimer *slh_first;
};
static struct et_eventtimers_list eventtimers;

int et_register(struct eventtimer *et)
{
    if (et->et_quality >= 0 || bootverbose) {
        if (et->et_frequency == 0)
            printf("Event timer \"%s\" quality %d\n", et->et_name, et->et_quality);
        else
            printf("Event timer \"%s\" frequency %ju Hz quality %d\n", et->et_name,
                   et->et_frequency, et->et_quality);
    }
    struct eventtimer **at = &eventtimers.slh_first;
    while (*at && (*at)->et_quality >= et->et_quality)
        at = &(*at)->et_all.sle_next;
    et->et_all.sle_next = *at;
    *at = et;
    return 0;
}

struct eventtimer *et_find(const char *name, int check, int want)
{
    for (struct eventtimer *et = eventtimers.slh_first; et; et = et->et_all.sle_next) {
        if (et->et_active || (et->et_flags & check) != want)
            continue;
        if (name ? !strcmp(name, et->et_name) : et->et_quality >= 0)
            return et;
    }
    return NULL;
}
