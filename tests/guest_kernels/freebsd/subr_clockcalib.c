/*
 * The statistical calibration of a clock against the timecounter in use: it ends when the slope of
 * clock over timecounter is known to 1 ppm for the last half of the points, or after a second.
 *
 * In integers: n * n times each variance is exact in 128 bits, and what is multiplied further keeps
 * its 62 highest bits.
 */
#include "freebsd.h"

typedef unsigned __int128 u128;

struct sums {
    uint64_t n;
    u128 clk, t, clk2, t2, both;
};

/* n * n times the variances and the covariance. */
struct spread {
    u128 clk, t, both;
};

static void add_point(struct sums *s, uint64_t clk, uint64_t t)
{
    s->n++;
    s->clk += clk;
    s->t += t;
    s->clk2 += (u128)clk * clk;
    s->t2 += (u128)t * t;
    s->both += (u128)clk * t;
}

static struct spread spread_of(const struct sums *s)
{
    u128 crossed = s->clk * s->t, both = s->n * s->both;
    return (struct spread){s->n * s->clk2 - s->clk * s->clk, s->n * s->t2 - s->t * s->t,
                           both > crossed ? both - crossed : 0};
}

/* How many bits above the lowest 62 a number has. */
static int bits_above_62(u128 value)
{
    uint64_t high = (uint64_t)(value >> 62);
    return high ? 64 - __builtin_clzll(high) : 0;
}

/* 1e-12 (n - 2) cva^2 > (va_t + 4) (va_clk + 4) - cva^2; 1e-12 is 1126 / 1024 / 2^40. */
static bool is_precise(const struct sums *s)
{
    if (s->n < 3)
        return false;
    struct spread v = spread_of(s);
    u128 noise = 4 * (u128)s->n * s->n;
    int shift_t = bits_above_62(v.t + noise), shift_clk = bits_above_62(v.clk + noise);
    shift_clk += (shift_t + shift_clk) & 1;
    u128 product = ((v.t + noise) >> shift_t) * ((v.clk + noise) >> shift_clk);
    u128 cva = v.both >> (shift_t + shift_clk) / 2;
    u128 square = cva * cva;
    return ((square >> 50) * (s->n - 2)) * 1126 > (product > square ? product - square : 0);
}

/* scale * cva / va_t */
static uint64_t slope(const struct sums *s, uint64_t scale)
{
    struct spread v = spread_of(s);
    int shift = bits_above_62(v.t);
    u128 product = (v.both >> shift) * scale;
    uint64_t quotient, rest, divisor = (uint64_t)(v.t >> shift);
    if (divisor <= (uint64_t)(product >> 64))
        return 0;
    __asm__("divq %4"
            : "=a"(quotient), "=d"(rest)
            : "a"((uint64_t)product), "d"((uint64_t)(product >> 64)), "r"(divisor));
    return quotient;
}

uint64_t clockcalib(uint64_t (*clk)(void), const char *clkname)
{
    TSENTER2(clkname);
    struct timecounter *tc = timecounter;
    struct sums sums = {0};
    uint64_t freq, passes = 0, carried = 0;
    uint64_t clk0 = clk();
    u_int first = tc->tc_get_timecount(tc) & tc->tc_counter_mask, last = first;
    for (;;) {
        uint64_t clk1 = clk() - clk0;
        u_int now = tc->tc_get_timecount(tc) & tc->tc_counter_mask;
        if (now < last)
            carried += (uint64_t)tc->tc_counter_mask + 1;
        last = now;
        uint64_t t1 = now + carried - first;
        if (t1 > tc->tc_frequency) {
            printf("Statistical %s calibration failed!  "
                   "Clocks might be ticking at variable rates.\n", clkname);
            printf("Falling back to slow %s calibration.\n", clkname);
            freq = tc->tc_frequency * clk1 / t1;
            break;
        }
        add_point(&sums, clk1, t1);
        passes = is_precise(&sums) ? passes + 1 : 0;
        if (passes * 2 > sums.n) {
            freq = slope(&sums, tc->tc_frequency);
            if (bootverbose)
                printf("Statistical %s calibration took %ju us and %ju data points\n", clkname,
                       t1 * 1000000 / tc->tc_frequency, sums.n);
            break;
        }
        for (uint64_t from = clk(), gap = clk1 / (sums.n * sums.n); clk() - from < gap;)
            spin();
    }
    TSEXIT();
    return freq;
}
