/* The event timer that is used, and its ticks. */
#include "freebsd.h"

static struct eventtimer *timer;
int hz, tick, ticks;

void hardclock(void)
{
    ticks++;
    tc_windup();
}

static void timercb(struct eventtimer *et, void *arg)
{
    (void)et, (void)arg;
    hardclock();
}

void cpu_initclocks_bsp(void)
{
    timer = et_find(kern_getenv("kern.eventtimer.timer"), ET_FLAGS_PERIODIC, ET_FLAGS_PERIODIC);
    if (!timer)
        timer = et_find(NULL, ET_FLAGS_ONESHOT, ET_FLAGS_ONESHOT);
    if (!timer)
        panic("No usable event timer found!");
    timer->et_active = 1;
    timer->et_event_cb = timercb;
    timer->et_start(timer, 0, (1ull << 32) / (unsigned)hz);
}

void timer_interrupt(void)
{
    lapic_handle_timer();
}
