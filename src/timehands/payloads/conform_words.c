/*
 * The conformance guest's lines, and the words on its command line.
 *
 *   B id                        the case begins: who dies now died in it
 *   C id data key=value ...     what was measured; numbers are hexadecimal, lists have commas
 *   C id skip why=words         what is missing
 */
#include "conform.h"

/* PVH start_info and multiboot information, as 32-bit words. Sources: Xen
   public/arch-x86/hvm/start_info.h; Multiboot specification 0.6.96, 3.3. */
enum {
    PVH_MAGIC = 0x336ec578, PVH_VERSION = 1, PVH_COMMAND_LINE = 6, PVH_MAP = 10,
    PVH_MAP_ENTRIES = 12, RAM = 1, MAP_MOST = 64,
    HAS_MEMORY = 1 << 0, HAS_LINE = 1 << 2, MULTIBOOT_UPPER_KIB = 2, MULTIBOOT_COMMAND_LINE = 4,
    COMMAND_LINE_MOST = 2048, RAM_END = 0xc0000000u,
};

static char command_line[COMMAND_LINE_MOST + 1];

void words_init(const uint32_t *info)
{
    const char *from = 0;

    if ((uint32_t)(uintptr_t)info < RAM_END && info[0] == PVH_MAGIC)
        from = info[PVH_COMMAND_LINE + 1] ? 0 : (const char *)(uintptr_t)info[PVH_COMMAND_LINE];
    else if ((uint32_t)(uintptr_t)info < RAM_END && info[0] & HAS_LINE)
        from = (const char *)(uintptr_t)info[MULTIBOOT_COMMAND_LINE];
    for (unsigned i = 0; from && i < COMMAND_LINE_MOST && from[i]; i++)
        command_line[i] = from[i];
}

/* Where the memory ends that lies below 4 GiB, as it was told; 0 when it was not. */
uint64_t memory_end(const uint32_t *info)
{
    uint64_t end = 0;

    if ((uint32_t)(uintptr_t)info >= RAM_END)
        return 0;
    if (info[0] == PVH_MAGIC && info[PVH_VERSION] >= 1 && !info[PVH_MAP + 1]) {
        const uint32_t *entry = (const uint32_t *)(uintptr_t)info[PVH_MAP];

        for (unsigned i = 0; i < info[PVH_MAP_ENTRIES] && i < MAP_MOST; i++, entry += 6)
            if (entry[4] == RAM && !entry[1] && !entry[3] && entry[0] + entry[2] > end)
                end = entry[0] + entry[2];
    } else if (info[0] != PVH_MAGIC && info[0] & HAS_MEMORY) {
        end = ((uint64_t)info[MULTIBOOT_UPPER_KIB] << 10) + (1 << 20);
    }
    return end < RAM_END ? end : 0;
}

/* Whether the command line has this word. */
int option(const char *word)
{
    for (unsigned i = 0; command_line[i]; i++) {
        unsigned n = 0;

        while (word[n] && command_line[i + n] == word[n])
            n++;
        if (!word[n] && (i == 0 || command_line[i - 1] == ' ')
            && (!command_line[i + n] || command_line[i + n] == ' '))
            return 1;
    }
    return 0;
}

void begin(const char *id)
{
    put_text("B ");
    put_text(id);
    put_end();
}

void skip(const char *id, const char *why)
{
    put_text("C ");
    put_text(id);
    put_text(" skip why=");
    put_text(why);
    put_end();
}

void data(const char *id)
{
    put_text("C ");
    put_text(id);
    put_text(" data");
}

static void put_number(uint64_t v)
{
    put_text("0x");
    put_hex(v);
}

static void put_key(const char *key)
{
    put_char(' ');
    put_text(key);
    put_char('=');
}

void value(const char *key, uint64_t v)
{
    put_key(key);
    put_number(v);
}

void values(const char *key, const uint64_t *v, unsigned count)
{
    put_key(key);
    for (unsigned i = 0; i < count; i++) {
        if (i)
            put_char(',');
        put_number(v[i]);
    }
}
