/* The order of the boot, traps and panics. */
#include "openbsd.h"

const char ostype[] = "OpenBSD";
const char osrelease[] = "7.7";
const char version[] = "OpenBSD 7.7 (TIMEHANDS) #0: a test kernel\n";
int hz = 100, ticks;
const char *panicstr;

void panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    panicstr = format;
    printf("panic: ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    halt();
}

void trap(struct trapframe *frame)
{
    const char *name = frame->tf_trapno == 14 ? "page fault trap"
                       : frame->tf_trapno == 13 ? "protection fault trap" : "reserved trap";
    printf("kernel: %s, code=%lx\n", name, (u_long)frame->tf_err);
    panic("trap type %u, code=%lx, pc=%lx", frame->tf_trapno, (u_long)frame->tf_err,
          (u_long)frame->tf_rip);
}

void init_x86_64(vm_paddr_t first_avail)
{
    console_init();
    words_init(first_avail);
    i8254_startclock();
}

static void cpu_attach(void)
{
    uint32_t regs[4];
    printf("cpu0 at mainbus0: apid 0 (boot processor)\n");
    tsc_identify();
    do_cpuid(1, regs);
    if (regs[3] & 0x200) {
        lapic_boot_init(0xfee00000);
        lapic_calibrate_timer();
    }
}

static void cpu_configure(void)
{
    printf("mainbus0 at root\n");
    cpu_attach();
    pvbus_identify();
    pvclock_attach();
    printf("isa0 at mainbus0\ncom0 at isa0 port 0x3f8/8 irq 4: ns16550a, 16 byte fifo\n"
           "com0: console\n");
}

static void cpu_initclocks(void)
{
    i8254_inittimecounter();
    tsc_timecounter_init();
}

int main(void)
{
    const char *how = word_value("list");
    printf("Copyright (c) 1995-2025 OpenBSD. All rights reserved.  https://www.OpenBSD.org\n\n");
    printf("%s", version);
    cpu_configure();
    cpu_initclocks();
    if (how)
        damage_timecounters(how);
    if (word_is("assert", "1"))
        panic("kernel %sassertion \"%s\" failed: file \"%s\", line %d", "diagnostic ",
              "timecounter->tc_quality < 0", __FILE__, __LINE__);
    misbehave();
    printf("root device: ");
    idle();
}
