/* The local APIC's timer, measured against the i8254. */
#include "openbsd.h"

enum { LAPIC_EOI = 0xb0, LAPIC_SVR = 0xf0, LAPIC_LVTT = 0x320, LAPIC_ICR_TIMER = 0x380,
       LAPIC_CCR_TIMER = 0x390, LAPIC_DCR_TIMER = 0x3e0 };
#define LAPIC_LVTT_M 0x10000
#define LAPIC_LVTT_TM_PERIODIC 0x20000
#define LAPIC_DCRT_DIV1 0x0b

u_int lapic_per_second;
static volatile uint32_t *local_apic;

void lapic_boot_init(vm_paddr_t address)
{
    local_apic = direct(address);
    local_apic[LAPIC_SVR / 4] = 0x1ff;
}

void lapic_calibrate_timer(void)
{
    local_apic[LAPIC_LVTT / 4] = LAPIC_LVTT_M;
    local_apic[LAPIC_DCR_TIMER / 4] = LAPIC_DCRT_DIV1;
    local_apic[LAPIC_ICR_TIMER / 4] = 0x80000000;
    uint32_t start = local_apic[LAPIC_CCR_TIMER / 4];
    i8254_delay(100000);
    lapic_per_second = (start - local_apic[LAPIC_CCR_TIMER / 4]) * 10;
    printf("cpu0: apic clock running at %uMHz\n", lapic_per_second / 1000000);
    local_apic[LAPIC_LVTT / 4] = LAPIC_LVTT_TM_PERIODIC | TIMER_VECTOR;
    local_apic[LAPIC_ICR_TIMER / 4] = lapic_per_second / (unsigned)hz;
}

void timer_interrupt(void)
{
    ticks++;
    local_apic[LAPIC_EOI / 4] = 0;
}
