/* The watcher's callbacks. See watch.h for what it streams and to whom.
 *
 * Arguments: fd=N (the pipe), plan=FILE (functions to watch), steady=on (choose what to stream by
 * counts only, so that a deterministic guest gives the same stream every time), stops=N (a socket:
 * whom to tell of the plan's stops).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "watch.h"

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_API_VERSION;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
                                                               const qemu_info_t *info, int argc,
                                                               char **argv);

enum { LAYOUT_VERSION = 1, MAX_VCPUS = 64, CODE_BYTES = 16 };
enum { ALWAYS = 256, ALWAYS_RDTSC = 8, ALWAYS_FUNCTION = 4096, THEN_EACH = 256 };
enum { QUIET_NS = 1000000, QUIET_RDTSC_NS = 20000000, PROGRESS_NS = 50000000, COST_SAMPLE = 16 };
enum { AFTER_BITS = 12 };

/* An instruction that has run and whose result shows when the next one begins. */
struct pending {
    struct site *site;
    struct record record;
    uint64_t after;
};
static struct pending pending[MAX_VCPUS];
static bool started[MAX_VCPUS];
static int not_started; /* vCPUs that have run nothing yet */
static uint64_t after_slots[1 << AFTER_BITS]; /* addresses behind a watched end of a block */
static bool steady;
static uint64_t callbacks, callback_ns, blocks, translation_ns, last_progress;

/* Our own cost is measured in one of 16 callbacks: the start's time, or 0 in the others. */
static uint64_t cost_from(void)
{
    bool measured = __atomic_add_fetch(&callbacks, 1, __ATOMIC_RELAXED) % COST_SAMPLE == 0;
    return measured ? now_ns() : 0;
}

static void cost_since(uint64_t start)
{
    if (start)
        __atomic_add_fetch(&callback_ns, (now_ns() - start) * COST_SAMPLE, __ATOMIC_RELAXED);
}

/* A flood is counted always and streamed now and then: the first ones, then one of 256, and the
 * first after a pause. */
static bool worth_streaming(struct site *site, uint64_t now, uint64_t always)
{
    uint64_t quiet_ns = site->kind == REC_RDTSC ? QUIET_RDTSC_NS : QUIET_NS;
    site->count++;
    bool worth = site->count <= always || site->count % THEN_EACH == 0 ||
                 (!steady && now - site->last_ns > quiet_ns);
    if (!worth) {
        site->passed++;
        return false;
    }
    site->streamed++;
    site->last_ns = now;
    return true;
}

static struct record record_of(struct site *site, unsigned vcpu, uint64_t now)
{
    struct record r = {.kind = site->kind, .vcpu = (uint8_t)vcpu, .extra = site->passed,
                       .host_ns = now, .pc = site->pc};
    site->passed = 0;
    return r;
}

static void settle(struct pending *p, bool known)
{
    if (!known)
        p->record.flags |= FLAG_NO_RESULT;
    stream_emit(&p->record, 1);
    p->site = NULL;
}

static void expect_result(unsigned vcpu, struct site *site, struct record r)
{
    struct pending *p = &pending[vcpu];
    if (p->site)
        settle(p, false);
    *p = (struct pending){.site = site, .record = r, .after = site->pc + site->length};
}

/* The instruction behind a watched one begins: its result is in the registers. */
static void on_after(unsigned vcpu, void *udata)
{
    struct pending *p = &pending[vcpu];
    if (!p->site || p->after != (uint64_t)(uintptr_t)udata)
        return;
    uint64_t start = cost_from(), rax = reg(RAX) & 0xffffffff;
    switch (p->record.kind) {
    case REC_CPUID:
        p->record.v[1] = rax | reg(RBX) << 32;
        p->record.v[2] = (reg(RCX) & 0xffffffff) | reg(RDX) << 32;
        break;
    case REC_RDMSR:
        p->record.v[1] = rax | reg(RDX) << 32;
        break;
    case REC_IN:
        p->record.v[1] = p->site->width == 4 ? rax : rax & ((1u << 8 * p->site->width) - 1);
        break;
    }
    settle(p, true);
    cost_since(start);
}

static void on_cpuid(unsigned vcpu, void *udata)
{
    struct site *site = udata;
    uint64_t start = cost_from(), now = now_ns();
    uint64_t leaf = reg(RAX) & 0xffffffff;
    /* Leaf 0x5448xxxx belongs to our own init: a mark with an argument, never to be passed over. */
    if (leaf >> 16 == 0x5448) {
        struct record r = {.kind = REC_CPUID, .vcpu = (uint8_t)vcpu, .host_ns = now, .pc = site->pc,
                           .v = {leaf | (reg(RCX) & 0xffffffff) << 32, reg(RBX), reg(RDX),
                                 reg(RSI), reg(RDI)}};
        stream_emit(&r, 1);
        return;
    }
    if (worth_streaming(site, now, ALWAYS)) {
        struct record r = record_of(site, vcpu, now);
        r.v[0] = leaf | reg(RCX) << 32;
        expect_result(vcpu, site, r);
    }
    cost_since(start);
}

static void on_rdtsc(unsigned vcpu, void *udata)
{
    struct site *site = udata;
    uint64_t now = steady && site->count > ALWAYS_RDTSC ? 0 : now_ns();
    if (worth_streaming(site, now, ALWAYS_RDTSC)) {
        struct record r = record_of(site, vcpu, now ? now : now_ns());
        stream_emit(&r, 1);
    }
}

static void on_msr(unsigned vcpu, void *udata)
{
    struct site *site = udata;
    uint64_t start = cost_from(), now = now_ns();
    if (worth_streaming(site, now, ALWAYS)) {
        struct record r = record_of(site, vcpu, now);
        r.v[0] = reg(RCX) & 0xffffffff;
        if (site->kind == REC_RDMSR) {
            expect_result(vcpu, site, r);
        } else {
            r.v[1] = (reg(RAX) & 0xffffffff) | reg(RDX) << 32;
            stream_emit(&r, 1);
        }
    }
    cost_since(start);
}

/* Console and PCI configuration are no clocks, and come in floods. */
static bool dull_port(uint64_t port)
{
    return (port & ~7ull) == 0x3f8 || (port & ~7ull) == 0x2f8 || (port & ~7ull) == 0x3e8 ||
           (port & ~7ull) == 0x2e8 || (port & ~7ull) == 0xcf8;
}

static void on_port(unsigned vcpu, void *udata)
{
    struct site *site = udata;
    uint64_t start = cost_from(), now;
    uint64_t port = site->imm_port ? site->port : reg(RDX) & 0xffff;
    if (!dull_port(port) && worth_streaming(site, now = now_ns(), ALWAYS)) {
        struct record r = record_of(site, vcpu, now);
        r.v[0] = port;
        r.v[2] = site->width;
        if (site->kind == REC_IN) {
            expect_result(vcpu, site, r);
        } else {
            r.v[1] = reg(RAX) & (site->width == 4 ? 0xffffffffu : (1u << 8 * site->width) - 1);
            stream_emit(&r, 1);
        }
    }
    cost_since(start);
}

static bool clock_address(uint64_t physical)
{
    return (physical >= 0xfec00000 && physical < 0xfec01000) || /* I/O APIC */
           (physical >= 0xfed00000 && physical < 0xfed00400) || /* HPET */
           (physical >= 0xfee00000 && physical < 0xfee01000);   /* LAPIC */
}

static void on_mmio(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *udata)
{
    struct site *site = udata;
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
    if (!where || !qemu_plugin_hwaddr_is_io(where))
        return;
    uint64_t physical = qemu_plugin_hwaddr_phys_addr(where);
    uint64_t start = cost_from(), now = now_ns();
    if (clock_address(physical) && worth_streaming(site, now, ALWAYS)) {
        struct record r = record_of(site, vcpu, now);
        qemu_plugin_mem_value value = qemu_plugin_mem_get_value(info);
        r.kind = qemu_plugin_mem_is_store(info) ? REC_MMIO_WRITE : REC_MMIO_READ;
        r.v[0] = physical;
        r.v[1] = value.type == 3 ? value.data.u64 : value.type == 2 ? value.data.u32
               : value.type == 1 ? value.data.u16 : value.data.u8;
        r.v[2] = 1u << value.type;
        stream_emit(&r, 1);
    }
    cost_since(start);
}

static void on_enter(unsigned vcpu, void *udata)
{
    struct site *site = udata;
    struct function *f = site->function;
    struct record out[1 + MAX_READS * 2];
    uint64_t start = cost_from(), now = now_ns();
    if (worth_streaming(site, now, ALWAYS_FUNCTION)) {
        out[0] = record_of(site, vcpu, now);
        out[0].v[0] = f->id;
        out[0].v[1] = reg(RDI);
        out[0].v[2] = reg(RSI);
        out[0].v[3] = reg(RDX);
        guest_read(reg(RSP), &out[0].v[4], 8);
        stream_emit(out, 1 + reads_follow(f, 0, out + 1, out));
    }
    cost_since(start);
}

static void on_leave(unsigned vcpu, void *udata)
{
    struct site *site = udata;
    struct record out[1 + MAX_READS * 2];
    uint64_t start = cost_from(), now = now_ns();
    if (worth_streaming(site, now, ALWAYS_FUNCTION)) {
        out[0] = record_of(site, vcpu, now);
        out[0].v[0] = site->function->id;
        if (site->tail)
            out[0].flags = FLAG_NO_RESULT;
        else
            out[0].v[1] = reg(RAX);
        stream_emit(out, 1 + reads_follow(site->function, 1, out + 1, out));
    }
    cost_since(start);
}

static void on_first(unsigned vcpu, void *udata)
{
    if (vcpu >= MAX_VCPUS || started[vcpu])
        return;
    started[vcpu] = true;
    __atomic_sub_fetch(&not_started, 1, __ATOMIC_RELAXED);
    struct record r = {.kind = REC_FIRST, .vcpu = (uint8_t)vcpu, .host_ns = now_ns(),
                       .pc = (uint64_t)(uintptr_t)udata};
    stream_emit(&r, 1);
}

/* The first vCPU starts with the first block; the others where a SIPI sends them, below 1 MiB
 * (Intel SDM volume 3, 9.4.4: the vector is a page number of 8 bits). */
static bool may_be_first(uint64_t pc)
{
    return blocks == 0 || (pc < 0x100000 && __atomic_load_n(&not_started, __ATOMIC_RELAXED) > 0);
}

enum way_out { STAYS, RETURNS, JUMPS_AWAY };

/* ret, ret n, a jump to the kernel's return thunk (Linux CONFIG_RETHUNK), or a tail call. */
static enum way_out way_out_of(const struct function *f, const uint8_t *code, size_t size,
                               uint64_t pc)
{
    int32_t distance = 0;
    if (code[0] == 0xc3 || code[0] == 0xc2)
        return RETURNS;
    if (code[0] == 0xe9 && size == 5)
        memcpy(&distance, code + 1, 4);
    else if (code[0] == 0xeb && size == 2)
        distance = (int8_t)code[1];
    else
        return STAYS;
    uint64_t target = pc + size + (uint64_t)(int64_t)distance;
    if (return_thunk && target == return_thunk + slide)
        return RETURNS;
    struct function *there = function_around(target);
    return (there && there->id == f->id) || is_detour(target) ? STAYS : JUMPS_AWAY;
}

static void watch_function(struct qemu_plugin_insn *insn, struct function *f, uint64_t pc,
                           const uint8_t *code, size_t size)
{
    struct site *site;
    if (f->start + slide == pc && f->flags & FN_ENTER &&
        (site = site_at(pc, REC_ENTER, (uint8_t)size))) {
        site->function = f;
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_enter, CB_R_REGS, site);
    }
    enum way_out out = f->flags & FN_LEAVE ? way_out_of(f, code, size, pc) : STAYS;
    if (out != STAYS && (site = site_at(pc, REC_LEAVE, (uint8_t)size))) {
        site->function = f;
        site->tail = out == JUMPS_AWAY;
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_leave, CB_R_REGS, site);
    }
}

static exec_cb callback_for(uint16_t kind)
{
    switch (kind) {
    case REC_CPUID: return on_cpuid;
    case REC_RDTSC: return on_rdtsc;
    case REC_RDMSR:
    case REC_WRMSR: return on_msr;
    default: return on_port;
    }
}

static uint64_t *after_slot(uint64_t address)
{
    return &after_slots[(address ^ address >> AFTER_BITS) & ((1 << AFTER_BITS) - 1)];
}

static void watch_after(struct qemu_plugin_insn *insn, uint64_t pc)
{
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_after, CB_R_REGS, (void *)(uintptr_t)pc);
}

/* Returns whether the instruction's result must be read when the next one begins. */
static bool watch_instruction(struct qemu_plugin_insn *insn, const struct function *f, uint64_t pc,
                              const uint8_t *code, size_t size)
{
    struct site draft = {0}, *site;
    uint16_t kind = site_classify(code, size, &draft);
    bool device = f && f->flags & FN_DEVICE;
    if (!kind) {
        if ((device || site_is_clock_mmio(code, size)) &&
            (site = site_at(pc, REC_MMIO_READ, (uint8_t)size)))
            qemu_plugin_register_vcpu_mem_cb(insn, on_mmio, CB_NO_REGS, MEM_BOTH, site);
        return false;
    }
    if ((kind == REC_IN || kind == REC_OUT) && draft.imm_port && dull_port(draft.port))
        return false;
    if (!(site = site_at(pc, kind, (uint8_t)size)))
        return false;
    site->width = draft.width;
    site->port = draft.port;
    site->imm_port = draft.imm_port;
    qemu_plugin_register_vcpu_insn_exec_cb(insn, callback_for(kind),
                                           kind == REC_RDTSC ? CB_NO_REGS : CB_R_REGS, site);
    return kind == REC_CPUID || kind == REC_RDMSR || kind == REC_IN;
}

static void tell_progress(uint64_t now)
{
    struct record r = {.kind = REC_PROGRESS, .host_ns = now, .v = {blocks}};
    if (now - last_progress < PROGRESS_NS)
        return;
    last_progress = now;
    stream_emit(&r, 1);
}

static void find_slide(uint64_t pc, const uint8_t *code, size_t size)
{
    struct record r = {.kind = REC_SLIDE, .host_ns = now_ns(), .pc = pc};
    if (pc >> 63 && slide_try(pc, code, size)) {
        r.v[0] = slide;
        stream_emit(&r, 1);
    }
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    uint64_t start = now_ns();
    size_t n = qemu_plugin_tb_n_insns(tb);
    bool expected = false;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t pc = qemu_plugin_insn_vaddr(insn);
        uint8_t code[CODE_BYTES] = {0};
        size_t size = qemu_plugin_insn_size(insn);
        qemu_plugin_insn_data(insn, code, size < CODE_BYTES ? size : CODE_BYTES);
        if (i == 0 && !slide_known)
            find_slide(pc, code, size);
        stops_watch(insn, pc); /* first: what is told of this instruction comes after the stop */
        if (i == 0 && may_be_first(pc))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_first, CB_NO_REGS,
                                                   (void *)(uintptr_t)pc);
        if (expected || (i == 0 && *after_slot(pc) == pc))
            watch_after(insn, pc);
        struct function *f = function_page(pc) ? function_around(pc) : NULL;
        expected = watch_instruction(insn, f, pc, code, size);
        if (f)
            watch_function(insn, f, pc, code, size);
        if (expected && i == n - 1)
            *after_slot(pc + size) = pc + size;
    }
    blocks++;
    uint64_t end = now_ns();
    translation_ns += end - start;
    tell_progress(end);
}

static void on_vcpu(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id, (void)vcpu;
    registers_init();
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *udata)
{
    (void)id, (void)udata;
    uint64_t now = now_ns();
    for (int vcpu = 0; vcpu < MAX_VCPUS; vcpu++)
        if (pending[vcpu].site)
            settle(&pending[vcpu], false);
    for (struct site *s = sites_first(); s; s = s->next)
        if (s->count > s->streamed) {
            struct record r = {.kind = REC_COUNT, .host_ns = now, .pc = s->pc,
                               .v = {s->kind, s->count, s->count - s->streamed}};
            stream_emit(&r, 1);
        }
    struct record cost = {.kind = REC_COST, .host_ns = now,
                          .v = {callback_ns, callbacks, translation_ns, blocks, stream_records()}};
    stream_emit(&cost, 1);
    stream_close();
}

static void say_hello(const qemu_info_t *info)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    struct record r = {.kind = REC_HELLO, .host_ns = now_ns(),
                       .v = {LAYOUT_VERSION,
                             (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec,
                             (uint64_t)info->system.smp_vcpus}};
    stream_emit(&r, 1);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    int fd = -1, stops = -1;
    const char *plan = NULL;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "fd=", 3))
            fd = atoi(argv[i] + 3);
        else if (!strncmp(argv[i], "stops=", 6))
            stops = atoi(argv[i] + 6);
        else if (!strncmp(argv[i], "plan=", 5))
            plan = argv[i] + 5;
        else if (!strcmp(argv[i], "steady=on"))
            steady = true;
        else if (!strcmp(argv[i], "slide=none"))
            slide_known = true;
    }
    if (fd < 0 || (plan && !functions_load(plan)) || !stops_open(stops) ||
        !info->system_emulation) {
        qemu_plugin_outs("timehands: bad arguments for the watcher\n");
        return -1;
    }
    if (!plan)
        slide_known = true;
    not_started = info->system.smp_vcpus;
    stream_open(fd);
    say_hello(info);
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}
