/* The TSC's rate from CPUID. */
#include "netbsd.h"

static uint64_t from_crystal(const struct cpu_info *ci)
{
    uint32_t regs[4];
    if (ci->ci_max_cpuid < 0x15 || strcmp(ci->ci_vendor, "GenuineIntel"))
        return 0;
    do_cpuid(0x15, regs);
    uint64_t khz = regs[2] / 1000;
    if (!regs[0] || !regs[1] || !khz)
        return 0;
    lapic_per_second = (uint32_t)khz * 1000;
    return khz * 1000 * regs[1] / regs[0];
}

/*
 * The hypervisor's leaf, as from revision 1.11 on: guarded by the wrong limit, so that it is read
 * where there is none. The word hvleaf=1 stands for a kernel of that age.
 */
static uint64_t from_hypervisor(const struct cpu_info *ci)
{
    uint32_t regs[4];
    if (!word_is("hvleaf", "1") || vm_guest == VM_GUEST_NO || ci->ci_max_ext_cpuid < 0x40000010)
        return 0;
    do_cpuid(0x40000010, regs);
    if (regs[1] != 0) {
        lapic_per_second = regs[1] * 1000;
        lapic_from_cpuid = true;
    }
    return (uint64_t)regs[0] * 1000;
}

uint64_t cpu_tsc_freq_cpuid(struct cpu_info *ci)
{
    uint64_t freq = from_crystal(ci);
    return freq ? freq : from_hypervisor(ci);
}
