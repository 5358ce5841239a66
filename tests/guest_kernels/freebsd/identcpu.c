/* Which CPU, and which hypervisor. */
#include "freebsd.h"

int vm_guest;
u_int hv_base, hv_high, cpu_feature, cpu_feature2, cpu_high, cpu_exthigh, amd_pminfo;
char hv_vendor[16];
char cpu_vendor[13];

static const struct {
    const char *signature;
    int guest;
} known_hypervisors[] = {
    {"XenVMMXenVMM", VM_GUEST_XEN}, {"Microsoft Hv", VM_GUEST_HV},
    {"VMwareVMware", VM_GUEST_VMWARE}, {"KVMKVMKVM", VM_GUEST_KVM},
};

void identify_cpu1(void)
{
    u_int regs[4];
    do_cpuid(0, regs);
    cpu_high = regs[0];
    memcpy(cpu_vendor, &regs[1], 4);
    memcpy(cpu_vendor + 4, &regs[3], 4);
    memcpy(cpu_vendor + 8, &regs[2], 4);
    do_cpuid(1, regs);
    cpu_feature = regs[3];
    cpu_feature2 = regs[2];
    do_cpuid(0x80000000, regs);
    cpu_exthigh = regs[0];
}

static bool is_known(const char *vendor)
{
    for (size_t i = 0; i < sizeof(known_hypervisors) / sizeof(known_hypervisors[0]); i++)
        if (!strcmp(vendor, known_hypervisors[i].signature)) {
            vm_guest = known_hypervisors[i].guest;
            return true;
        }
    return false;
}

void identify_hypervisor(void)
{
    u_int regs[4];
    if (!(cpu_feature2 & CPUID2_HV))
        return;
    vm_guest = VM_GUEST_VM;
    for (u_int leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
        char vendor[16] = {0};
        do_cpuid(leaf, regs);
        memcpy(vendor, &regs[1], 12);
        if (regs[0] == 0 && !strcmp(vendor, "KVMKVMKVM"))
            regs[0] = leaf + 1;
        if (regs[0] < leaf || (hv_base && !is_known(vendor)))
            continue;
        hv_base = leaf;
        hv_high = regs[0];
        memcpy(hv_vendor, vendor, sizeof(vendor));
        if (is_known(vendor))
            break;
    }
}
