/* pvclock(4) at pvbus(4): KVM's clock, 1500 while its TSC is stable, else 500, never backwards. */
#include "openbsd.h"

#define KVM_FEATURE_CLOCKSOURCE2 0x8
#define KVM_MSR_SYSTEM_TIME 0x4b564d01
#define PVCLOCK_FLAG_TSC_STABLE 0x01

struct pvclock_time_info {
    uint32_t ti_version, ti_pad0;
    uint64_t ti_tsc_timestamp, ti_system_time;
    uint32_t ti_tsc_to_system_mul;
    int8_t ti_tsc_shift;
    uint8_t ti_flags, ti_pad[2];
};

static volatile struct pvclock_time_info time_info __attribute__((aligned(4096)));
static uint64_t pvclock_lastcount;
static uint32_t pvbus_base, kvm_features;

static u_int pvclock_get_timecount(struct timecounter *tc)
{
    uint32_t version;
    uint64_t now;
    uint8_t flags;
    (void)tc;
    do {
        version = time_info.ti_version & ~1u;
        uint64_t delta = rdtsc_ordered() - time_info.ti_tsc_timestamp;
        int8_t shift = time_info.ti_tsc_shift;
        delta = shift < 0 ? delta >> -shift : delta << shift;
        now = time_info.ti_system_time +
              (uint64_t)((unsigned __int128)delta * time_info.ti_tsc_to_system_mul >> 32);
        flags = time_info.ti_flags;
        __asm__ volatile("" : : : "memory");
    } while (version != time_info.ti_version);
    if (flags & PVCLOCK_FLAG_TSC_STABLE)
        return (u_int)now;
    if (now > pvclock_lastcount)
        pvclock_lastcount = now;
    return (u_int)pvclock_lastcount;
}

static struct timecounter pvclock_timecounter = {
    .tc_get_timecount = pvclock_get_timecount, .tc_counter_mask = ~0u,
    .tc_frequency = 1000000000, .tc_name = "pvclock0", .tc_quality = 1500,
};

void pvbus_identify(void)
{
    uint32_t regs[4];
    do_cpuid(1, regs);
    if (!(regs[2] & 0x80000000))
        return;
    do_cpuid(0x40000000, regs);
    if (memcmp(&regs[1], "KVMKVMKVM\0\0\0", 12))
        return;
    pvbus_base = 0x40000000;
    do_cpuid(pvbus_base + 1, regs);
    kvm_features = regs[0];
    printf("pvbus0 at mainbus0: KVM\n");
}

void pvclock_attach(void)
{
    if (!(kvm_features & KVM_FEATURE_CLOCKSOURCE2))
        return;
    wrmsr(KVM_MSR_SYSTEM_TIME, ((uint64_t)&time_info - KERNBASE) | 1);
    if (!(time_info.ti_flags & PVCLOCK_FLAG_TSC_STABLE))
        pvclock_timecounter.tc_quality = 500;
    printf("pvclock0 at pvbus0\n");
    tc_init(&pvclock_timecounter);
}
