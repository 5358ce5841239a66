/*
 * The arithmetic of pvclock in C, with 128-bit integers: an oracle for the Python code.
 *
 * Reads records of 24 bytes from standard input (delta u64, system_time u64, mul u32, shift s8,
 * 3 bytes of nothing; native byte order) and writes five u64 for each: delta in ns by the whole
 * product, the same by 64 bits of it, system_time plus the first, Linux's kHz, FreeBSD's Hz.
 */
#include <stdint.h>
#include <stdio.h>

typedef unsigned __int128 u128;

struct input {
    uint64_t delta, system_time;
    uint32_t mul;
    int8_t shift;
    uint8_t pad[3];
};

static uint64_t shifted(uint64_t value, int shift)
{
    if (shift <= -128 || shift >= 128)
        return 0;
    return (uint64_t)(shift >= 0 ? (u128)value << shift : (u128)value >> -shift);
}

int main(void)
{
    struct input in;
    _Static_assert(sizeof in == 24, "24 bytes a record");

    while (fread(&in, sizeof in, 1, stdin) == 1) {
        uint64_t delta = shifted(in.delta, in.shift), out[5];

        out[0] = (uint64_t)((u128)delta * in.mul >> 32);
        out[1] = delta * in.mul >> 32;
        out[2] = in.system_time + out[0];
        out[3] = in.mul ? shifted((1000000ULL << 32) / in.mul, -in.shift) : 0;
        out[4] = in.mul ? shifted((1000000000ULL << 32) / in.mul, -in.shift) : 0;
        if (fwrite(out, sizeof out, 1, stdout) != 1)
            return 1;
    }
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
