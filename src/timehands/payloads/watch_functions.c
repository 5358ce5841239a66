/* The functions that Python asked for: read from a text file, found by address.
 *
 * Lines of the file (numbers in hexadecimal unless said otherwise):
 *   T address                                  where __x86_return_thunk is (a jump there returns)
 *   D start end                                code out of line that comes back (.altinstr_aux)
 *   F id(decimal) start end flags bytes        bytes: first 8 bytes of code, for the slide
 *     (one for each part of a function; the reads of a part follow it)
 *   S address                                  stop there
 *   R id(decimal) when base s|b|w length(decimal) address hops(decimal) offset...(decimal, signed)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

enum { MAX_FUNCTIONS = 4096, PAGE_SHIFT = 12, PAGE_BITS = 1 << 16, SLIDE_ALIGN = 0x200000 };
enum { LONGEST_RANGE = 1 << 24 };

static struct function *functions;
static size_t n_functions;
static uint64_t detour_start, detour_end;
static uint8_t pages[PAGE_BITS / 8];
uint64_t slide, return_thunk;
bool slide_known;

static void page_mark(uint64_t address)
{
    uint64_t page = (address >> PAGE_SHIFT) % PAGE_BITS;
    pages[page / 8] |= (uint8_t)(1u << (page % 8));
}

bool function_page(uint64_t address)
{
    uint64_t page = ((address - slide) >> PAGE_SHIFT) % PAGE_BITS;
    return pages[page / 8] >> (page % 8) & 1;
}

static bool load_function(const char *line)
{
    struct function f = {0};
    unsigned long long start, end, bytes;
    if (n_functions == MAX_FUNCTIONS ||
        sscanf(line, "F %u %llx %llx %x %llx", &f.id, &start, &end, &f.flags, &bytes) != 5)
        return false;
    if (end < start || end - start > LONGEST_RANGE)
        return false;
    f.start = start;
    f.end = end;
    for (int i = 0; i < 8; i++)
        f.bytes[i] = (uint8_t)(bytes >> (56 - 8 * i));
    functions[n_functions++] = f;
    for (uint64_t offset = 0; offset < end - start; offset += 1 << PAGE_SHIFT)
        page_mark(start + offset);
    page_mark(end);
    return true;
}

static bool load_read(const char *line)
{
    struct read r = {0};
    unsigned id, when, base, length, hops;
    unsigned long long address;
    char type;
    int used = 0;
    if (sscanf(line, "R %u %u %u %c %u %llx %u%n", &id, &when, &base, &type, &length, &address,
               &hops, &used) != 7 || hops > MAX_HOPS || length > MAX_READ_BYTES || base > 6)
        return false;
    r = (struct read){.when = (uint8_t)when, .base = (uint8_t)base, .form = type,
                      .hops = (uint8_t)hops, .length = (uint16_t)length, .address = address};
    for (unsigned i = 0; i <= hops; i++) {
        long long offset;
        int more = 0;
        if (sscanf(line + used, "%lld%n", &offset, &more) != 1)
            return false;
        r.offset[i] = offset;
        used += more;
    }
    struct function *last = n_functions ? &functions[n_functions - 1] : NULL;
    if (!last || last->id != id || last->n_reads == MAX_READS)
        return false;
    last->reads[last->n_reads++] = r;
    return true;
}

static int by_start(const void *a, const void *b)
{
    const struct function *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

bool functions_load(const char *path)
{
    char line[512];
    unsigned long long address, end;
    FILE *file = fopen(path, "r");
    functions = calloc(MAX_FUNCTIONS, sizeof *functions);
    if (!file || !functions)
        return false;
    bool good = true;
    while (good && fgets(line, sizeof line, file)) {
        if (line[0] == 'F')
            good = load_function(line);
        else if (line[0] == 'R')
            good = load_read(line);
        else if (line[0] == 'S')
            good = sscanf(line, "S %llx", &address) == 1 && stops_add(address);
        else if (line[0] == 'T' && sscanf(line, "T %llx", &address) == 1)
            return_thunk = address;
        else if (line[0] == 'D' && sscanf(line, "D %llx %llx", &address, &end) == 2) {
            detour_start = address;
            detour_end = end;
        }
    }
    fclose(file);
    qsort(functions, n_functions, sizeof *functions, by_start);
    return good;
}

bool is_detour(uint64_t address)
{
    return address - slide >= detour_start && address - slide < detour_end;
}

struct function *function_around(uint64_t address)
{
    uint64_t wanted = address - slide;
    size_t low = 0, high = n_functions;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (functions[middle].start <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low && wanted < functions[low - 1].end ? &functions[low - 1] : NULL;
}

struct function *function_at(uint64_t address)
{
    struct function *f = function_around(address);
    return f && f->start + slide == address ? f : NULL;
}

/* KASLR moves the kernel by a multiple of 2 MiB: an anchor's code shows by how much. */
bool slide_try(uint64_t address, const uint8_t *code, size_t length)
{
    for (size_t i = 0; i < n_functions; i++) {
        struct function *f = &functions[i];
        if (!(f->flags & FN_ANCHOR) || (address - f->start) % SLIDE_ALIGN ||
            address < f->start || memcmp(code, f->bytes, length < 8 ? length : 8))
            continue;
        slide = address - f->start;
        slide_known = true;
        return true;
    }
    return false;
}
