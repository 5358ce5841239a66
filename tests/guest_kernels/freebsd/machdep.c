/* The order of the boot, the kernel's environment, traps and panics. */
#include "freebsd.h"

#define LAPIC_ADDRESS 0xfee00000
#define RELEASE "14.2-TESTGUEST"

const char ostype[] = "FreeBSD";
const char osrelease[] = RELEASE;
const char version[] = "FreeBSD " RELEASE " #0: TIMEHANDS amd64\n";
/* What a configuration's envvar lines become (FIRECRACKER's has this one). */
char static_env[] = "machdep.disable_tsc_calibration=1\0hint.uart.0.port=0x3F8\0"
                    "hint.uart.0.at=isa\0";
char *kern_envp;
int bootverbose;
bool invariants;
const char *panicstr;

static void native_parse_memmap(char *kmdp, vm_paddr_t *physmap, int *physmap_idx)
{
    (void)kmdp, (void)physmap, (void)physmap_idx;
}

static char *native_parse_preload_data(uint64_t modulep)
{
    (void)modulep;
    return NULL;
}

struct init_ops init_ops = {
    native_parse_preload_data, i8254_init, i8254_delay, native_parse_memmap,
};

void init_static_kenv(const char *words)
{
    static char kenv[4096];
    size_t n = 0;
    for (const char *at = words; *at && n < sizeof(kenv) - 2; at++) {
        bool cuts = *at == ' ' || *at == ',' || *at == '\t' || *at == '\n';
        if (!cuts || (n && kenv[n - 1]))
            kenv[n++] = cuts ? 0 : *at;
    }
    kern_envp = kenv;
}

static const char *find_in(const char *env, const char *name)
{
    size_t length = strlen(name);
    for (; *env; env += strlen(env) + 1)
        if (!strncmp(env, name, length) && env[length] == '=')
            return env + length + 1;
    return NULL;
}

const char *kern_getenv(const char *name)
{
    const char *value = kern_envp ? find_in(kern_envp, name) : NULL;
    return value ? value : find_in(static_env, name);
}

int getenv_int(const char *name, int otherwise)
{
    const char *value = kern_getenv(name);
    if (!value || *value < '0' || *value > '9')
        return otherwise;
    int number = 0;
    for (; *value >= '0' && *value <= '9'; value++)
        number = number * 10 + *value - '0';
    return number;
}

static APART void vpanic(const char *format, va_list args)
{
    panicstr = format;
    console_on = true;
    printf("panic: ");
    vprintf(format, args);
    printf("\ncpuid = 0\ntime = 1\nUptime: 1s\n");
    if (word_is("kern.panic_reboot_wait_time", "0")) {
        printf("Rebooting...\n");
        reset();
    }
    printf("Automatic reboot in 15 seconds - press a key on the console to abort\n");
    halt();
}

void panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vpanic(format, args);
    va_end(args);
    halt();
}

static const char *const trap_msg[32] = {
    [0] = "integer divide fault", [6] = "privileged instruction fault", [8] = "double fault",
    [13] = "general protection fault", [14] = "page fault",
};

static void trap_fatal(struct trapframe *frame)
{
    static const uint8_t type_of_vector[32] = {
        [0] = 18, [1] = 10, [3] = 3, [6] = 1, [8] = 23, [13] = 9, [14] = 12,
    };
    u_int type = type_of_vector[frame->tf_trapno & 31];
    const char *msg = trap_msg[frame->tf_trapno & 31];
    msg = msg ? msg : "UNKNOWN";
    printf("\n\nFatal trap %u: %s while in kernel mode\ncpuid = 0; apic id = 00\n", type, msg);
    if (type == 12) {
        printf("fault virtual address\t= 0x%lx\n", (u_long)frame->tf_addr);
        printf("fault code\t\t= supervisor %s, %s\n",
               frame->tf_err & 16  ? "read instruction"
               : frame->tf_err & 2 ? "write data"
                                   : "read data",
               frame->tf_err & 1 ? "protection violation" : "page not present");
    }
    printf("instruction pointer\t= 0x%lx:0x%lx\n", (u_long)frame->tf_cs & 0xffff,
           (u_long)frame->tf_rip);
    printf("stack pointer\t        = 0x%lx:0x%lx\n", (u_long)frame->tf_ss & 0xffff,
           (u_long)frame->tf_rsp);
    printf("frame pointer\t        = 0x%lx:0x%lx\n", (u_long)frame->tf_ss & 0xffff,
           (u_long)frame->tf_rbp);
    printf("code segment\t\t= base 0x0, limit 0xfffff, type 0x1b\n");
    printf("\t\t\t= DPL 0, pres 1, long 1, def32 0, gran 1\n");
    printf("processor eflags\t= %sresume, IOPL = 0\n",
           frame->tf_rflags & 0x200 ? "interrupt enabled, " : "");
    printf("current process\t\t= 0 (%s)\n", thread0_st.td_name);
    printf("rdi: %016lx rsi: %016lx rdx: %016lx\n", frame->tf_rdi, frame->tf_rsi, frame->tf_rdx);
    printf("rcx: %016lx  r8: %016lx  r9: %016lx\n", frame->tf_rcx, frame->tf_r8, frame->tf_r9);
    printf("rax: %016lx rbx: %016lx rbp: %016lx\n", frame->tf_rax, frame->tf_rbx, frame->tf_rbp);
    printf("r10: %016lx r11: %016lx r12: %016lx\n", frame->tf_r10, frame->tf_r11, frame->tf_r12);
    printf("r13: %016lx r14: %016lx r15: %016lx\n", frame->tf_r13, frame->tf_r14, frame->tf_r15);
    printf("trap number\t\t= %u\n", type);
    panic("%s", msg);
}

void trap(struct trapframe *frame)
{
    trap_fatal(frame);
}

uint64_t hammer_time(uint64_t modulep, uint64_t physfree)
{
    TSENTER();
    (void)physfree;
    init_ops.parse_preload_data(modulep);
    bootverbose = getenv_int("boot_verbose", 0);
    invariants = getenv_int("invariants", 0);
    identify_cpu1();
    identify_hypervisor();
    hz = getenv_int("kern.hz", vm_guest == VM_GUEST_NO ? 1000 : 100);
    clock_init();
    tsc_init();
    TSEXIT();
    return 0;
}

static void cpu_startup(void *dummy)
{
    (void)dummy;
    startrtclock();
    if (hv_vendor[0])
        printf("Hypervisor: Origin = \"%s\"\n", hv_vendor);
}

static void apic_setup_local(void *dummy)
{
    (void)dummy;
    if (cpu_feature & CPUID_APIC)
        lapic_init(LAPIC_ADDRESS);
}

/* It waits for the last character before it takes the line. */
static void ns8250_bus_attach(device_t dev)
{
    (void)dev;
    DELAY(10);
    printf("uart0: console (115200,n,8,1)\n");
}

static void uart_bus_attach(device_t dev)
{
    printf("uart0: <16550 or compatible> at port 0x3f8 irq 4 flags 0x10 on isa0\n");
    ns8250_bus_attach(dev);
}

static void isa_probe_children(device_t dev)
{
    const char *at = kern_getenv("hint.attimer.0.at");
    uart_bus_attach(dev);
    if (at && !strcmp(at, "isa") && kern_getenv("hint.attimer.0.port"))
        attimer_attach(dev);
}

static void configure(void *dummy)
{
    kvm_clock_attach(dummy);
    isa_probe_children(dummy);
}

static void initclocks(void *dummy)
{
    (void)dummy;
    cpu_initclocks();
}

static void check_list(void *dummy)
{
    (void)dummy;
    const char *how = word_value("list");
    if (how)
        damage_timecounters(how);
    if (word_is("assert", "1"))
        panic("Assertion %s failed at %s:%d", "timecounter != &dummy_timecounter", __FILE__,
              __LINE__);
    misbehave();
}

/* Nobody types anything here. */
static APART void cngets(char *line, size_t size, int visible)
{
    (void)line, (void)size, (void)visible;
    idle();
}

static void vfs_mountroot(void *dummy)
{
    char name[80];
    (void)dummy;
    printf("\nManual root filesystem specification:\n"
           "  <fstype>:<device> [options]\n"
           "  ?               List valid disk boot devices\n"
           "  <empty line>    Abort manual input\n\nmountroot> ");
    cngets(name, sizeof(name), 1);
}

static const struct {
    void (*func)(void *);
    const char *name;
} sysinits[] = {
    {cpu_startup, "cpu_startup"}, {apic_setup_local, "apic_setup_local"},
    {init_TSC_tc, "init_TSC_tc"}, {configure, "configure"}, {initclocks, "initclocks"},
    {inittimecounter, "inittimecounter"}, {check_list, "check_list"},
    {vfs_mountroot, "vfs_mountroot"},
};

void mi_startup(void)
{
    TSENTER();
    printf("---<<BOOT>>---\nCopyright (c) 1992-2023 The FreeBSD Project.\n%s", version);
    for (size_t i = 0; i < sizeof(sysinits) / sizeof(sysinits[0]); i++) {
        tslog(&thread0_st, TS_ENTER, "SYSINIT", sysinits[i].name);
        sysinits[i].func(NULL);
        tslog(&thread0_st, TS_EXIT, "SYSINIT", sysinits[i].name);
    }
    TSEXIT();
}
