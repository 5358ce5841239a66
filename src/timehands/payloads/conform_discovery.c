/* The conformance guest's discovery: what CPUID says of clocks, as it is; the host judges it. */
#include "conform.h"

enum { HYPERVISOR = 0x40000000, RANGES = 8, RANGE_STEP = 0x100 };

static void leaf(const char *id, uint32_t number)
{
    struct cpuid r = cpuid(number, 0);
    uint64_t words[4] = {r.eax, r.ebx, r.ecx, r.edx};

    begin(id);
    data(id);
    value("leaf", number);
    values("regs", words, 4);
    put_end();
}

static void limits(void)
{
    begin("discovery.limits");
    data("discovery.limits");
    value("basic", cpuid(0, 0).eax);
    value("extended", cpuid(0x80000000, 0).eax);
    value("features_ecx", cpuid(1, 0).ecx);
    value("features_edx", cpuid(1, 0).edx);
    value("structured_ebx", cpuid(0, 0).eax >= 7 ? cpuid(7, 0).ebx : 0);
    value("power_eax", cpuid(0, 0).eax >= 6 ? cpuid(6, 0).eax : 0);
    value("power_edx", cpuid(0x80000000, 0).eax >= 0x80000007 ? cpuid(0x80000007, 0).edx : 0);
    value("cpus", smp_cpus());
    put_end();
}

/* Every range of hypervisor leaves that answers: base, limit, and the signature's three words. */
static void ranges(void)
{
    begin("discovery.signature");
    data("discovery.signature");
    for (uint32_t i = 0; i < RANGES; i++) {
        struct cpuid r = cpuid(HYPERVISOR + i * RANGE_STEP, 0);
        uint64_t words[4] = {r.eax, r.ebx, r.ecx, r.edx};
        char key[3] = {'r', (char)('0' + i), 0};

        values(key, words, 4);
    }
    put_end();
}

static void brand(void)
{
    uint64_t words[12];

    begin("discovery.brand");
    if (cpuid(0x80000000, 0).eax < 0x80000004) {
        skip("discovery.brand", "no-leaf-0x80000004");
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        struct cpuid r = cpuid(0x80000002 + i, 0);

        words[4 * i] = r.eax;
        words[4 * i + 1] = r.ebx;
        words[4 * i + 2] = r.ecx;
        words[4 * i + 3] = r.edx;
    }
    data("discovery.brand");
    values("words", words, 12);
    put_end();
}

void conform_discovery(void)
{
    limits();
    ranges();
    leaf("discovery.features", HYPERVISOR + 1);
    leaf("discovery.timing", HYPERVISOR + 0x10);
    leaf("discovery.crystal", 0x15);
    leaf("discovery.processor", 0x16);
    brand();
}
