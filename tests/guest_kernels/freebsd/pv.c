/*
 * The PVH entry. It takes Xen's way of waiting on every hypervisor, also where there is no Xen:
 * that is one of the causes that Timehands must find, and mends in this file's xen_pvh_init_ops.
 */
#include "freebsd.h"

shared_info_t *HYPERVISOR_shared_info;

void xen_clock_init(void)
{
}

void xen_delay(int n)
{
    struct pvclock_vcpu_time_info *ti = &HYPERVISOR_shared_info->vcpu_info[0].time;
    uint64_t end = pvclock_get_timecount(ti) + (uint64_t)n * 1000;
    while (pvclock_get_timecount(ti) < end)
        spin();
}

static char *xen_pvh_parse_preload_data(uint64_t modulep)
{
    (void)modulep;
    init_static_kenv(command_line);
    return NULL;
}

static void xen_pvh_parse_memmap(char *kmdp, vm_paddr_t *physmap, int *physmap_idx)
{
    (void)kmdp, (void)physmap, (void)physmap_idx;
}

struct init_ops xen_pvh_init_ops = {
    xen_pvh_parse_preload_data, xen_clock_init, xen_delay, xen_pvh_parse_memmap,
};

uint64_t hammer_time_xen(vm_paddr_t start_info_paddr)
{
    console_init();
    words_init(start_info_paddr);
    init_ops = xen_pvh_init_ops;
    return hammer_time(start_info_paddr, 0);
}
