/* KVM's pvclock: one record, and the MSR that tells KVM where it is. */
#include "freebsd.h"

#define KVM_FEATURE_CLOCKSOURCE 0x1
#define KVM_FEATURE_CLOCKSOURCE2 0x8

static struct pvclock_vcpu_time_info timeinfos[128] __attribute__((aligned(4096)));

int kvm_clock_attach(device_t dev)
{
    u_int regs[4];
    (void)dev;
    if (vm_guest != VM_GUEST_KVM)
        return -1;
    do_cpuid(hv_base + 1, regs);
    if (!(regs[0] & (KVM_FEATURE_CLOCKSOURCE | KVM_FEATURE_CLOCKSOURCE2)))
        return -1;
    printf("kvmclock0: <KVM paravirtual clock> on motherboard\n");
    uint64_t address = (uint64_t)timeinfos - KERNBASE;
    wrmsr(regs[0] & KVM_FEATURE_CLOCKSOURCE2 ? 0x4b564d01 : 0x12, address | 1);
    pvclock_init(timeinfos, "kvmclock", 975);
    return 0;
}
