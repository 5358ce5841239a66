/*
 * The survey's samples: all counters at (nearly) one moment, again and again.
 *
 *   B host|self                           who sets the pace
 *   t                                     a sample was just taken
 *   S tsc pit lapic hpet acpi_pm tsc      its counts, all going up; the TSC before and after
 *
 * At the host's pace each sample is the answer to a byte, so the host knows a time before it and a
 * time after it. At its own pace (pace=self, or when no byte comes) the guest takes each sample as
 * the PIT's count changes, so that the TSC can be held against the PIT alone.
 */
#include "survey.h"

enum {
    SAMPLES_MOST = 512,
    OWN_SAMPLES = 12,
    OWN_GAP = 1 << 22,          /* TSC cycles between samples at the guest's own pace */
    EDGE_LOOKS = 4096,
    POLLS_MOST = 1 << 22,
    PATIENCE = 1 << 30,         /* TSC cycles to wait for a byte */
    PIT_EVERY = 1 << 24,        /* TSC cycles after which the PIT is looked at: it wraps in 55 ms */
};

static uint32_t pit_last, lapic_first, hpet_first, acpi_pm_last;
static uint64_t pit_count, acpi_pm_count, pit_looked;

/* The PIT and the ACPI PM timer are narrow: their counts are made wide here. */
static void follow(void)
{
    if (pit.counts) {
        uint32_t now = pit_read(0);
        pit_count += (pit_last - now) & 0xffff;
        pit_last = now;
    }
    if (acpi_pm.counts) {
        uint32_t now = acpi_pm_read();
        acpi_pm_count += (now - acpi_pm_last) & 0xffffff;
        acpi_pm_last = now;
    }
    pit_looked = rdtsc();
}

static void put_count(const struct device *d, uint64_t count)
{
    if (d->counts)
        put_word(count);
    else
        put_text(" -");
}

static void sample(void)
{
    uint64_t before = rdtsc(), after;
    uint32_t lapic_now, hpet_now;

    follow();
    lapic_now = lapic.counts ? lapic_read() : 0;
    hpet_now = hpet.counts ? hpet_read() : 0;
    after = rdtsc();
    put_text("t\nS");
    put_word(before);
    put_count(&pit, pit_count);
    put_count(&lapic, lapic_first - lapic_now);
    put_count(&hpet, hpet_now - hpet_first);
    put_count(&acpi_pm, acpi_pm_count);
    put_word(after);
    put_end();
}

/* The next byte of the host, or -1 when none comes. */
static int wait_for_host(void)
{
    uint64_t start = rdtsc();

    for (unsigned i = 0; i < POLLS_MOST && rdtsc() - start < PATIENCE; i++) {
        int byte = get_char();
        if (byte >= 0)
            return byte;
        if (rdtsc() - pit_looked > PIT_EVERY)
            follow();
    }
    return -1;
}

static int host_samples(void)
{
    put_text("B host\n");
    for (unsigned i = 0; i < SAMPLES_MOST; i++) {
        int byte = wait_for_host();
        if (byte != 's')
            return i > 0 || byte == 'q';
        sample();
    }
    return 1;
}

/* Wait until the PIT's count changes, so that the sample's count has just begun. */
static void wait_for_edge(void)
{
    uint32_t now = pit_read(0);

    for (unsigned i = 0; pit.counts && i < EDGE_LOOKS && pit_read(0) == now; i++)
        ;
}

static void own_samples(void)
{
    put_text("B self\n");
    for (unsigned i = 0; i < OWN_SAMPLES; i++) {
        uint64_t start = rdtsc();

        for (unsigned k = 0; k < OWN_GAP && rdtsc() - start < OWN_GAP; k++)
            ;
        wait_for_edge();
        sample();
    }
}

void survey_samples(void)
{
    pit_last = pit.counts ? pit_read(0) : 0;
    acpi_pm_last = acpi_pm.counts ? acpi_pm_read() : 0;
    lapic_first = lapic.counts ? lapic_read() : 0;
    hpet_first = hpet.counts ? hpet_read() : 0;
    if (survey_option("pace=self") || !host_samples())
        own_samples();
}
