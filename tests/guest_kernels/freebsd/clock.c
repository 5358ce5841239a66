/* The i8254, as early delay, timecounter and event timer, and the start of the clocks. */
#include "freebsd.h"

#define TIMER_FREQ 1193182
#define TIMER_CNTR0 0x40
#define TIMER_MODE 0x43
#define TIMER_SEL0_LATCH 0x00
#define TIMER_RATEGEN_16BIT 0x34

int i8254_freq = TIMER_FREQ;
static int i8254_max_count;
static bool i8254_stuck; /* as a test wishes */

static int getit(void)
{
    if (i8254_stuck)
        return 0x4242;
    outb(TIMER_MODE, TIMER_SEL0_LATCH);
    int low = inb(TIMER_CNTR0);
    return inb(TIMER_CNTR0) << 8 | low;
}

static void set_i8254_freq(void)
{
    i8254_stuck = word_is("hang", "i8254_delay");
    i8254_max_count = 0xffff;
    outb(TIMER_MODE, TIMER_RATEGEN_16BIT);
    outb(TIMER_CNTR0, 0);
    outb(TIMER_CNTR0, 0);
}

void i8254_init(void)
{
    set_i8254_freq();
}

void i8254_delay(int n)
{
    int64_t left = n < 256 ? ((int64_t)n * 39099 + 32767) >> 15
                           : ((int64_t)n * i8254_freq + 999999) / 1000000;
    int previous = getit();
    while (left > 0) {
        int current = getit();
        int passed = previous - current;
        if (passed < 0)
            passed += i8254_max_count;
        left -= passed < 0 ? 0 : passed;
        previous = current;
    }
}

void clock_init(void)
{
    init_ops.early_clock_source_init();
}

void startrtclock(void)
{
    start_TSC();
}

static u_int i8254_get_timecount(struct timecounter *tc)
{
    (void)tc;
    return (u_int)(i8254_max_count - getit());
}

static struct timecounter i8254_timecounter = {
    i8254_get_timecount, NULL, 0xffff, TIMER_FREQ, "i8254", 0, 0, NULL, NULL, NULL, NULL,
};

static int attimer_start(struct eventtimer *et, sbintime_t first, sbintime_t period)
{
    (void)et, (void)first, (void)period;
    return 0; /* its interrupt goes through an 8259 that this kernel keeps masked */
}

static int attimer_stop(struct eventtimer *et)
{
    (void)et;
    return 0;
}

static struct eventtimer attimer_et = {
    .et_name = "i8254", .et_flags = ET_FLAGS_PERIODIC, .et_quality = 100,
    .et_frequency = TIMER_FREQ, .et_start = attimer_start, .et_stop = attimer_stop,
};

int attimer_attach(device_t dev)
{
    (void)dev;
    printf("attimer0: <AT timer> at port 0x40 irq 0 on isa0\n");
    set_i8254_freq();
    if (getenv_int("hint.attimer.0.timecounter", 1))
        tc_init(&i8254_timecounter);
    if (getenv_int("hint.attimer.0.clock", 1) && kern_getenv("hint.attimer.0.irq")) {
        attimer_et.et_min_period = (2ull << 32) / TIMER_FREQ;
        attimer_et.et_max_period = (0xfffeull << 32) / TIMER_FREQ;
        et_register(&attimer_et);
    }
    return 0;
}

void cpu_initclocks(void)
{
    TSENTER();
    tsc_calibrate();
    lapic_calibrate_timer();
    cpu_initclocks_bsp();
    TSEXIT();
}
