/*
 * The arithmetic of TSC scaling, Hyper-V's page, VMClock and deadlines in C, with 128-bit integers:
 * an oracle for the Python code.
 *
 * Reads records of 40 bytes from standard input (a, b, c, d u64; operation and bits u32; native
 * byte order) and writes two u64 for each.
 */
#include <stdint.h>
#include <stdio.h>

typedef unsigned __int128 u128;
typedef __int128 s128;

struct input {
    uint64_t a, b, c, d;
    uint32_t operation, bits;
};

enum { GUEST_TSC, RATIO, NESTED_OFFSET, HYPERV_READ, HYPERV_SCALE, VMCLOCK_READ, KVM_DEADLINE };

static void answer(const struct input *in, uint64_t out[2])
{
    u128 wide;
    s128 offset;

    switch (in->operation) {
    case GUEST_TSC: /* host TSC a, ratio b, offset c */
        out[0] = (uint64_t)((u128)in->a * in->b >> in->bits) + in->c;
        break;
    case RATIO: /* guest kHz a, host kHz b; both halves of it */
        wide = ((u128)in->a << in->bits) / in->b;
        out[0] = (uint64_t)wide;
        out[1] = (uint64_t)(wide >> 64);
        break;
    case NESTED_OFFSET: /* outer offset a (signed), inner offset b, inner ratio c */
        offset = (int64_t)in->a;
        wide = (u128)(offset < 0 ? -offset : offset) * in->c >> in->bits;
        out[0] = (offset < 0 ? -(uint64_t)wide : (uint64_t)wide) + in->b;
        break;
    case HYPERV_READ: /* TSC a, scale b, offset c */
        out[0] = (uint64_t)((u128)in->a * in->b >> 64) + in->c;
        break;
    case HYPERV_SCALE: /* Hz a */
        out[0] = (uint64_t)(((u128)10000000 << 64) / in->a);
        break;
    case VMCLOCK_READ: /* counter a, its reference b, period c, fraction d; seconds from 0 */
        wide = ((u128)(in->a - in->b) * in->c >> in->bits) + in->d;
        out[0] = (uint64_t)(wide >> 64);
        out[1] = (uint64_t)wide;
        break;
    case KVM_DEADLINE: /* deadline a, TSC b, kHz c */
        out[0] = in->a > in->b ? (in->a - in->b) * 1000000 / in->c : 0;
        break;
    }
}

int main(void)
{
    struct input in;
    _Static_assert(sizeof in == 40, "40 bytes a record");

    while (fread(&in, sizeof in, 1, stdin) == 1) {
        uint64_t out[2] = {0, 0};
        answer(&in, out);
        if (fwrite(out, sizeof out, 1, stdout) != 1)
            return 1;
    }
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
