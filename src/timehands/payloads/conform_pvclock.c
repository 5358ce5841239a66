/*
 * The conformance guest's pvclock: KVM's paravirtual clock, by either pair of its MSRs.
 *
 * Source: Linux Documentation/virt/kvm/x86/msr.rst (MSR_KVM_SYSTEM_TIME_NEW,
 * MSR_KVM_WALL_CLOCK_NEW) and arch/x86/include/asm/pvclock-abi.h.
 */
#include "conform_pvclock.h"

enum {
    OLD_WALL = 0x11, OLD_SYSTEM = 0x12, NEW_WALL = 0x4b564d00, NEW_SYSTEM = 0x4b564d01,
    FEATURE_OLD = 1 << 0, FEATURE_NEW = 1 << 3, HYPERVISOR = 0x40000000, KVM_SIGNATURE = 0x4b4d564b,
    TRIES = 64, READS = 20000, READS_LEAST = 100, NEEDED = 200, PATTERN = 0xa5, FLAG_STOPPED = 2,
};

volatile union slot pvclock_pages[SMP_MOST] __attribute__((aligned(64)));
static volatile union slot other __attribute__((aligned(64)));
static volatile union slot wall_page __attribute__((aligned(64)));
static uint32_t msr_system, msr_wall;
static int usable;

static uint32_t address(volatile union slot *slot)
{
    return (uint32_t)(uintptr_t)slot;
}

static uint64_t scaled(uint64_t delta, uint32_t mul, int8_t shift)
{
    delta = shift < 0 ? delta >> -shift : delta << shift;
    return (delta >> 32) * mul + ((uint64_t)(uint32_t)delta * mul >> 32);
}

static void copy(struct page *to, volatile struct page *from)
{
    to->pad0 = from->pad0;
    to->tsc_timestamp = from->tsc_timestamp;
    to->system_time = from->system_time;
    to->mul = from->mul;
    to->shift = from->shift;
    to->flags = from->flags;
    to->pad[0] = from->pad[0];
    to->pad[1] = from->pad[1];
}

uint64_t pvclock_at(const struct page *page, uint64_t tsc)
{
    return page->system_time + scaled(tsc - page->tsc_timestamp, page->mul, page->shift);
}

/* The time by the protocol: even version, TSC, all fields, the same version. */
uint64_t pvclock_read(volatile struct page *page, struct seen *seen)
{
    for (unsigned i = 0; i < TRIES; i++) {
        uint32_t version = page->version;

        seen->tries++;
        if (version & 1) {
            seen->odd++;
            continue;
        }
        __asm__ volatile("" : : : "memory");
        seen->tsc = ordered_tsc();
        copy(&seen->page, page);
        seen->page.version = version;
        __asm__ volatile("" : : : "memory");
        if (page->version == version)
            break;
        seen->torn++;
    }
    return pvclock_at(&seen->page, seen->tsc);
}

static int same(const struct page *a, const struct page *b)
{
    return a->tsc_timestamp == b->tsc_timestamp && a->system_time == b->system_time
        && a->mul == b->mul && a->shift == b->shift && a->flags == b->flags;
}

static void fill(volatile union slot *slot)
{
    for (unsigned i = 0; i < sizeof *slot; i++)
        slot->bytes[i] = PATTERN;
}

static unsigned untouched(volatile union slot *slot, unsigned from)
{
    for (unsigned i = from; i < sizeof *slot; i++)
        if (slot->bytes[i] != PATTERN)
            return 0;
    return 1;
}

static void put_page(const struct page *page)
{
    value("version", page->version);
    value("pad0", page->pad0);
    value("tsc_timestamp", page->tsc_timestamp);
    value("system_time", page->system_time);
    value("mul", page->mul);
    value("shift", (uint8_t)page->shift);
    value("flags", page->flags);
    value("pad", page->pad[0] | (uint32_t)page->pad[1] << 8);
}

/* Let the vCPU leave its guest a few times: that is when a page is written. */
static void leave(void)
{
    for (unsigned i = 0; i < 4; i++)
        inb(0x3f8 + 5);
}

void pvclock_register(volatile union slot *slot)
{
    wrmsr64(msr_system, address(slot) | 1);
    leave();
}

/* Register through one MSR, into a page full of a pattern, and tell what came of it. */
static int registration(const char *id, uint32_t msr, uint32_t feature)
{
    struct seen seen = {0};
    uint64_t before, back = 0, now;
    int refused, read_refused;

    begin(id);
    for (unsigned i = 0; i < sizeof pvclock_pages[0]; i++)
        pvclock_pages[0].bytes[i] = 0;
    for (unsigned i = sizeof(struct page); i < sizeof pvclock_pages[0]; i++)
        pvclock_pages[0].bytes[i] = PATTERN;
    before = rdtsc();
    refused = wrmsr64(msr, address(&pvclock_pages[0]) | 1);
    leave();
    now = pvclock_read(&pvclock_pages[0].page, &seen);
    if (!seen.page.version) {           /* none, or one that stays odd */
        copy(&seen.page, &pvclock_pages[0].page);
        seen.page.version = pvclock_pages[0].page.version;
    }
    read_refused = rdmsr64(msr, &back);
    data(id);
    value("announced", feature);
    value("refused", (uint64_t)refused);
    value("wrote", address(&pvclock_pages[0]) | 1);
    value("read_refused", (uint64_t)read_refused);
    value("read", back);
    value("tsc_before", before);
    value("tsc", seen.tsc);
    value("ns", now);
    value("behind_kept", untouched(&pvclock_pages[0], sizeof(struct page)));
    put_page(&seen.page);
    put_end();
    return !refused && seen.page.version && !(seen.page.version & 1) && seen.page.mul;
}

void conform_pvclock_register(void)
{
    int is_kvm = cpuid(HYPERVISOR, 0).ebx == KVM_SIGNATURE;
    uint32_t features = is_kvm ? cpuid(HYPERVISOR + 1, 0).eax : 0;
    int older, newer;

    older = registration("pvclock.old_msrs", OLD_SYSTEM, !!(features & FEATURE_OLD));
    if (older)
        wrmsr64(OLD_SYSTEM, 0);
    newer = registration("pvclock.new_msrs", NEW_SYSTEM, !!(features & FEATURE_NEW));
    usable = older || newer;
    msr_system = newer ? NEW_SYSTEM : OLD_SYSTEM;
    msr_wall = newer ? NEW_WALL : OLD_WALL;
    if (older && !newer)
        wrmsr64(OLD_SYSTEM, address(&pvclock_pages[0]) | 1);
    leave();
}

int pvclock_registered(void) { return usable; }
uint32_t pvclock_flags(void) { return pvclock_pages[0].page.flags; }
uint32_t pvclock_version(void) { return pvclock_pages[0].page.version; }
void pvclock_clear_stopped(void) { pvclock_pages[0].page.flags &= (uint8_t)~FLAG_STOPPED; }

void pvclock_update(void)
{
    pvclock_register(&pvclock_pages[0]);
}

uint64_t pvclock_now(void)
{
    struct seen seen = {0};

    return pvclock_read(&pvclock_pages[0].page, &seen);
}

static void monotonic(void)
{
    struct seen seen = {0};
    uint64_t before = pvclock_read(&pvclock_pages[0].page, &seen), first = before, start = seen.tsc;
    uint64_t back = 0, worst = 0, stalls = 0, longest = 0, last_tsc = start, moved = start;
    unsigned n;

    begin("pvclock.monotonic");
    for (n = 0; n < READS_LEAST || (n < READS && last_tsc - start < LONG_WAIT); n++) {
        uint64_t now = pvclock_read(&pvclock_pages[0].page, &seen);

        if (now < before) {
            back++;
            if (before - now > worst)
                worst = before - now;
        }
        if (now != before) {
            moved = seen.tsc;
        } else if (seen.tsc - moved > 1 << 14) {        /* microseconds, and the time is the same */
            stalls++;
            if (seen.tsc - moved > longest)
                longest = seen.tsc - moved;
        }
        before = now;
        last_tsc = seen.tsc;
    }
    data("pvclock.monotonic");
    value("reads", n);
    value("warps", back);
    value("worst_ns", worst);
    value("stalls", stalls);
    value("longest_stall", longest);
    value("elapsed_ns", before - first);
    value("elapsed", last_tsc - start);
    put_end();
}

static struct load load;

static void look(volatile struct page *page, struct load *load, struct seen *last)
{
    struct seen seen = {0};
    uint64_t now = pvclock_read(page, &seen), told = pvclock_at(&last->page, seen.tsc);

    load->reads++;
    load->odd += seen.odd;
    load->torn += seen.torn;
    if (!seen.page.version)
        return;                         /* no quiet moment was seen */
    load->changed += seen.page.version == last->page.version && !same(&seen.page, &last->page);
    load->back += (int32_t)(seen.page.version - last->page.version) < 0;
    load->versions += seen.page.version != last->page.version;
    if (now > told && now - told > load->ahead)
        load->ahead = now - told;       /* the new record against what the old one would say */
    if (now < told && told - now > load->behind)
        load->behind = told - now;
    *last = seen;
}

void put_load(const struct load *load, uint32_t updates)
{
    value("updates", updates);
    value("reads", load->reads);
    value("versions", load->versions);
    value("odd", load->odd);
    value("torn", load->torn);
    value("changed", load->changed);
    value("back", load->back);
}

static void version(void)
{
    struct seen last = {0};
    uint64_t start = rdtsc();
    uint32_t updates;

    begin("pvclock.version");
    load = (struct load){0};
    pvclock_read(&pvclock_pages[0].page, &last);
    for (updates = 0; updates < NEEDED && rdtsc() - start < LONG_WAIT; updates++) {
        pvclock_register(&pvclock_pages[0]);
        for (unsigned i = 0; i < 4; i++)
            look(&pvclock_pages[0].page, &load, &last);
    }
    data("pvclock.version");
    put_load(&load, updates);
    value("ahead_ns", load.ahead);
    value("behind_ns", load.behind);
    put_end();
}

static void again(void)
{
    uint64_t before, after;
    struct seen seen = {0};

    begin("pvclock.register_again");
    fill(&other);
    other.page.version = 0;
    before = pvclock_now();
    pvclock_register(&other);
    after = pvclock_read(&other.page, &seen);
    fill(&pvclock_pages[0]);
    for (unsigned i = 0; i < 4; i++) {
        pvclock_register(&other);
    }
    data("pvclock.register_again");
    value("before_ns", before);
    value("after_ns", after);
    value("version", seen.page.version);
    value("mul", seen.page.mul);
    value("old_kept", untouched(&pvclock_pages[0], 0));
    put_end();
}

static void disable(void)
{
    uint64_t before;
    unsigned kept;
    struct seen seen = {0};

    begin("pvclock.disable");
    before = pvclock_read(&other.page, &seen);
    wrmsr64(msr_system, address(&other));       /* bit 0, which enables, is clear */
    leave();
    fill(&other);
    wait_cycles(SHORT_WAIT);
    leave();
    kept = untouched(&other, 0);
    pvclock_pages[0].page.version = 0;
    pvclock_register(&pvclock_pages[0]);
    data("pvclock.disable");
    value("kept", kept);
    value("before_ns", before);
    value("after_ns", pvclock_now());
    value("version", pvclock_pages[0].page.version);
    put_end();
}

/* Addresses that are none of ours to give: refused or ignored, and the good page works again. */
static void bad_addresses(uint64_t end)
{
    uint64_t good = address(&other) | 1, before = pvclock_now(), refused[8];
    const uint64_t bad[8] = {
        0xd0000001, 0xfffffff1, 0xffffffff1, 0xffffffffff001, 0xfffffffffffff001,   /* none there */
        good + 2, good + 4,                             /* not aligned to 4, and to 32 */
        end ? (end - sizeof(struct page) / 2) | 1 : good,       /* half of it behind the memory */
    };

    begin("pvclock.bad_address");
    for (unsigned i = 0; i < 8; i++) {
        refused[i] = (uint64_t)wrmsr64(msr_system, bad[i]);
        leave();
    }
    pvclock_pages[0].page.version = 0;
    pvclock_register(&pvclock_pages[0]);
    data("pvclock.bad_address");
    values("refused", refused, 8);
    value("memory_end", end);
    value("before_ns", before);
    value("after_ns", pvclock_now());
    value("version", pvclock_pages[0].page.version);
    put_end();
}

static void wall(void)
{
    uint64_t now;
    int refused;

    begin("pvclock.wall");
    fill(&wall_page);
    wall_page.wall.version = 0;
    refused = wrmsr64(msr_wall, address(&wall_page));
    leave();
    now = pvclock_now();
    data("pvclock.wall");
    value("refused", (uint64_t)refused);
    value("version", wall_page.wall.version);
    value("sec", wall_page.wall.sec);
    value("nsec", wall_page.wall.nsec);
    value("behind_kept", untouched(&wall_page, sizeof(struct wall)));
    value("ns", now);
    put_end();
}

static void skip_all(void)
{
    static const char *const all[] = {
        "pvclock.monotonic", "pvclock.version", "pvclock.version_across", "pvclock.across",
        "pvclock.register_again", "pvclock.disable", "pvclock.bad_address", "pvclock.wall",
    };

    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        skip(all[i], "no-pvclock");
}

void conform_pvclock(const uint32_t *info)
{
    if (!usable) {
        skip_all();
        return;
    }
    monotonic();
    conform_pvclock_across();
    version();
    conform_pvclock_version_across();
    again();
    disable();
    bad_addresses(memory_end(info));
    wall();
}
