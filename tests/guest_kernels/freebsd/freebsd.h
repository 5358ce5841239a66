/*
 * The public names, layouts and values of FreeBSD/amd64 14 that its clocks are made of, written
 * anew as facts: sys/timetc.h, sys/timeet.h, x86/init.h, x86/pvclock.h, sys/tslog.h.
 */
#ifndef FREEBSD_H
#define FREEBSD_H

#include "guest.h"

typedef uint64_t sbintime_t;
typedef void *device_t;

/* x86/x86/identcpu.c */
enum { VM_GUEST_NO, VM_GUEST_VM, VM_GUEST_XEN, VM_GUEST_HV, VM_GUEST_VMWARE, VM_GUEST_KVM };
extern int vm_guest;
extern u_int hv_base, hv_high, cpu_feature, cpu_feature2, cpu_high, cpu_exthigh, amd_pminfo;
extern char hv_vendor[16];
extern char cpu_vendor[13];
void identify_cpu1(void);
void identify_hypervisor(void);
#define CPUID_TSC 0x10
#define CPUID_APIC 0x200
#define CPUID2_TSCDLT 0x01000000
#define CPUID2_HV 0x80000000

/* kern/kern_environment.c, kern_shutdown.c, init_main.c */
extern char *kern_envp;
extern char static_env[];
extern int bootverbose, hz, tick, ticks;
extern const char *panicstr;
void init_static_kenv(const char *words);
const char *kern_getenv(const char *name);
int getenv_int(const char *name, int otherwise);
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define KASSERT(holds, message) \
    do { \
        if (invariants && !(holds)) \
            panic message; \
    } while (0)
extern bool invariants; /* stands for a kernel built with options INVARIANTS */
uint64_t hammer_time_xen(vm_paddr_t start_info_paddr);
uint64_t hammer_time(uint64_t modulep, uint64_t physfree);
void mi_startup(void);

/* x86/include/init.h */
struct init_ops {
    char *(*parse_preload_data)(uint64_t);
    void (*early_clock_source_init)(void);
    void (*early_delay)(int);
    void (*parse_memmap)(char *, vm_paddr_t *, int *);
};
extern struct init_ops init_ops;

/* kern/kern_tc.c */
struct timecounter;
typedef u_int timecounter_get_t(struct timecounter *);
typedef void timecounter_pps_t(struct timecounter *);
typedef uint32_t timecounter_fill_vdso_timehands_t(void *, struct timecounter *);
struct timecounter {
    timecounter_get_t *tc_get_timecount;
    timecounter_pps_t *tc_poll_pps;
    u_int tc_counter_mask;
    uint64_t tc_frequency;
    const char *tc_name;
    int tc_quality;
    u_int tc_flags;
    void *tc_priv;
    struct timecounter *tc_next;
    timecounter_fill_vdso_timehands_t *tc_fill_vdso_timehands;
    timecounter_fill_vdso_timehands_t *tc_fill_vdso_timehands32;
};
extern struct timecounter *timecounter;
void tc_init(struct timecounter *tc);
void tc_windup(void);
void inittimecounter(void *dummy);
void damage_timecounters(const char *how); /* "cyclic" or "corrupt" */

/* kern/kern_et.c, kern_clocksource.c */
#define ET_FLAGS_PERIODIC 0x0001
#define ET_FLAGS_ONESHOT 0x0002
#define ET_FLAGS_PERCPU 0x0004
#define ET_FLAGS_C3STOP 0x0008
struct eventtimer;
typedef int et_start_t(struct eventtimer *et, sbintime_t first, sbintime_t period);
typedef int et_stop_t(struct eventtimer *et);
typedef void et_event_cb_t(struct eventtimer *et, void *arg);
struct eventtimer {
    struct {
        struct eventtimer *sle_next;
    } et_all;
    const char *et_name;
    int et_flags;
    int et_quality;
    int et_active;
    uint64_t et_frequency;
    sbintime_t et_min_period, et_max_period;
    et_start_t *et_start;
    et_stop_t *et_stop;
    et_event_cb_t *et_event_cb;
    void *et_deregister_cb;
    void *et_arg, *et_priv;
    void *et_sysctl;
};
int et_register(struct eventtimer *et);
struct eventtimer *et_find(const char *name, int check, int want);
void cpu_initclocks_bsp(void);
void hardclock(void);

/* x86/isa/clock.c, x86/x86/delay.c */
void clock_init(void);
void i8254_init(void);
void i8254_delay(int n);
void startrtclock(void);
void cpu_initclocks(void);
int attimer_attach(device_t dev);
void DELAY(int n);

/* x86/x86/tsc.c */
extern uint64_t tsc_freq;
extern int tsc_is_invariant;
void tsc_init(void);
void start_TSC(void);
void init_TSC_tc(void *dummy);
void tsc_calibrate(void);

/* x86/x86/local_apic.c */
void lapic_init(vm_paddr_t address);
void lapic_calibrate_timer(void);
void lapic_handle_timer(void);

/* kern/subr_clockcalib.c */
uint64_t clockcalib(uint64_t (*clk)(void), const char *clkname);

/* x86/x86/pvclock.c, dev/kvm_clock, x86/xen/pv.c, dev/xen/timer */
struct pvclock_vcpu_time_info {
    uint32_t version, pad0;
    uint64_t tsc_timestamp, system_time;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags, pad[2];
};
struct vcpu_info {
    uint8_t evtchn_upcall_pending, evtchn_upcall_mask;
    u_long evtchn_pending_sel;
    u_long arch[2];
    struct pvclock_vcpu_time_info time;
};
typedef struct shared_info {
    struct vcpu_info vcpu_info[32];
} shared_info_t;
extern shared_info_t *HYPERVISOR_shared_info;
uint64_t pvclock_get_timecount(struct pvclock_vcpu_time_info *ti);
uint64_t pvclock_tsc_freq(struct pvclock_vcpu_time_info *ti);
void pvclock_init(struct pvclock_vcpu_time_info *ti, const char *tc_name, int tc_quality);
int kvm_clock_attach(device_t dev);
void xen_clock_init(void);
void xen_delay(int n);

/* kern/kern_tslog.c */
enum { TS_ENTER, TS_EXIT, TS_THREAD, TS_EVENT };
void tslog(void *td, int type, const char *f, const char *s);
#define TSENTER() tslog(&thread0_st, TS_ENTER, __func__, NULL)
#define TSENTER2(s) tslog(&thread0_st, TS_ENTER, __func__, s)
#define TSEXIT() tslog(&thread0_st, TS_EXIT, __func__, NULL)
#define TSEXIT2(s) tslog(&thread0_st, TS_EXIT, __func__, s)
struct thread {
    const char *td_name;
};
extern struct thread thread0_st;

#endif
