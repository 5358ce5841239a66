/* The order of the boot, traps and panics. */
#include "netbsd.h"

#define RELEASE "10.99.12"

const char ostype[] = "NetBSD";
const char osrelease[] = RELEASE;
const char version[] = "NetBSD " RELEASE " (MICROVM) #0: TIMEHANDS\n";
vm_guest_t vm_guest = VM_GUEST_NO;
int boothowto, hz = 100;
uint32_t hvm_start_paddr;
const char *panicstr;

static APART void vpanic(const char *format, va_list args)
{
    panicstr = format;
    printf("panic: ");
    vprintf(format, args);
    printf("\ncpu0: Begin traceback...\ncpu0: End traceback...\nrebooting...\n");
    reset();
}

void panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vpanic(format, args);
    va_end(args);
    halt();
}

enum { T_PRIVINFLT, T_BPTFLT, T_PROTFLT = 4, T_TRCTRAP, T_PAGEFLT, T_DIVIDE = 8, T_DOUBLEFLT = 13,
       T_RESERVED = 20 };

void trap(struct trapframe *frame)
{
    static const uint8_t types[32] = {
        [0] = T_DIVIDE, [1] = T_TRCTRAP, [3] = T_BPTFLT, [6] = T_PRIVINFLT, [8] = T_DOUBLEFLT,
        [13] = T_PROTFLT, [14] = T_PAGEFLT,
    };
    static const char *const names[T_RESERVED + 1] = {
        [T_PRIVINFLT] = "privileged instruction fault", [T_BPTFLT] = "breakpoint trap",
        [T_PROTFLT] = "protection fault", [T_TRCTRAP] = "trace trap",
        [T_PAGEFLT] = "page fault", [T_DIVIDE] = "integer divide fault",
        [T_DOUBLEFLT] = "double fault",
    };
    uint64_t cr2;
    __asm__("movq %%cr2, %0" : "=r"(cr2));
    frame->tf_trapno = types[frame->tf_trapno & 31];
    if (frame->tf_trapno == T_PAGEFLT)
        printf("uvm_fault(0x%lx, 0x%lx, %d) -> %x\n", (u_long)&cpu_info_primary,
               (u_long)cr2 & ~0xffful, 1, 14);
    printf("fatal %s in supervisor mode\n", names[frame->tf_trapno]);
    printf("trap type %d code 0x%lx rip 0x%lx cs 0x%lx rflags 0x%lx cr2 0x%lx "
           "ilevel 0x%x rsp 0x%lx\n",
           (int)frame->tf_trapno, frame->tf_err, frame->tf_rip, frame->tf_cs, frame->tf_rflags, cr2,
           8, frame->tf_rsp);
    printf("curlwp %p pid %d.%d lowest kstack %p\n", (void *)&cpu_info_primary, 0, 0,
           (void *)frame);
    panic("trap");
}

static void parse_arguments(void)
{
    boothowto |= word_given("-v") ? AB_VERBOSE : 0;
    boothowto |= word_given("-x") ? AB_DEBUG | AB_VERBOSE : 0;
    console_on = word_is("console", "com"); /* else it is a screen, which is not there */
}

/* The generic PVH entry: there is no Xen. */
void init_x86_64(vm_paddr_t first_avail)
{
    hvm_start_paddr = (uint32_t)first_avail;
    vm_guest = VM_GUEST_GENPVH;
    console_prefix = "[   1.0000000] ";
    console_init();
    words_init(first_avail);
    parse_arguments();
}

APART void configure(void)
{
    cpu_configure();
    printf("isa0 at mainbus0\ncom0 at isa0 port 0x3f8-0x3ff irq 4: ns16550a, 16-byte FIFO\n");
    printf("com0: console\n");
}

static u_int intr_get_timecount(struct timecounter *tc)
{
    (void)tc;
    return 0;
}

static struct timecounter intr_timecounter = {
    intr_get_timecount, NULL, ~0u, 0, "clockinterrupt", 0, NULL, NULL,
};

APART void initclocks(void)
{
    cpu_initclocks();
    intr_timecounter.tc_frequency = (uint64_t)hz;
    tc_init(&intr_timecounter);
}

APART void configure2(void)
{
    initclocks();
    cpu_boot_secondary_processors();
}

static void check_list(void)
{
    const char *how = word_value("list");
    if (how)
        damage_timecounters(how);
    if (word_is("assert", "1"))
        panic("kernel %sassertion \"%s\" failed: file \"%s\", line %d ", "diagnostic ",
              "timecounter->tc_quality < 0", __FILE__, __LINE__);
    misbehave();
}

int main(void)
{
    printf("Copyright (c) 1996-2025 The NetBSD Foundation, Inc.  All rights reserved.\n");
    printf("%s", version);
    inittimecounter();
    configure();
    console_prefix = "[   1.0000030] ";
    configure2();
    check_list();
    printf("boot device: <unknown>\nroot device: ");
    idle();
}
