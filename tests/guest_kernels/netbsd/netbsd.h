/*
 * The public names, layouts and values of NetBSD/amd64 10.99 that its clocks are made of, written
 * anew as facts: sys/timetc.h, x86/include/cpu.h, x86/include/x86/cpu.h, sys/reboot.h.
 */
#ifndef NETBSD_H
#define NETBSD_H

#include "guest.h"

typedef enum vm_guest {
    VM_GUEST_NO, VM_GUEST_VM, VM_GUEST_XENPV, VM_GUEST_XENPVH, VM_GUEST_XENHVM,
    VM_GUEST_XENPVHVM, VM_GUEST_HV, VM_GUEST_VMWARE, VM_GUEST_KVM, VM_GUEST_VIRTUALBOX,
    VM_GUEST_GENPVH, VM_LAST,
} vm_guest_t;
extern vm_guest_t vm_guest;

#define AB_VERBOSE 0x00020000
#define AB_DEBUG 0x00080000
extern int boothowto, hz;
extern uint32_t hvm_start_paddr;
extern const char *panicstr;
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define aprint_verbose(...) ((void)((boothowto & AB_VERBOSE) && printf(__VA_ARGS__)))
#define aprint_debug(...) ((void)((boothowto & AB_DEBUG) && printf(__VA_ARGS__)))

struct cpu_data {
    uint64_t cpu_cc_freq;
};
struct cpu_info {
    const char *ci_name;
    struct cpu_data ci_data;
    uint32_t ci_max_cpuid, ci_max_ext_cpuid, ci_signature;
    uint32_t ci_feat_val[2];
    char ci_vendor[13];
};
extern struct cpu_info cpu_info_primary;
#define CPUID_TSC 0x10
#define CPUID_APIC 0x200
static inline bool cpu_hascounter(void)
{
    return cpu_info_primary.ci_feat_val[0] & CPUID_TSC;
}
void init_x86_64(vm_paddr_t first_avail);
int main(void);
void configure(void);
void configure2(void);
void initclocks(void);
void cpu_initclocks(void);
void cpu_configure(void);
void cpu_boot_secondary_processors(void);
void cpu_get_tsc_freq(struct cpu_info *ci);
uint64_t cpu_tsc_freq_cpuid(struct cpu_info *ci);
uint64_t cpu_frequency(struct cpu_info *ci);

/* kern/kern_tc.c */
struct timecounter {
    u_int (*tc_get_timecount)(struct timecounter *);
    void (*tc_poll_pps)(struct timecounter *);
    u_int tc_counter_mask;
    uint64_t tc_frequency;
    const char *tc_name;
    int tc_quality;
    void *tc_priv;
    struct timecounter *tc_next;
};
extern struct timecounter *timecounter;
void inittimecounter(void);
void tc_init(struct timecounter *tc);
void tc_ticktock(void);
void damage_timecounters(const char *how); /* "cyclic" or "corrupt" */

/* arch/x86/isa/clock.c */
#define TIMER_FREQ 1193182
extern u_long x86_rtclock_tval;
void initrtclock(u_long freq);
void startrtclock(void);
unsigned int gettick(void);
void i8254_delay(unsigned int n);
void i8254_initclocks(void);
u_int i8254_get_timecount(struct timecounter *tc);

/* arch/x86/x86/lapic.c */
extern uint32_t lapic_per_second, lapic_tval;
extern bool lapic_from_cpuid;
void lapic_boot_init(vm_paddr_t address);
void lapic_calibrate_timer(bool secondpass);
void lapic_clockintr(void);
extern void (*delay_func)(unsigned int);
extern void (*x86_initclock_func)(void);
void x86_delay(unsigned int usec);
#define DELAY(n) x86_delay(n)

/* arch/x86/x86/tsc.c */
extern uint64_t tsc_freq;
extern uint64_t (*cpu_counter)(void);
bool tsc_is_invariant(void);
void tsc_setfunc(struct cpu_info *ci);
void tsc_tc_init(void);

#endif
