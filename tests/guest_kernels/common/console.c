/* The console: a 16550 at 0x3f8, and a printf of the few formats that kernels' messages need. */
#include "guest.h"

#define COM1 0x3f8
#define LINE_STATUS (COM1 + 5)
#define TRANSMITTER_EMPTY 0x20

bool console_on = true;
const char *console_prefix = "";
static bool at_line_start = true;

void console_init(void)
{
    outb(COM1 + 1, 0);    /* no interrupts */
    outb(COM1 + 3, 0x80); /* the divisor's latch */
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3); /* 8 bits, no parity */
}

static void put_raw(char c)
{
    while (!(inb(LINE_STATUS) & TRANSMITTER_EMPTY))
        spin();
    outb(COM1, (uint8_t)c);
}

static void put(char c)
{
    if (!console_on)
        return;
    if (at_line_start && c != '\n')
        for (const char *p = console_prefix; *p; p++)
            put_raw(*p);
    if (c == '\n')
        put_raw('\r');
    put_raw(c);
    at_line_start = c == '\n';
}

static void put_number(uint64_t value, unsigned base, bool negative, int width, char fill)
{
    char digits[24];
    int count = 0;
    do
        digits[count++] = "0123456789abcdef"[value % base];
    while (value /= base);
    if (negative)
        digits[count++] = '-';
    for (int i = count; i < width; i++)
        put(fill);
    while (count)
        put(digits[--count]);
}

static void put_string(const char *text, int width, bool left)
{
    int length = (int)strlen(text);
    for (int i = length; !left && i < width; i++)
        put(' ');
    for (const char *p = text; *p; p++)
        put(*p);
    for (int i = length; left && i < width; i++)
        put(' ');
}

static void put_signed(int64_t value, int width, char fill)
{
    put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0, width, fill);
}

void vprintf(const char *format, va_list args)
{
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        bool left = false, wide = false;
        int width = 0;
        char fill = ' ';
        for (format++; *format == '-'; format++)
            left = true;
        if (*format == '0')
            fill = *format++;
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + *format - '0';
        for (; *format == 'l' || *format == 'j' || *format == 'z'; format++)
            wide = true;
        switch (*format) {
        case 's':
            put_string(va_arg(args, const char *), width, left);
            break;
        case 'c':
            put((char)va_arg(args, int));
            break;
        case 'd':
        case 'i':
            put_signed(wide ? va_arg(args, int64_t) : va_arg(args, int), width, fill);
            break;
        case 'u':
        case 'x': {
            uint64_t value = wide ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            put_number(value, *format == 'x' ? 16 : 10, false, width, fill);
            break;
        }
        case 'p':
            put_string("0x", 0, false);
            put_number((uintptr_t)va_arg(args, void *), 16, false, width, fill);
            break;
        default:
            put(*format);
        }
    }
}

int printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    return 0;
}
