/* Which instructions touch a clock: decided from their bytes, once, when QEMU translates them. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

/* A guest that writes new code all the time must not fill the host's memory. */
enum { MAX_SITES = 1 << 18, HASH_BITS = 14 };

static struct site *all_sites, *by_hash[1 << HASH_BITS];
static size_t n_sites;
static pthread_mutex_t sites_lock = PTHREAD_MUTEX_INITIALIZER; /* vCPUs translate at once */

static struct site *site_new(uint64_t pc, uint16_t kind, uint8_t length)
{
    struct site *site = n_sites < MAX_SITES ? calloc(1, sizeof *site) : NULL;
    if (!site)
        return NULL;
    n_sites++;
    site->pc = pc;
    site->kind = kind;
    site->length = length;
    site->next = all_sites;
    __atomic_store_n(&all_sites, site, __ATOMIC_RELEASE);
    return site;
}

/* The site of an instruction. It stays the same when QEMU translates the code again. */
struct site *site_at(uint64_t pc, uint16_t kind, uint8_t length)
{
    struct site **bucket = &by_hash[(pc ^ pc >> HASH_BITS ^ kind) & ((1 << HASH_BITS) - 1)];
    pthread_mutex_lock(&sites_lock);
    struct site *site = *bucket;
    while (site && (site->pc != pc || site->kind != kind || site->length != length))
        site = site->same_hash;
    if (!site && (site = site_new(pc, kind, length))) {
        site->same_hash = *bucket;
        *bucket = site;
    }
    pthread_mutex_unlock(&sites_lock);
    return site;
}

struct site *sites_first(void)
{
    return __atomic_load_n(&all_sites, __ATOMIC_ACQUIRE);
}

static uint16_t classify_two_byte(const uint8_t *code, size_t left)
{
    if (left < 2)
        return 0;
    switch (code[1]) {
    case 0xa2: return REC_CPUID;
    case 0x31: return REC_RDTSC;
    case 0x32: return REC_RDMSR;
    case 0x30: return REC_WRMSR;
    case 0x01: return left > 2 && code[2] == 0xf9 ? REC_RDTSC : 0; /* rdtscp */
    default: return 0;
    }
}

/* in and out: e4-e7 with the port in the instruction, ec-ef with it in dx. */
static uint16_t classify_port(const uint8_t *code, size_t left, bool narrow, struct site *site)
{
    uint8_t op = code[0];
    if ((op & 0xf4) != 0xe4)
        return 0;
    site->width = op & 1 ? (narrow ? 2 : 4) : 1;
    site->imm_port = !(op & 8);
    site->port = site->imm_port && left > 1 ? code[1] : 0;
    return op & 2 ? REC_OUT : REC_IN;
}

uint16_t site_classify(const uint8_t *code, size_t size, struct site *site)
{
    size_t at = 0;
    bool narrow = false;
    while (at < size && (code[at] == 0x66 || code[at] == 0xf2 || code[at] == 0xf3 ||
                         (code[at] & 0xf0) == 0x40)) { /* 0x40 to 0x4f: REX */
        narrow |= code[at] == 0x66;
        at++;
    }
    if (at == size)
        return 0;
    if (code[at] == 0x0f)
        return classify_two_byte(code + at, size - at);
    return classify_port(code + at, size - at, narrow, site);
}

static bool clock_displacement(uint32_t d)
{
    /* LAPIC: local vector of the timer, initial and current count, divider. */
    if (d == 0x320 || d == 0x380 || d == 0x390 || d == 0x3e0)
        return true;
    /* Physical windows of I/O APIC, HPET and LAPIC, and Linux's fixed mappings of them. */
    return (d >= 0xfec00000u && d < 0xfef00000u) || (d >= 0xff400000u && d < 0xff800000u);
}

/* Without symbols: a 32-bit move whose displacement is one of a clock device's registers. */
bool site_is_clock_mmio(const uint8_t *code, size_t size)
{
    size_t at = 0;
    uint32_t d;
    while (at < size && (code[at] == 0x66 || code[at] == 0x67 || (code[at] & 0xf0) == 0x40))
        at++;
    if (at + 5 > size)
        return false;
    if (code[at] == 0xa1 || code[at] == 0xa3) { /* mov between eax and an address */
        memcpy(&d, code + at + 1, 4);
        return clock_displacement(d);
    }
    if (at + 6 > size)
        return false;
    if (code[at] != 0x8b && code[at] != 0x89 && code[at] != 0xc7 && code[at] != 0x87)
        return false;
    uint8_t mod = code[at + 1] >> 6, rm = code[at + 1] & 7;
    size_t displacement = at + 2 + (mod != 3 && rm == 4);
    bool wide = mod == 2 || (mod == 0 && rm == 5) ||
                (mod == 0 && rm == 4 && (code[at + 2] & 7) == 5);
    if (!wide || displacement + 4 > size)
        return false;
    memcpy(&d, code + displacement, 4);
    return clock_displacement(d);
}
