/*
 * What an implementer would write in C from the manuals, held against the golden vectors.
 *
 * Reads one case a line: the group (as subject.group), then the values of its fields in order,
 * separated by blanks: numbers in decimal or 0x-hexadecimal, "-" for null, bytes as hexadecimal
 * digits, text with "_" for blanks, rows as a,b,c;a,b,c. Prints each case that it does not agree
 * with, and at the end how many it tried. Nothing here is shared with the Python code; the i8254 is
 * counted pulse by pulse.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 u128;

#define MAX_FIELDS 32
static char *field[MAX_FIELDS];
static int fields;

static uint64_t num(int n)
{
    const char *text = field[n];
    return text[0] == '-' ? (uint64_t)strtoll(text, NULL, 0) : strtoull(text, NULL, 0);
}

static bool null(int n) { return strcmp(field[n], "-") == 0; }
static bool is(int n, const char *text) { return strcmp(field[n], text) == 0; }

static bool opt(int n, bool have, uint64_t value)
{
    return have ? !null(n) && num(n) == value : null(n);
}

static uint8_t page[256];

static size_t bytes(int n)
{
    size_t size = strlen(field[n]) / 2;
    for (size_t i = 0; i < size && i < sizeof page; i++) {
        unsigned byte;
        sscanf(field[n] + 2 * i, "%2x", &byte);
        page[i] = (uint8_t)byte;
    }
    return size;
}

static uint64_t le(size_t at, size_t size)
{
    uint64_t value = 0;
    while (size--)
        value = value << 8 | page[at + size];
    return value;
}

/* pvclock */

static uint64_t shifted(uint64_t value, int shift)
{
    if (shift <= -64 || shift >= 64)
        return 0;
    return shift < 0 ? value >> -shift : value << shift;
}

static uint64_t scale_delta(uint64_t delta, uint32_t mul, int shift)
{
    return (uint64_t)((u128)shifted(delta, shift) * mul >> 32);
}

static void kvm_scale(uint64_t target, uint64_t base, uint32_t *mul, int *shift)
{
    uint64_t tps64 = base, scaled64 = target;
    uint32_t tps32;

    *shift = 0;
    while (tps64 > scaled64 * 2 || tps64 >> 32) {
        tps64 >>= 1;
        --*shift;
    }
    tps32 = (uint32_t)tps64;
    while (tps32 <= scaled64 || scaled64 >> 32) {
        if (scaled64 >> 32 || tps32 & 1U << 31)
            scaled64 >>= 1;
        else
            tps32 <<= 1;
        ++*shift;
    }
    *mul = (uint32_t)(((u128)scaled64 << 32) / tps32);
}

static uint64_t linux_khz(uint32_t mul, int shift)
{
    return shifted((1000000ULL << 32) / mul, -shift);
}

static uint64_t freebsd_hz(uint32_t mul, int shift)
{
    return shifted((1000000000ULL << 32) / mul, -shift);
}

static uint64_t pvclock_ns(uint64_t tsc)
{
    return le(16, 8) + scale_delta(tsc - le(8, 8), (uint32_t)le(24, 4), (int8_t)page[28]);
}

static bool scale_kvm(void)
{
    uint32_t mul;
    int shift;
    kvm_scale(1000000000, num(0) * 1000, &mul, &shift);
    return mul == num(1) && shift == (int64_t)num(2) && linux_khz(mul, shift) == num(3) &&
           freebsd_hz(mul, shift) == num(4) && scale_delta(num(0) * 1000, mul, shift) == num(5);
}

static bool scale_any(void)
{
    uint32_t mul;
    int shift;
    kvm_scale(num(0), num(1), &mul, &shift);
    return mul == num(2) && shift == (int64_t)num(3);
}

static bool scale_xen(void)
{
    u128 ticks = num(0);
    int shift = 0;
    for (; ticks > 2000000000; shift--)
        ticks >>= 1;
    for (; ticks <= 1000000000; shift++)
        ticks <<= 1;
    return (uint64_t)(((u128)1000000000 << 32) / ticks) == num(1) && shift == (int64_t)num(2);
}

static bool delta(void)
{
    uint64_t moved = shifted(num(0), (int)num(2));
    return scale_delta(num(0), (uint32_t)num(1), (int)num(2)) == num(3) &&
        moved * num(1) >> 32 == num(4);
}

static bool guests(void)
{
    uint32_t mul = (uint32_t)num(0);
    int shift = (int)num(1);
    return linux_khz(mul, shift) == num(2) && freebsd_hz(mul, shift) == num(3);
}

static bool pv_parse(void)
{
    bytes(0);
    return le(0, 4) == num(1) && le(8, 8) == num(2) && le(16, 8) == num(3) && le(24, 4) == num(4) &&
           (int8_t)page[28] == (int64_t)num(5) && page[29] == num(6);
}

static bool pv_read(void)
{
    bytes(0);
    return pvclock_ns(num(1)) == num(2);
}

static bool pv_accept(void)
{
    int shift;
    const char *verdict = "accept";
    bytes(0);
    shift = (int8_t)page[28];
    if (page[0] & 1 || le(0, 4) != num(1))
        verdict = "retry";
    else if (le(24, 4) == 0 || shift <= -64 || shift >= 64)
        verdict = "broken";
    return is(2, verdict);
}

static bool pv_last(void)
{
    uint64_t ns, last = num(2);
    bytes(0);
    ns = pvclock_ns(num(1));
    if (!(num(3) && page[29] & 1)) {
        if (ns < last)
            ns = last;
        last = ns;
    }
    return ns == num(4) && last == num(5);
}

static bool wall_compose(void)
{
    uint64_t epoch = num(0) - num(1), sec = epoch / 1000000000;
    uint32_t version = (uint32_t)num(2);
    bytes(3);
    version += version & 1 ? 1 : 0; /* an update that was never ended */
    version += 2;
    return le(0, 4) == num(4) && le(4, 4) == num(5) && le(8, 4) == num(6) && version == num(4) &&
           (uint32_t)sec == num(5) && epoch % 1000000000 == num(6) && sec >> 32 == num(7);
}

static bool wall_now(void)
{
    bytes(0);
    return ((num(1) << 32) + le(4, 4)) * 1000000000 + le(8, 4) + num(2) == num(3);
}

/* TSC */

static uint64_t mul_shr(uint64_t a, uint64_t b, unsigned bits)
{
    return (uint64_t)((u128)a * b >> bits);
}

static u128 ratio_of(unsigned bits, uint64_t guest, uint64_t host)
{
    return ((u128)guest << bits) / host;
}

static bool allowed(unsigned bits, u128 ratio)
{
    return ratio && ratio < (bits == 48 ? (u128)UINT64_MAX : (u128)0xffffffffff);
}

static bool tsc_ratio(void)
{
    u128 ratio = ratio_of((unsigned)num(0), num(1), num(2));
    return ratio == num(3) && allowed((unsigned)num(0), ratio) == num(4);
}

static bool tsc_read(void) { return mul_shr(num(1), num(2), (unsigned)num(0)) + num(3) == num(4); }

static bool tsc_offset(void)
{
    return num(3) - mul_shr(num(1), num(2), (unsigned)num(0)) == num(4);
}

static bool tsc_nested(void)
{
    unsigned bits = (unsigned)num(0);
    uint64_t ratio = num(1), offset = num(3);
    if (num(2) != 1ULL << bits) {
        ratio = mul_shr(num(1), num(2), bits);
        offset = offset >> 63 ? -mul_shr(-offset, num(2), bits) : mul_shr(offset, num(2), bits);
    }
    return ratio == num(5) && offset + num(4) == num(6);
}

static bool tsc_khz(void)
{
    unsigned bits = (unsigned)num(0);
    uint64_t asked = num(1), host = num(2);
    uint32_t low = (uint32_t)(host * 999750 / 1000000), high = (uint32_t)(host * 1000250 / 1000000);
    u128 ratio = bits ? ratio_of(bits, asked, host) : 0;

    if (!asked)
        return is(3, "refused") && null(4);
    if (asked >= low && asked <= high)
        return is(3, "unscaled") && null(4);
    if (!bits)
        return is(3, asked > host ? "catch-up" : "refused") && null(4);
    return allowed(bits, ratio) ? is(3, "scaled") && num(4) == ratio : is(3, "refused") && null(4);
}

static bool tsc_write(void)
{
    uint64_t khz = num(8), value = num(5), hz = khz * 1000, expected, offset;
    uint32_t mul;
    int shift;
    bool matched;

    kvm_scale(hz, 1000000000, &mul, &shift);
    expected = num(1) + scale_delta(num(6) - num(0), mul, shift);
    matched = !value || (num(4) && value < expected + hz && value + hz > expected);
    matched = matched && khz == num(2);
    offset = matched ? num(3) : value - num(7);
    return matched == num(9) && offset == num(10);
}

/* LAPIC */

static uint64_t ceil_div(u128 a, u128 b) { return (uint64_t)((a + b - 1) / b); }

static bool lapic_divide(void)
{
    static const int by_code[] = {2, 4, 8, 16, 32, 64, 128, 1};
    uint32_t value = (uint32_t)num(0);
    return by_code[(value >> 1 & 4) | (value & 3)] == (int)num(1);
}

static bool lapic_mode(void)
{
    static const char *const names[] = {"one-shot", "periodic", "tsc-deadline", "reserved"};
    return is(1, names[num(0) >> 17 & 3]) && (num(0) >> 16 & 1) == num(2);
}

static uint64_t lapic_ns(uint64_t bus, uint64_t divide, uint64_t count)
{
    return ceil_div((u128)count * divide * 1000000000, bus);
}

static bool lapic_period(void) { return lapic_ns(num(0), num(1), num(2)) == num(3); }

static bool lapic_count(void)
{
    u128 twice = (u128)num(2) * num(0) * 2, unit = (u128)num(1) * 1000000000;
    u128 count = (twice / unit + 1) / 2;
    return opt(3, count && count <= UINT32_MAX, (uint64_t)count);
}

static bool lapic_current(void)
{
    uint64_t bus = num(0), divide = num(1), count = num(2), at = num(4);
    uint64_t passed = (uint64_t)((u128)at * bus / (divide * 1000000000));
    if (is(3, "periodic"))
        return count - passed % count == num(5) &&
               opt(6, true, lapic_ns(bus, divide, (passed / count + 1) * count));
    return (passed < count ? count - passed : 0) == num(5) &&
           opt(6, passed < count, lapic_ns(bus, divide, count));
}

static bool lapic_deadline(void)
{
    uint64_t cycles = num(0) - num(1);
    if (num(0) <= num(1))
        return num(3) == 0 && num(4) == 0;
    return ceil_div((u128)cycles * 1000000, num(2)) == num(3) &&
        cycles * 1000000 / num(2) == num(4);
}

static bool lapic_write(void)
{
    bool mode = is(0, "tsc-deadline"), fires = mode && num(1) && num(1) <= num(2);
    return fires == num(3) && (fires || !mode ? 0 : num(1)) == num(4);
}

/* i8254, pulse by pulse */

struct pit {
    int mode, access;
    bool bcd, gate, output, null_count, loaded, load_next, trigger, armed, have_register;
    uint32_t element, reg, initial;
    int low_written; /* -1: none */
    bool low_read;
    int32_t latched, status; /* -1: none */
};

static uint32_t modulus(const struct pit *p) { return p->bcd ? 10000 : 65536; }
static bool periodic(const struct pit *p) { return p->mode == 2 || p->mode == 3; }
static bool triggered(const struct pit *p) { return p->mode == 1 || p->mode == 5; }

static void pit_control(struct pit *p, int access, int mode, bool bcd)
{
    uint32_t element = p->element;
    bool gate = p->gate;
    *p = (struct pit){.mode = mode, .access = access, .bcd = bcd, .gate = gate, .element = element,
                      .output = mode != 0, .null_count = true, .low_written = -1, .latched = -1,
                      .status = -1};
}

static void pit_stop0(struct pit *p)
{
    if (p->mode == 0) {
        p->loaded = p->load_next = p->output = false;
    }
}

static void pit_count(struct pit *p, uint32_t count)
{
    pit_stop0(p);
    p->reg = count ? count : modulus(p);
    p->have_register = p->null_count = true;
    if (p->mode == 0 || p->mode == 4 || (periodic(p) && !p->loaded))
        p->load_next = true;
}

static void pit_gate(struct pit *p, bool level)
{
    if (level && !p->gate && (triggered(p) || periodic(p)))
        p->trigger = p->have_register;
    p->gate = level;
    if (periodic(p) && !level && p->loaded)
        p->output = true;
}

static void pit_load(struct pit *p, bool high)
{
    p->initial = p->reg;
    p->element = p->mode == 3 ? p->reg & ~1U : p->reg;
    p->loaded = p->armed = true;
    p->null_count = false;
    p->output = p->mode == 0 || p->mode == 1 ? false : high;
}

static void pit_pulse(struct pit *p)
{
    if (p->load_next || p->trigger) {
        p->load_next = p->trigger = false;
        pit_load(p, true);
    } else if (!p->loaded || !(p->gate || triggered(p))) {
        return;
    } else if (p->mode == 3) {
        if (p->element == (p->output && p->initial & 1 ? 0 : 2))
            pit_load(p, !p->output);
        else
            p->element -= 2;
    } else if (p->mode == 2) {
        if (p->element == 1)
            pit_load(p, true);
        else
            p->output = --p->element != 1;
    } else {
        p->element = (p->element + modulus(p) - 1) % modulus(p);
        if (p->mode < 2) {
            p->output |= !p->element;
        } else {
            p->output = !(p->armed && !p->element);
            p->armed = p->armed && p->element;
        }
    }
}

static uint32_t pit_value(const struct pit *p) { return p->element % modulus(p); }

static bool pit_case(void)
{
    struct pit p = {0};
    uint64_t tick = 0;

    pit_control(&p, 3, (int)num(0), num(1));
    p.gate = false;
    pit_count(&p, (uint32_t)num(2));
    pit_gate(&p, true);
    while (tick++ < num(3))
        pit_pulse(&p);
    if (pit_value(&p) != num(4) || p.output != num(5))
        return false;
    for (tick = num(3) + 1; tick < num(3) + 200000; tick++) {
        bool low = !p.output;
        pit_pulse(&p);
        if (low && p.output)
            return opt(6, true, tick);
    }
    return opt(6, false, 0);
}

static bool pit_gates(void)
{
    struct pit p = {.gate = true};
    char *row = field[1];
    uint64_t tick = 0, at, kind, number;

    pit_control(&p, 3, (int)num(0), false);
    while (row && *row &&
        sscanf(row, "%" SCNu64 ",%" SCNu64 ",%" SCNu64, &at, &kind, &number) == 3) {
        for (; tick < at; tick++)
            pit_pulse(&p);
        if (kind == 1)
            pit_count(&p, (uint32_t)number);
        else
            pit_gate(&p, number);
        row = strchr(row, ';');
        row = row ? row + 1 : NULL;
    }
    for (; tick < num(2); tick++)
        pit_pulse(&p);
    return pit_value(&p) == num(3) && p.output == num(4);
}

static uint32_t bcd_from(uint32_t digits)
{
    return (digits >> 12) * 1000 + (digits >> 8 & 15) * 100 + (digits >> 4 & 15) * 10 +
        (digits & 15);
}

static uint32_t bcd_to(uint32_t n)
{
    return n / 1000 << 12 | n / 100 % 10 << 8 | n / 10 % 10 << 4 | n % 10;
}

static int32_t pit_bits(const struct pit *p)
{
    return (int32_t)(p->bcd ? bcd_to(pit_value(p)) : pit_value(p));
}

static void pit_latch(struct pit *p, bool count, bool status)
{
    if (count && p->latched < 0)
        p->latched = pit_bits(p);
    if (status && p->status < 0)
        p->status = p->output << 7 | p->null_count << 6 | p->access << 4 | p->mode << 1 | p->bcd;
}

static void pit_out(struct pit *p, uint32_t value)
{
    uint32_t bits;
    if (p->access == 3 && p->low_written < 0) {
        p->low_written = (int)value;
        pit_stop0(p);
        return;
    }
    bits = p->access == 1 ? value : p->access == 2 ? value << 8
        : value << 8 | (uint32_t)p->low_written;
    p->low_written = -1;
    pit_count(p, p->bcd ? bcd_from(bits) : bits);
}

static uint32_t pit_in(struct pit *p)
{
    int32_t bits = p->latched < 0 ? pit_bits(p) : p->latched;
    if (p->status >= 0) {
        bits = p->status;
        p->status = -1;
        return (uint32_t)bits;
    }
    if (p->access == 3 && !p->low_read) {
        p->low_read = true;
        return bits & 255;
    }
    p->low_read = false;
    p->latched = -1;
    return (uint32_t)(p->access == 1 ? bits & 255 : bits >> 8);
}

static void chip_control(struct pit *chip, uint32_t value)
{
    int mode = value >> 1 & 7;
    if (value >> 6 == 3) {
        for (int n = 0; n < 3; n++)
            if (value & 2U << n)
                pit_latch(&chip[n], !(value & 32), !(value & 16));
    } else if (!(value >> 4 & 3)) {
        pit_latch(&chip[value >> 6], true, false);
    } else {
        pit_control(&chip[value >> 6], value >> 4 & 3, mode > 5 ? mode - 4 : mode, value & 1);
    }
}

static bool pit_session(void)
{
    struct pit chip[3] = {{.gate = true}, {.gate = true}, {.gate = false}};
    char *row = field[1];
    uint64_t tick = 0, at, in, port, value, seen;

    for (int n = 0; n < 3; n++)
        pit_control(&chip[n], 3, 0, false);
    while (row &&
        sscanf(row, "%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64, &at, &in, &port, &value) == 4) {
        for (; tick < at; tick++)
            for (int n = 0; n < 3; n++)
                pit_pulse(&chip[n]);
        if (in) {
            seen = port == 0x61 ? chip[2].gate | chip[2].output << 5 : pit_in(&chip[port - 0x40]);
            if (seen != value)
                return false;
        } else if (port == 0x43) {
            chip_control(chip, (uint32_t)value);
        } else if (port == 0x61) {
            pit_gate(&chip[2], value & 1);
        } else {
            pit_out(&chip[port - 0x40], (uint32_t)value);
        }
        row = strchr(row, ';');
        row = row ? row + 1 : NULL;
    }
    return true;
}

static bool pit_emulated(void)
{
    uint64_t count = num(1), d = num(2), value = count - d;
    if (num(0) == 2)
        value = count - d % count;
    if (num(0) == 3)
        value = count - 2 * d % count;
    return (value & 0xffff) == num(3);
}

static bool pit_reload(void)
{
    uint64_t count = (num(0) * 1193182 * 2 / 1000000000 + 1) / 2;
    bool fits = count >= 2 && count <= 65536;
    return opt(1, fits, count) && opt(2, fits, count * 1000000000 / 1193182);
}

static bool pit_freebsd(void)
{
    uint64_t us = num(0);
    return (us < 256 ? (us * 39099 + 32767) >> 15 : (us * 1193182 + 999999) / 1000000) == num(1);
}

/* RTC */

static int rtc_number(uint64_t value, bool binary)
{
    if (binary)
        return (int)value;
    return value >> 4 <= 9 && (value & 15) <= 9 ? (int)((value >> 4) * 10 + (value & 15)) : -1;
}

static int64_t days_from_civil(int64_t y, int m, int d)
{
    int64_t era, yoe, doy;
    y -= m <= 2;
    era = y / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool rtc_registers(void)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool binary = num(7) & 4, whole = num(7) & 2, good, leap;
    int second = rtc_number(num(0), binary), minute = rtc_number(num(1), binary);
    int hour = rtc_number(whole ? num(2) : num(2) & 0x7f, binary), day = rtc_number(num(3), binary);
    int month = rtc_number(num(4), binary), year = rtc_number(num(5), binary);
    int century = rtc_number(num(6), binary), length;

    good = second >= 0 && minute >= 0 && hour >= 0 && day > 0 && month > 0 && month <= 12 &&
        year >= 0;
    if (!good)
        return null(8);
    if (century < 19 || century > 21)
        century = year >= 70 ? 19 : 20;
    year += century * 100;
    if (!whole)
        hour = hour % 12 + (num(2) & 0x80 ? 12 : 0);
    leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    length = lengths[month - 1] + (month == 2 && leap);
    good = second < 60 && minute < 60 && hour < 24 && day <= length;
    return opt(8, good, (uint64_t)(days_from_civil(year, month,
        day) * 86400 + hour * 3600 + minute * 60 + second));
}

static bool rtc_periodic(void)
{
    static const uint32_t rates[] = {0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32,
        16, 8, 4, 2};
    return opt(1, num(0) != 0, rates[num(0)]);
}

static bool rtc_update(void) { return (num(0) >= 1000000000 - num(1) - 244000) == num(2); }

/* Hyper-V */

static bool hv_scale(void) { return (uint64_t)(((u128)10000000 << 64) / num(0)) == num(1); }

static bool hv_read(void)
{
    bytes(0);
    return opt(2, le(0, 4) != 0, mul_shr(num(1), le(8, 8), 64) + le(16, 8));
}

static bool hv_kvm(void)
{
    uint64_t mul, offset;
    u128 scale;
    int shift;
    bytes(0);
    mul = le(24, 4);
    shift = 32 + (int8_t)page[28];
    if (!(page[29] & 1) || shift < 0 || shift > 63)
        return null(1);
    scale = ((u128)mul << shift) / 100;
    if (scale >> 64)
        return null(1);
    offset = le(16, 8) / 100 - (uint64_t)((u128)le(8, 8) * (uint64_t)scale >> 64);
    if (null(1) || bytes(1) != 24)
        return false;
    return le(0, 4) == 1 && le(4, 4) == 0 && le(8, 8) == (uint64_t)scale && le(16, 8) == offset;
}

static bool hv_msr(void) { return (num(0) & 1) == num(1) && (num(0) >> 12 << 12) == num(2); }

static bool hv_next(void)
{
    uint32_t next = (uint32_t)num(0) + 1;
    return (next == 0 || next == UINT32_MAX ? 1 : next) == num(1);
}

static bool hv_snapshot(void)
{
    return num(0) / 100 == num(1) && num(0) / 100 + (num(0) % 100 != 0) == num(2);
}

/* VMClock */

struct vmclock {
    uint32_t magic, size;
    uint16_t version;
    uint8_t counter_id, time_type;
    uint32_t seq_count;
    uint64_t disruption_marker, flags;
    uint8_t pad[2], clock_status, leap_second_smearing_hint;
    int16_t tai_offset_sec;
    uint8_t leap_indicator, counter_period_shift;
    uint64_t counter_value, period, period_esterror, period_maxerror;
    uint64_t time_sec, time_frac_sec, time_esterror, time_maxerror, generation;
};
_Static_assert(sizeof(struct vmclock) == 112, "VMClock has 112 bytes");

static struct vmclock vmclock(int n)
{
    struct vmclock clock;
    bytes(n);
    memcpy(&clock, page, sizeof clock); /* little endian, as x86 is */
    return clock;
}

static bool vm_parse(void)
{
    struct vmclock c = vmclock(0);
    return c.magic == num(1) && c.size == num(2) && c.version == num(3) && c.counter_id == num(4) &&
           c.time_type == num(5) && c.seq_count == num(6) && c.disruption_marker == num(7) &&
           c.flags == num(8) && c.clock_status == num(9) && (uint16_t)c.tai_offset_sec == num(10) &&
           c.leap_indicator == num(11) && c.counter_period_shift == num(12) &&
           c.counter_value == num(13) && c.period == num(14) && c.time_sec == num(15) &&
           c.time_frac_sec == num(16) && c.time_maxerror == num(17) && c.generation == num(18);
}

static bool vm_period(void)
{
    u128 power = (u128)1 << 64; /* the quotient of 2^(64 + shift) by the frequency, bit by bit */
    u128 quotient = power / num(0), rest = power % num(0);
    int shift = 0;
    for (; !(quotient >> 63); shift++) {
        rest *= 2;
        quotient = quotient * 2 + (rest >= num(0));
        rest -= rest >= num(0) ? num(0) : 0;
    }
    return quotient == num(1) && shift == (int)num(2);
}

static bool vm_read(void)
{
    struct vmclock c = vmclock(0);
    uint64_t count = num(1) - c.counter_value;
    u128 total = ((u128)count * c.period >> c.counter_period_shift) + c.time_frac_sec;
    uint64_t sec = c.time_sec + (uint64_t)(total >> 64);
    bool utc = c.time_type == 0 || (c.time_type == 1 && c.flags & 1);
    bool told = (c.flags & 0x50) == 0x50;
    u128 rate = (u128)count * c.period_maxerror, ns = 0;

    if (!(sec == num(2) && (uint64_t)total == num(3)))
        return false;
    if (!opt(4, utc, c.time_type ? sec - (uint64_t)c.tai_offset_sec : sec))
        return false;
    if (!told)
        return null(5);
    /* rate / 2^(64 + shift) s in ns, rounded up: whole seconds and the rest apart */
    if (c.counter_period_shift < 64) {
        u128 unit = (u128)1 << c.counter_period_shift, high = rate >> 64;
        u128 whole = high / unit;
        /* rest < 2^(64 + shift): reduce to 96 bits for the product with 10^9 */
        u128 rest = rate - ((whole * unit) << 64);
        int drop = c.counter_period_shift > 32 ? c.counter_period_shift - 32 : 0;
        bool lost = drop && (rest & (((u128)1 << drop) - 1));
        u128 kept = rest >> drop;
        int bits = 64 + c.counter_period_shift - drop;
        ns = whole * 1000000000 + (kept * 1000000000 >> bits);
        lost = lost || (kept * 1000000000 & (((u128)1 << bits) - 1));
        ns += lost;
    } else {
        return true; /* beyond this reader: such a shift leaves no clock */
    }
    ns += c.time_maxerror;
    return opt(5, !(ns >> 64), (uint64_t)ns);
}

static bool vm_usable(void)
{
    struct vmclock c = vmclock(0);
    bool usable = c.magic == 0x4b4c4356 && c.version == 1 && c.counter_id <= 1 &&
        c.time_type <= 2 &&
                  (c.clock_status == 2 || c.clock_status == 3) && c.period;
    return usable == num(1);
}

static bool vm_consistent(void) { return (num(0) == num(1) && num(0) % 2 == 0) == num(2); }

static const struct {
    const char *name;
    bool (*agrees)(void);
} groups[] = {
    {"pvclock_scale.kvm", scale_kvm}, {"pvclock_scale.get_time_scale", scale_any},
    {"pvclock_scale.xen", scale_xen}, {"pvclock_scale_delta.scale_delta", delta},
    {"pvclock_scale_delta.guests", guests}, {"pvclock_read.parse", pv_parse},
    {"pvclock_read.read", pv_read}, {"pvclock_read.accept", pv_accept},
    {"pvclock_read.last_value", pv_last}, {"pvclock_wall_clock.compose", wall_compose},
    {"pvclock_wall_clock.now", wall_now}, {"tsc.ratio", tsc_ratio}, {"tsc.read", tsc_read},
    {"tsc.offset", tsc_offset}, {"tsc.nested", tsc_nested}, {"tsc.set_tsc_khz", tsc_khz},
    {"tsc.write", tsc_write}, {"lapic.divide", lapic_divide}, {"lapic.mode", lapic_mode},
    {"lapic.period", lapic_period}, {"lapic.count", lapic_count}, {"lapic.current", lapic_current},
    {"lapic.deadline", lapic_deadline}, {"lapic.deadline_write", lapic_write},
    {"i8254.count", pit_case}, {"i8254.gate", pit_gates}, {"i8254.session", pit_session},
    {"i8254.emulators", pit_emulated}, {"i8254.reload", pit_reload},
    {"i8254.freebsd_delay", pit_freebsd}, {"rtc.registers", rtc_registers},
    {"rtc.periodic", rtc_periodic}, {"rtc.update", rtc_update}, {"hyperv.scale", hv_scale},
    {"hyperv.read", hv_read}, {"hyperv.kvm_page", hv_kvm}, {"hyperv.msr", hv_msr},
    {"hyperv.next_sequence", hv_next}, {"hyperv.snapshot", hv_snapshot},
    {"vmclock.parse", vm_parse}, {"vmclock.period", vm_period}, {"vmclock.read", vm_read},
    {"vmclock.usable", vm_usable}, {"vmclock.consistent", vm_consistent},
};

static bool known_and_agrees(const char *name)
{
    for (size_t n = 0; n < sizeof groups / sizeof *groups; n++)
        if (strcmp(groups[n].name, name) == 0)
            return groups[n].agrees();
    return false;
}

int main(void)
{
    static char line[1 << 16], copy[1 << 16];
    unsigned long tried = 0;

    while (fgets(line, sizeof line, stdin)) {
        char *name, *word;
        line[strcspn(line, "\n")] = 0;
        strcpy(copy, line);
        name = strtok(line, " ");
        for (fields = 0; fields < MAX_FIELDS && (word = strtok(NULL, " ")); fields++)
            field[fields] = word;
        tried++;
        if (name && !known_and_agrees(name))
            printf("%s\n", copy);
    }
    printf("tried %lu\n", tried);
    return 0;
}
