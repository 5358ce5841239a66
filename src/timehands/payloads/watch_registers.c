/* Registers and memory of the guest, as seen from a callback on the vCPU's own thread. */
#include <string.h>

#include "watch.h"

static const char *const NAMES[N_REGISTERS] = {
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8",
    "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "eflags"};
static struct qemu_plugin_register *handles[N_REGISTERS];
static __thread GByteArray *scratch;
enum { PAGE = 0x1000 };

/* Once for each vCPU, on its thread; the handles are the same for all. Nothing is allocated later:
 * at most a page is read at once. */
void registers_init(void)
{
    scratch = scratch ? scratch : g_byte_array_new();
    g_byte_array_set_size(scratch, PAGE);
    GArray *all = qemu_plugin_get_registers();
    qemu_plugin_reg_descriptor *d = (qemu_plugin_reg_descriptor *)(void *)all->data;
    for (unsigned i = 0; i < all->len; i++)
        for (int n = 0; n < N_REGISTERS; n++)
            if (!strcmp(d[i].name, NAMES[n]) && !handles[n])
                handles[n] = d[i].handle;
}

static GByteArray *empty_scratch(void)
{
    if (!scratch)
        scratch = g_byte_array_new();
    return g_byte_array_set_size(scratch, 0);
}

uint64_t reg(int name)
{
    uint64_t value = 0;
    GByteArray *bytes = empty_scratch();
    if (!handles[name])
        return 0;
    qemu_plugin_read_register(handles[name], bytes); /* its result differs between versions */
    memcpy(&value, bytes->data, bytes->len < 8 ? bytes->len : 8);
    return value;
}

/* Reads as much as is mapped, up to the end of a page at a time; returns how many bytes. */
size_t guest_read(uint64_t address, void *out, size_t length)
{
    size_t done = 0;
    while (done < length) {
        size_t part = PAGE - ((address + done) % PAGE);
        GByteArray *bytes = empty_scratch();
        if (part > length - done)
            part = length - done;
        if (!qemu_plugin_read_memory_vaddr(address + done, bytes, part) || bytes->len < part)
            break;
        memcpy((char *)out + done, bytes->data, part);
        done += part;
    }
    return done;
}

static bool read_address(const struct read *r, uint64_t *address)
{
    static const int ARGUMENTS[] = {RDI, RSI, RDX, RCX, R8, R9};
    *address = r->base < 6 ? reg(ARGUMENTS[r->base]) : r->address + slide;
    for (int i = 0; i < r->hops; i++)
        if (guest_read(*address + (uint64_t)r->offset[i], address, 8) != 8)
            return false;
    *address += (uint64_t)r->offset[r->hops];
    return true;
}

/* Return addresses up the chain of frame pointers. A chain that does not rise has an end or is no
 * chain. */
static size_t walk_frames(uint8_t *out, size_t length)
{
    uint64_t frame = reg(RBP), pair[2];
    size_t done = 0;
    while (done + 8 <= length && frame % 8 == 0 && guest_read(frame, pair, 16) == 16 && pair[1]) {
        memcpy(out + done, &pair[1], 8);
        done += 8;
        if (pair[0] <= frame)
            break;
        frame = pair[0];
    }
    return done;
}

static size_t read_bytes(const struct read *r, uint8_t *bytes, uint64_t *address)
{
    if (r->form == 'w')
        return walk_frames(bytes, r->length);
    if (!read_address(r, address))
        return 0;
    return guest_read(*address, bytes, r->length);
}

/* The bytes that a function's reads ask for, as DATA records behind the one that they belong to. */
size_t reads_follow(const struct function *f, int when, struct record *out,
                    const struct record *of)
{
    size_t n = 0;
    for (uint32_t i = 0; i < f->n_reads; i++) {
        const struct read *r = &f->reads[i];
        uint8_t bytes[MAX_READ_BYTES];
        uint64_t address = 0;
        if (r->when != when)
            continue;
        size_t length = read_bytes(r, bytes, &address);
        if (!length) /* not mapped: no DATA, which is not the same as an empty string */
            continue;
        if (r->form == 's')
            length = strnlen((char *)bytes, length);
        for (size_t at = 0; at == 0 || at < length; at += DATA_BYTES) {
            size_t part = length - at < DATA_BYTES ? length - at : DATA_BYTES;
            out[n] = (struct record){.kind = REC_DATA, .vcpu = of->vcpu, .host_ns = of->host_ns,
                                     .pc = address, .extra = i << 16 | (uint32_t)part,
                                     .flags = at ? FLAG_CONTINUED : 0};
            memcpy(out[n++].v, bytes + at, part);
        }
    }
    return n;
}
