/*
 * The conformance guest's pvclock between processors: whether their clocks agree, and what one sees
 * of another one's record while that is written.
 */
#include "conform_pvclock.h"
#include "conform_turns.h"

enum { READS = 4000, UPDATES = 1000 };
#define SPOILT 0xa5a5a5a5u

static struct load load;

/* The second processor spoils its own record and has it written anew; the first one looks on. A
   record may be written at any time besides (KVM does when a vCPU moves): so `spoilt` tells of a
   version only when its record was spoilt for certain, until the next one is. While it does, a
   spoilt body under a newer version, or a good one under that one, was not written between an odd
   version and an even one. */
static volatile uint32_t updating, updates_done, spoilt;

static void update(void)
{
    for (unsigned i = 0; i < UPDATES && updating; i++) {
        volatile struct page *page = &pvclock_pages[1].page;
        uint32_t now;

        spoilt = 0;
        now = page->version;
        page->mul = SPOILT;
        page->system_time = 0;
        if (page->version == now)
            spoilt = now;
        pvclock_register(&pvclock_pages[1]);
        updates_done = i + 1;
    }
    updating = 0;
}

/* As few instructions as can be: what is wrong is so for microseconds. */
static void look_on(void)
{
    volatile struct page *page = &pvclock_pages[1].page;
    uint32_t before = spoilt, version = page->version, mul = page->mul, again = page->version;
    uint32_t still = spoilt;

    load.reads++;
    if (version & 1)
        load.odd++;
    else if (version != again)
        load.torn++;
    else if (before != 0 && still == before) {
        load.half += mul == SPOILT && (int32_t)(version - before) > 0;
        load.changed += mul != SPOILT && version == before;
    }
    load.good += mul != SPOILT;
}

static void watch(unsigned cpu)
{
    uint64_t start = rdtsc();

    if (cpu == 1)
        update();
    if (cpu != 0)
        return;
    while (updating && rdtsc() - start < 8 * (uint64_t)LONG_WAIT)
        for (unsigned i = 0; i < 64; i++)
            look_on();
    updating = 0;
}

void conform_pvclock_version_across(void)
{
    begin("pvclock.version_across");
    if (smp_cpus() < 2) {
        skip("pvclock.version_across", "one-vcpu");
        return;
    }
    load = (struct load){0};
    spoilt = updates_done = 0;
    updating = 1;
    if (!smp_run(watch)) {
        skip("pvclock.version_across", "a-vcpu-did-not-come");
        return;
    }
    data("pvclock.version_across");
    put_load(&load, updates_done);
    value("half", load.half);
    value("good", load.good);
    put_end();
}

static void register_own(unsigned cpu)
{
    pvclock_register(&pvclock_pages[cpu]);
}

/* By each one's own record. */
static uint64_t own_time(unsigned cpu, uint64_t *tsc)
{
    struct seen seen = {0};
    uint64_t now = pvclock_read(&pvclock_pages[cpu].page, &seen);

    *tsc = seen.tsc;
    return now;
}

/* Each processor's page read at one TSC value: they are of one clock when they say the same. */
static void put_agreement(unsigned cpus)
{
    uint64_t tsc = ordered_tsc(), ns[SMP_MOST], flags[SMP_MOST], versions[SMP_MOST];

    for (unsigned i = 0; i < cpus; i++) {
        struct seen seen = {0};

        pvclock_read(&pvclock_pages[i].page, &seen);
        ns[i] = pvclock_at(&seen.page, tsc);
        flags[i] = seen.page.flags;
        versions[i] = seen.page.version;
    }
    values("versions", versions, cpus);
    values("ns", ns, cpus);
    values("flags", flags, cpus);
}

void conform_pvclock_across(void)
{
    unsigned cpus = smp_cpus();

    begin("pvclock.across");
    if (cpus < 2) {
        skip("pvclock.across", "one-vcpu");
        return;
    }
    if (!smp_run(register_own) || !turns_take(own_time, READS)) {
        skip("pvclock.across", "a-vcpu-did-not-come");
        return;
    }
    data("pvclock.across");
    put_turns("worst_ns");
    put_agreement(cpus);
    put_end();
}
