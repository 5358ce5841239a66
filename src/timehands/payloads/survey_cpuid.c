/* The survey's CPUID leaves and MSRs. Each loop has a bound that does not come from the CPU. */
#include "survey.h"

enum {
    BASIC_MOST = 0x40,
    RANGE_MOST = 0xff,
    HYPERVISOR = 0x40000000,
    HYPERVISOR_LAST = 0x4000ff00,
    TIMING = 0x40000010,
    EXTENDED = 0x80000000,
};

/* Leaves whose answer depends on the subleaf, and the last one to ask for.
   Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E. */
static const struct { uint32_t leaf, last; } subleaves[] = {
    {0x4, 7}, {0x7, 3}, {0xb, 3}, {0xd, 63}, {0xf, 1}, {0x10, 3}, {0x12, 3}, {0x14, 1},
    {0x17, 3}, {0x18, 7}, {0x1b, 3}, {0x1d, 2}, {0x1f, 5}, {0x20, 1}, {0x23, 5}, {0x24, 1},
    {0x8000001d, 7}, {0x80000020, 3}, {0x80000026, 5},
};

static const uint32_t msrs[] = {
    0x10, 0x11, 0x12, 0x1b, 0x3b, 0xcd, 0xce, 0xe7, 0xe8, 0x6e0,
    0x40000020, 0x40000021, 0x40000022, 0x40000023, 0x40000118,
    0x4b564d00, 0x4b564d01, 0xc0000104, 0xc0010015, 0xc0010064,
};

static int is_zero(struct cpuid r)
{
    return !(r.eax | r.ebx | r.ecx | r.edx);
}

static void put_registers(struct cpuid r)
{
    if (!is_zero(r)) {
        put_word(r.eax);
        put_word(r.ebx);
        put_word(r.ecx);
        put_word(r.edx);
    }
    put_end();
}

static void put_leaf(uint32_t leaf, uint32_t subleaf, struct cpuid r)
{
    put_char('C');
    put_word(leaf);
    put_word(subleaf);
    put_registers(r);
}

static uint32_t last_subleaf(uint32_t leaf)
{
    for (unsigned i = 0; i < sizeof(subleaves) / sizeof(subleaves[0]); i++)
        if (subleaves[i].leaf == leaf)
            return subleaves[i].last;
    return 0;
}

static void put_leaves(uint32_t base, uint32_t limit, uint32_t most)
{
    for (uint32_t leaf = base; leaf <= limit && leaf <= base + most; leaf++) {
        put_leaf(leaf, 0, cpuid(leaf, 0));
        for (uint32_t sub = 1, last = last_subleaf(leaf); sub <= last; sub++) {
            struct cpuid r = cpuid(leaf, sub);
            if (!is_zero(r))
                put_leaf(leaf, sub, r);
        }
    }
}

/* Whether the registers hold a vendor's name: printable, at least four characters, then zeros. */
static int is_signature(struct cpuid r)
{
    const uint32_t words[3] = {r.ebx, r.ecx, r.edx};
    unsigned length = 0, ended = 0;

    for (unsigned i = 0; i < 12; i++) {
        unsigned c = words[i / 4] >> (i % 4 * 8) & 0xff;
        if (c ? ended || c < ' ' || c > '~' : 0)
            return 0;
        ended |= !c;
        length += !ended;
    }
    return length >= 4;
}

static void put_xen_time(uint32_t base, struct cpuid r)
{
    if (r.ebx == 0x566e6558)    /* "XenV" */
        for (uint32_t sub = 1; sub <= 2; sub++)
            put_leaf(base + 3, sub, cpuid(base + 3, sub));
}

static void put_hypervisors(void)
{
    for (uint32_t base = HYPERVISOR; base <= HYPERVISOR_LAST; base += 0x100) {
        struct cpuid r = cpuid(base, 0);
        uint32_t limit = r.eax ? r.eax : base + 1;  /* an old KVM says 0 and means one leaf */

        if (!is_signature(r) || limit < base || limit > base + RANGE_MOST) {
            if (base == HYPERVISOR)
                put_leaf(base, 0, r);
            continue;
        }
        put_leaves(base, limit, RANGE_MOST);
        if (limit >= base + 3)
            put_xen_time(base, r);
    }
}

/* What the CPU answers where it has nothing to say: reports like to show it. */
static void put_garbage(uint32_t leaf, uint32_t limit)
{
    if (limit >= leaf && limit <= leaf + RANGE_MOST)
        return;
    put_char('G');
    put_word(leaf);
    put_registers(cpuid(leaf, 0));
}

void survey_cpuid(void)
{
    put_leaves(0, cpuid(0, 0).eax, BASIC_MOST);
    put_hypervisors();
    put_garbage(TIMING, cpuid(HYPERVISOR, 0).eax);
    put_leaves(EXTENDED, cpuid(EXTENDED, 0).eax, RANGE_MOST);
}

void survey_msrs(void)
{
    if (!(cpuid(1, 0).edx & 1 << 5))
        return;
    for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        uint32_t value[2];
        uint32_t refused = bare_rdmsr(msrs[i], value);

        put_char('M');
        put_word(msrs[i]);
        if (refused)
            put_text(" -");
        else
            put_word((uint64_t)value[1] << 32 | value[0]);
        put_end();
    }
}
