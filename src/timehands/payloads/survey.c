/*
 * The survey guest: it says on the serial line what clocks its machine offers, and ends by a reset.
 * One line is one fact: a tag letter, then words in lower-case hexadecimal without leading zeros
 * ("-": not to be had). timehands.machines.survey_lines reads them; docs/cpuid.md tells more.
 *
 *   C leaf subleaf eax ebx ecx edx    a CPUID answer (without registers: all zero)
 *   G leaf eax ebx ecx edx            the same above the range's limit: somebody else's data
 *   M msr value|-                     an MSR, "-" when the CPU refused the read
 *   I version flags modules rsdp n    the PVH start_info; L: its command line; Y: a memory range
 *   P Q A H K R D F                   devices: see survey_devices.c and survey_rtc.c
 *   t, S                              samples of all counters: see survey_samples.c
 *   X vector code eip                 an exception that nobody expected; the guest ends
 *   E tsc                             the end, and the TSC when it came
 */
#include "survey.h"

/* PVH start_info, as 32-bit words. Source: Xen public/arch-x86/hvm/start_info.h. */
enum { MAGIC, VERSION, FLAGS, MODULES, CMDLINE = 6, RSDP = 8, MEMMAP = 10, MEMMAP_ENTRIES = 12 };
enum { START_INFO_MAGIC = 0x336ec578, MAX_CMDLINE = 256, MAX_MEMMAP = 32 };

static const char *command_line = "";

int survey_option(const char *option)
{
    for (unsigned i = 0; i < MAX_CMDLINE && command_line[i]; i++) {
        unsigned n = 0;

        while (option[n] && command_line[i + n] == option[n])
            n++;
        if (!option[n])
            return 1;
    }
    return 0;
}

static void put_command_line(void)
{
    put_text("L ");
    for (unsigned i = 0; i < MAX_CMDLINE && command_line[i]; i++)
        put_char(command_line[i] >= ' ' && command_line[i] <= '~' ? command_line[i] : '?');
    put_end();
}

static void put_memory_map(const uint32_t *info)
{
    const uint32_t *entry = (const uint32_t *)(uintptr_t)info[MEMMAP];

    if (info[VERSION] < 1 || !entry || info[MEMMAP + 1])
        return;
    for (unsigned i = 0; i < info[MEMMAP_ENTRIES] && i < MAX_MEMMAP; i++, entry += 6) {
        put_char('Y');
        put_word((uint64_t)entry[1] << 32 | entry[0]);
        put_word((uint64_t)entry[3] << 32 | entry[2]);
        put_word(entry[4]);
        put_end();
    }
}

void survey_start_info(const uint32_t *info)
{
    if (info[MAGIC] != START_INFO_MAGIC) {
        put_text("I -\n");
        return;
    }
    put_char('I');
    put_word(info[VERSION]);
    put_word(info[FLAGS]);
    put_word(info[MODULES]);
    put_word((uint64_t)info[RSDP + 1] << 32 | info[RSDP]);
    put_word(info[VERSION] >= 1 ? info[MEMMAP_ENTRIES] : 0);
    put_end();
    put_command_line();
    put_memory_map(info);
}

void bare_main(const uint32_t *info)
{
    serial_init();
    put_text("timehands-survey 1\n");
    if (info[MAGIC] == START_INFO_MAGIC && info[CMDLINE] && !info[CMDLINE + 1])
        command_line = (const char *)(uintptr_t)info[CMDLINE];
    if (survey_option("pace=self"))
        serial_hold();          /* nothing that is measured shall depend on who reads the console */
    survey_cpuid();
    survey_msrs();
    survey_start_info(info);
    survey_devices(info);
    survey_rtc();
    survey_samples();
    put_char('E');
    put_word(rdtsc());
    put_end();
    serial_release();
}
