/*
 * The statistical calibration of a clock against the timecounter in use: it ends when the slope of
 * clock over timecounter is known to 1 ppm, or after a second.
 */
#include "freebsd.h"

struct sums {
    double n, mu_clk, mu_t, va_clk, va_t, cva;
};

static void add_point(struct sums *s, double clk, double t)
{
    s->n += 1;
    double from_clk = clk - s->mu_clk, from_t = t - s->mu_t;
    s->mu_clk += from_clk / s->n;
    s->mu_t += from_t / s->n;
    s->va_clk += (from_clk * (clk - s->mu_clk) - s->va_clk) / s->n;
    s->va_t += (from_t * (t - s->mu_t) - s->va_t) / s->n;
    s->cva += (from_t * (clk - s->mu_clk) - s->cva) / s->n;
}

static bool is_precise(const struct sums *s)
{
    double square = s->cva * s->cva;
    return 1e-12 * (s->n - 2) * square > (s->va_t + 4) * (s->va_clk + 4) - square;
}

uint64_t clockcalib(uint64_t (*clk)(void), const char *clkname)
{
    TSENTER2(clkname);
    struct timecounter *tc = timecounter;
    struct sums sums = {0};
    uint64_t freq, passes = 0, carried = 0, n = 0;
    uint64_t clk0 = clk();
    u_int last, first = last = tc->tc_get_timecount(tc) & tc->tc_counter_mask;
    for (;;) {
        uint64_t clk1 = clk() - clk0;
        u_int now = tc->tc_get_timecount(tc) & tc->tc_counter_mask;
        if (now < last)
            carried += (uint64_t)tc->tc_counter_mask + 1;
        last = now;
        uint64_t t1 = now + carried - first;
        n++;
        if (t1 > tc->tc_frequency) {
            printf("Statistical %s calibration failed!  "
                   "Clocks might be ticking at variable rates.\n", clkname);
            printf("Falling back to slow %s calibration.\n", clkname);
            freq = (uint64_t)((double)tc->tc_frequency * (double)clk1 / (double)t1);
            break;
        }
        add_point(&sums, (double)clk1, (double)t1);
        passes = is_precise(&sums) ? passes + 1 : 0;
        if (passes * 2 > n) {
            freq = (uint64_t)((double)tc->tc_frequency * sums.cva / sums.va_t);
            if (bootverbose)
                printf("Statistical %s calibration took %ju us and %ju data points\n", clkname,
                       (uint64_t)(1e6 * (double)t1 / (double)tc->tc_frequency), n);
            break;
        }
        for (uint64_t from = clk(), gap = clk1 / (n * n); clk() - from < gap;)
            spin();
    }
    TSEXIT();
    return freq;
}
