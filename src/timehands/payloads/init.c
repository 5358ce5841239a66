/* The init of Timehands: a Linux userland of one small program, without any library.
 *
 * It tells which clock the kernel runs on, lets a second pass so that the kernel can change its
 * mind, and ends the machine. What it has to say goes to the console, one line each, beginning with
 * "timehands: ". To be timed exactly it also executes CPUID with a leaf of its own: the watcher
 * sees that instruction, with the guest's clocks in its registers, at a known host time.
 *
 * Environment (words of the kernel command line without a dot become init's environment):
 *   timehands_settle_ms=N   how long to let pass, 1000 unless told otherwise
 *   timehands_print=FILE    print that file to the console first (for example /proc/kallsyms)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_CLOSE = 3, SYS_NANOSLEEP = 35, SYS_EXIT = 60,
       SYS_MKDIR = 83, SYS_SYNC = 162, SYS_MOUNT = 165, SYS_REBOOT = 169, SYS_CLOCK_GETTIME = 228 };
enum { CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1 };
enum { MARK_INIT = 0x54480001, MARK_BEFORE = 0x54480002, MARK_AFTER = 0x54480003,
       MARK_END = 0x54480004 };
enum { STEP_MS = 100, LONGEST_SETTLE_MS = 60000, LONGEST_EARLY_MS = 2500 };
#define REBOOT_MAGIC1 0xfee1dead
#define REBOOT_MAGIC2 0x28121969
#define REBOOT_RESTART 0x01234567

struct timespec { int64_t sec, nsec; };

static long syscall5(long n, long a, long b, long c, long d, long e)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
#define CALL(n, a, b, c) syscall5(n, (long)(a), (long)(b), (long)(c), 0, 0)

static void mark(uint32_t leaf, uint64_t monotonic, uint64_t realtime)
{
    uint32_t a = leaf, c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "+b"(monotonic), "+c"(c), "+d"(realtime)::"memory");
}

static uint64_t clock_ns(int which)
{
    struct timespec t = {0, 0};
    CALL(SYS_CLOCK_GETTIME, which, &t, 0);
    return (uint64_t)t.sec * 1000000000u + (uint64_t)t.nsec;
}

/* The clocks were read between the two marks: a sandwich in host time. */
static void tell_time(void)
{
    mark(MARK_BEFORE, 0, 0);
    uint64_t monotonic = clock_ns(CLOCK_MONOTONIC), realtime = clock_ns(CLOCK_REALTIME);
    mark(MARK_AFTER, monotonic, realtime);
}

static size_t length_of(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

static void put(const char *s, size_t n)
{
    while (n) {
        long done = CALL(SYS_WRITE, 1, s, n);
        if (done <= 0)
            return;
        s += done;
        n -= (size_t)done;
    }
}

static void say(const char *what, const char *value)
{
    static const char PREFIX[] = "timehands: ";
    put(PREFIX, sizeof PREFIX - 1);
    put(what, length_of(what));
    put(" ", 1);
    put(value, length_of(value));
    put("\n", 1);
}

static void say_number(const char *what, uint64_t n)
{
    char digits[24];
    char *p = digits + sizeof digits - 1;
    *p = 0;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    say(what, p);
}

/* The first line of a small file, without its end; empty when it cannot be read. */
static void read_line(const char *path, char *out, size_t size)
{
    long fd = CALL(SYS_OPEN, path, 0, 0), n = 0;
    if (fd >= 0) {
        n = CALL(SYS_READ, fd, out, size - 1);
        CALL(SYS_CLOSE, fd, 0, 0);
    }
    n = n < 0 ? 0 : n;
    out[n] = 0;
    for (long i = 0; i < n; i++)
        if (out[i] == '\n')
            out[i] = 0;
}

static void print_file(const char *path)
{
    static char buffer[65536];
    long n, fd = CALL(SYS_OPEN, path, 0, 0);
    while (fd >= 0 && (n = CALL(SYS_READ, fd, buffer, sizeof buffer)) > 0)
        put(buffer, (size_t)n);
    CALL(SYS_CLOSE, fd, 0, 0);
}

static const char *environment(char **environ, const char *name)
{
    size_t n = length_of(name);
    for (; *environ; environ++) {
        size_t i = 0;
        while (i < n && (*environ)[i] == name[i])
            i++;
        if (i == n && (*environ)[n] == '=')
            return *environ + n + 1;
    }
    return NULL;
}

static uint64_t settle_ms(char **environ)
{
    const char *text = environment(environ, "timehands_settle_ms");
    uint64_t n = 0;
    if (!text)
        return 1000;
    for (; *text >= '0' && *text <= '9' && n < LONGEST_SETTLE_MS; text++)
        n = n * 10 + (uint64_t)(*text - '0');
    return n;
}

static void say_clocks(void)
{
    static const char *const NAMES[][2] = {
        {"clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource"},
        {"available", "/sys/devices/system/clocksource/clocksource0/available_clocksource"},
        {"clockevent", "/sys/devices/system/clockevents/clockevent0/current_device"},
    };
    char line[256];
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        read_line(NAMES[i][1], line, sizeof line);
        say(NAMES[i][0], line[0] ? line : "unknown");
    }
}

/* Linux runs on tsc-early until it has refined the TSC's frequency, a second or so after boot. */
static bool is_provisional(void)
{
    static const char EARLY[] = "tsc-early";
    char line[64];
    read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", line,
              sizeof line);
    for (size_t i = 0; i < sizeof EARLY; i++)
        if (line[i] != EARLY[i])
            return false;
    return true;
}

static void settle(uint64_t ms)
{
    struct timespec step = {0, STEP_MS * 1000000};
    for (uint64_t passed = 0;
         passed < ms || (ms && passed < LONGEST_EARLY_MS && is_provisional()); passed += STEP_MS) {
        CALL(SYS_NANOSLEEP, &step, 0, 0);
        tell_time();
    }
}

__attribute__((used)) void run(long *stack)
{
    char **environ = (char **)(stack + 1 + *stack + 1);
    mark(MARK_INIT, 0, 0);
    tell_time();
    say("init", "reached");
    CALL(SYS_MKDIR, "/proc", 0755, 0);
    CALL(SYS_MKDIR, "/sys", 0755, 0);
    syscall5(SYS_MOUNT, (long)"proc", (long)"/proc", (long)"proc", 0, 0);
    syscall5(SYS_MOUNT, (long)"sysfs", (long)"/sys", (long)"sysfs", 0, 0);
    const char *file = environment(environ, "timehands_print");
    if (file)
        print_file(file);
    say_clocks();
    say_number("monotonic", clock_ns(CLOCK_MONOTONIC));
    say_number("realtime", clock_ns(CLOCK_REALTIME));
    settle(settle_ms(environ));
    say_clocks();
    say_number("monotonic", clock_ns(CLOCK_MONOTONIC));
    mark(MARK_END, 0, 0);
    CALL(SYS_SYNC, 0, 0, 0);
    syscall5(SYS_REBOOT, (long)REBOOT_MAGIC1, REBOOT_MAGIC2, REBOOT_RESTART, 0, 0);
    CALL(SYS_EXIT, 1, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run\n\thlt\n");
