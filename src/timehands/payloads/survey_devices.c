/*
 * The survey's counters: which of them count. A missing port reads as ones, missing memory as
 * zeros or ones, and neither ever changes, so a device is there when its count was seen to change.
 *
 *   P counts first last first2 last2      the PIT: channel 0, channel 2
 *   Q port61 port64 pic                   the ports that kernels take for granted beside it
 *   A base version counts first last      the LAPIC and its timer (divided by 1)
 *   H id period counts first last         the HPET
 *   K port counts first last              the ACPI PM timer
 *
 * Sources: Intel 8254 data sheet (control word, latch); Intel SDM volume 3, 11.5.4 (LAPIC timer);
 * IA-PC HPET specification 2.3; ACPI specification 4.8.3.3 (PM timer) and 5.2.9 (FADT).
 */
#include "survey.h"

enum {
    LOOKS = 256,                /* at a count, before it is said to stand still */
    PIT = 0x40, SPEAKER = 0x61, KEYBOARD = 0x64, PIC_MASK = 0x21,
    HPET = 0xfed00000,
    APIC_VERSION = 0x30 / 4, APIC_SPURIOUS = 0xf0 / 4, APIC_TIMER = 0x320 / 4,
    APIC_INITIAL = 0x380 / 4, APIC_COUNT = 0x390 / 4, APIC_DIVIDE = 0x3e0 / 4,
    FADT_MOST = 64,
};

struct device pit, lapic, hpet, acpi_pm;
static uint32_t lapic_base;
static uint16_t acpi_pm_port;

static void watch(struct device *d, uint32_t (*read)(void))
{
    d->first = d->last = read();
    for (unsigned i = 0; i < LOOKS && d->last == d->first; i++)
        d->last = read();
    d->counts = d->last != d->first;
}

static void put_device(const struct device *d)
{
    put_word((uint64_t)d->counts);
    put_word(d->first);
    put_word(d->last);
}

uint32_t pit_read(unsigned channel)
{
    uint32_t low;

    outb(PIT + 3, (uint8_t)(channel << 6));             /* latch the count */
    low = inb((uint16_t)(PIT + channel));
    return low | (uint32_t)inb((uint16_t)(PIT + channel)) << 8;
}

static uint32_t pit_read_0(void) { return pit_read(0); }
static uint32_t pit_read_2(void) { return pit_read(2); }

static void pit_start(unsigned channel)
{
    outb(PIT + 3, (uint8_t)(channel << 6 | 0x34));      /* low then high byte, rate generator */
    outb((uint16_t)(PIT + channel), 0);                 /* 65536 */
    outb((uint16_t)(PIT + channel), 0);
}

static void survey_pit(void)
{
    struct device second;
    uint8_t speaker = inb(SPEAKER);

    if (speaker != 0xff)
        outb(SPEAKER, (speaker & ~2) | 1);              /* the gate of channel 2; no sound */
    pit_start(0);
    pit_start(2);
    watch(&pit, pit_read_0);
    watch(&second, pit_read_2);
    put_char('P');
    put_device(&pit);
    put_device(&second);
    put_end();
}

static void survey_ports(void)
{
    uint8_t mask = inb(PIC_MASK);

    put_char('Q');
    put_word(inb(SPEAKER));
    put_word(inb(KEYBOARD));
    outb(PIC_MASK, 0xfb);
    put_word(inb(PIC_MASK) == 0xfb);
    outb(PIC_MASK, mask);
    put_end();
}

uint32_t lapic_read(void)
{
    return mmio(lapic_base)[APIC_COUNT];
}

static void survey_lapic(void)
{
    uint32_t base[2];

    if (!(cpuid(1, 0).edx & 1 << 9) || bare_rdmsr(0x1b, base) || !(base[0] & 1 << 11) || base[1]) {
        put_text("A -\n");
        return;
    }
    lapic_base = base[0] & 0xfffff000;
    mmio(lapic_base)[APIC_SPURIOUS] = 0x1ff;
    mmio(lapic_base)[APIC_TIMER] = 0x10020;             /* one shot, masked */
    mmio(lapic_base)[APIC_DIVIDE] = 0xb;                /* by 1 */
    mmio(lapic_base)[APIC_INITIAL] = 0xffffffff;
    watch(&lapic, lapic_read);
    put_char('A');
    put_word(lapic_base);
    put_word(mmio(lapic_base)[APIC_VERSION]);
    put_device(&lapic);
    put_end();
}

uint32_t hpet_read(void)
{
    return mmio(HPET)[0xf0 / 4];
}

static void survey_hpet(void)
{
    uint32_t id = mmio(HPET)[0], period = mmio(HPET)[1];

    if (survey_option("hpet=off") || id == 0xffffffff || period == 0 || period > 100000000) {
        put_text("H -\n");
        return;
    }
    mmio(HPET)[0x10 / 4] |= 1;                          /* let it count */
    watch(&hpet, hpet_read);
    put_char('H');
    put_word(id);
    put_word(period);
    put_device(&hpet);
    put_end();
}

/* The word at a physical address below 4 GiB, which need not be aligned. */
static uint32_t word_at(uint32_t address)
{
    uint32_t value;
    const volatile uint8_t *p = (const volatile uint8_t *)(uintptr_t)address;

    value = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return value;
}

static uint32_t find_fadt(uint32_t rsdp)
{
    uint32_t rsdt, length;

    if (!rsdp || word_at(rsdp) != 0x20445352 || word_at(rsdp + 4) != 0x20525450)
        return 0;                                       /* "RSD PTR " */
    rsdt = word_at(rsdp + 16);
    length = word_at(rsdt + 4);
    for (uint32_t at = 36; at + 4 <= length && at < 36 + 4 * FADT_MOST; at += 4)
        if (word_at(word_at(rsdt + at)) == 0x50434146)  /* "FACP" */
            return word_at(rsdt + at);
    return 0;
}

uint32_t acpi_pm_read(void)
{
    return inl(acpi_pm_port) & 0xffffff;
}

static void survey_acpi_pm(const uint32_t *start_info)
{
    uint32_t fadt = start_info[9] ? 0 : find_fadt(start_info[8]);
    uint32_t port = fadt ? word_at(fadt + 76) : 0;      /* PM_TMR_BLK */

    if (port == 0 || port > 0xfffc) {
        put_text("K -\n");
        return;
    }
    acpi_pm_port = (uint16_t)port;
    watch(&acpi_pm, acpi_pm_read);
    put_char('K');
    put_word(port);
    put_device(&acpi_pm);
    put_end();
}

void survey_devices(const uint32_t *start_info)
{
    survey_pit();
    survey_ports();
    survey_lapic();
    survey_hpet();
    survey_acpi_pm(start_info);
}
