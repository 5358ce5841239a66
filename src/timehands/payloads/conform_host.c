/*
 * The conformance guest's talk with the host over the serial line: samples of all counters at
 * moments that the host knows, and what the host does to the whole machine.
 *
 *   H hello                     is somebody there? 'h' says so
 *   H row name                  a row of samples begins: 's' asks for one, 'q' ends the row
 *   S row tsc=.. lapic=.. pit=.. ns=.. tsc_after=..    one sample
 *   H do pause|snapshot|migration   'a': it will be done, 'n': it cannot; after the guest's answer
 *   H ready                     it is done, and 'd' says so
 *
 * Without a host the rows are left out, and what needs one is skipped.
 */
#include "conform.h"

enum { POLLS = 1 << 24, ROW_MOST = 64, HELLOS = 3 };
#define PATIENCE ((uint64_t)1 << 32)    /* TSC cycles: a second or two */

static int listens;

/* The next byte, or -1 when none comes in that time. */
static int wait_byte(uint64_t cycles)
{
    uint64_t start = rdtsc();

    for (unsigned i = 0; i < POLLS && rdtsc() - start < cycles; i++) {
        int byte = get_char();
        if (byte >= 0)
            return byte;
    }
    return -1;
}

void host_hello(void)
{
    if (option("host=off"))
        return;
    put_text("H hello\n");
    for (unsigned i = 0; i < HELLOS && !listens; i++)
        listens = wait_byte(PATIENCE) == 'h';
}

static void sample(const char *name)
{
    uint64_t before = ordered_tsc(), pit = 0, ns = 0, lapic = 0, after;

    if (lapic_usable())
        lapic = mmio(LAPIC_BASE)[APIC_COUNT];
    if (pit_counts())
        pit = pit_latched(0);
    if (pvclock_registered())
        ns = pvclock_now();
    after = ordered_tsc();
    put_text("S ");
    put_text(name);
    value("tsc", before);
    if (lapic_usable())
        value("lapic", lapic);
    if (pit_counts())
        value("pit", pit);
    if (pvclock_registered()) {
        value("ns", ns);
        value("flags", pvclock_flags());
        value("version", pvclock_version());
    }
    value("tsc_after", after);
    put_end();
}

/* So many rows of samples; the host pauses between them. */
void host_rows(const char *name, unsigned rows)
{
    if (!listens)
        return;
    if (lapic_usable())
        lapic_free_run();
    pit_free_run();
    for (unsigned row = 0; row < rows; row++) {
        put_text("H row ");
        put_text(name);
        put_end();
        for (unsigned i = 0; i < ROW_MOST && wait_byte(PATIENCE) == 's'; i++)
            sample(name);
    }
}

/* Ask the host to do something, and take samples before and after it. */
static void event(const char *id, const char *what)
{
    uint64_t before = 0, back = 0, ns;
    int byte;

    begin(id);
    put_text("H do ");
    put_text(what);
    put_end();
    if (wait_byte(PATIENCE) != 'a') {
        skip(id, "the-host-side-cannot");
        return;
    }
    pvclock_clear_stopped();
    host_rows("before", 1);
    put_text("H ready\n");
    if (pvclock_registered())
        before = pvclock_now();
    for (unsigned i = 0; i < POLLS && (byte = get_char()) != 'd'; i++)
        if (pvclock_registered()) {
            ns = pvclock_now();
            back += ns < before;
            before = ns;
        }
    host_rows("after", 1);
    data(id);
    if (pvclock_registered()) {
        value("backwards", back);
        value("flags", pvclock_flags());
        pvclock_clear_stopped();
        pvclock_update();
        value("flags_later", pvclock_flags());
    }
    put_end();
}

void host_events(void)
{
    if (!listens) {
        skip("host.pause", "nobody-at-the-serial-line");
        skip("host.snapshot", "nobody-at-the-serial-line");
        skip("host.migration", "nobody-at-the-serial-line");
        return;
    }
    event("host.pause", "pause");
    event("host.snapshot", "snapshot");
    event("host.migration", "migration");
}
