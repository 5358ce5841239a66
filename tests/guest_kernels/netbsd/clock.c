/* The i8254: delay and timecounter. Where there is none, every count reads the same. */
#include "netbsd.h"

#define IO_TIMER1 0x40
#define TIMER_MODE (IO_TIMER1 + 3)
#define TIMER_SEL0_LATCH 0x00
#define TIMER_RATEGEN_16BIT 0x34

u_long x86_rtclock_tval;
static bool rtclock_init;
static u_int i8254_lastcount, i8254_offset;
static int i8254_ticked;
static bool i8254_stuck; /* as a test wishes */

static struct timecounter i8254_timecounter = {
    i8254_get_timecount, NULL, ~0u, TIMER_FREQ, "i8254", 100, NULL, NULL,
};

/* freq 0: let it run through all 65536 counts, as nobody waits for its interrupt. */
void initrtclock(u_long freq)
{
    u_long tval = freq ? (freq + (u_long)hz / 2) / (u_long)hz : 0;
    outb(TIMER_MODE, TIMER_RATEGEN_16BIT);
    outb(IO_TIMER1, (uint8_t)tval);
    outb(IO_TIMER1, (uint8_t)(tval >> 8));
    i8254_stuck = word_is("hang", "gettick") || word_is("hang", "i8254_delay");
    x86_rtclock_tval = tval ? tval : 0xFFFF;
    rtclock_init = true;
}

void startrtclock(void)
{
    if (!rtclock_init)
        initrtclock(TIMER_FREQ);
    tc_init(&i8254_timecounter);
}

unsigned int gettick(void)
{
    if (i8254_stuck)
        return 0x1234;
    outb(TIMER_MODE, TIMER_SEL0_LATCH);
    unsigned low = inb(IO_TIMER1);
    return (unsigned)inb(IO_TIMER1) << 8 | low;
}

u_int i8254_get_timecount(struct timecounter *tc)
{
    (void)tc;
    u_int count = (u_int)x86_rtclock_tval - gettick();
    if (count < i8254_lastcount && (!i8254_ticked || x86_rtclock_tval == 0xFFFF)) {
        i8254_ticked = 1;
        i8254_offset += (u_int)x86_rtclock_tval;
    }
    i8254_lastcount = count;
    return count + i8254_offset;
}

void i8254_delay(unsigned int n)
{
    if (!rtclock_init)
        initrtclock(TIMER_FREQ);
    unsigned before = gettick();
    int64_t remaining = (int64_t)((uint64_t)n * TIMER_FREQ / 1000000);
    while (remaining > 1) {
        unsigned now = gettick();
        remaining -= now > before ? (int64_t)x86_rtclock_tval - (now - before) : before - now;
        before = now;
    }
}

void i8254_initclocks(void)
{
}
