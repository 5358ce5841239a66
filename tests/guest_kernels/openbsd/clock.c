/* The i8254: delay and timecounter. */
#include "openbsd.h"

#define TIMER_FREQ 1193182
#define IO_TIMER1 0x40
#define TIMER_MODE (IO_TIMER1 + 3)
#define TIMER_RATEGEN_16BIT 0x34

static u_long rtclock_tval;
static u_int i8254_lastcount, i8254_offset;
static bool i8254_stuck; /* as a test wishes */
void (*delay_func)(int) = i8254_delay;

void i8254_startclock(void)
{
    rtclock_tval = 0xffff;
    i8254_stuck = word_is("hang", "i8254_delay");
    outb(TIMER_MODE, TIMER_RATEGEN_16BIT);
    outb(IO_TIMER1, 0xff);
    outb(IO_TIMER1, 0xff);
}

u_int gettick(void)
{
    if (i8254_stuck)
        return 0x1234;
    outb(TIMER_MODE, 0);
    u_int low = inb(IO_TIMER1);
    return (u_int)inb(IO_TIMER1) << 8 | low;
}

void i8254_delay(int n)
{
    int64_t left = (int64_t)n * TIMER_FREQ / 1000000;
    u_int before = gettick();
    while (left > 0) {
        u_int now = gettick();
        left -= now > before ? (int64_t)rtclock_tval - (now - before) : before - now;
        before = now;
    }
}

static u_int i8254_get_timecount(struct timecounter *tc)
{
    (void)tc;
    u_int count = (u_int)rtclock_tval - gettick();
    if (count < i8254_lastcount)
        i8254_offset += (u_int)rtclock_tval;
    i8254_lastcount = count;
    return i8254_offset + count;
}

static struct timecounter i8254_timecounter = {
    .tc_get_timecount = i8254_get_timecount, .tc_counter_mask = ~0u, .tc_frequency = TIMER_FREQ,
    .tc_name = "i8254", .tc_quality = 0,
};

void i8254_inittimecounter(void)
{
    tc_init(&i8254_timecounter);
}
