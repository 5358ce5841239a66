/*
 * The console of a bare guest: a 16550 at 0x3f8, polled. The transmit FIFO takes 16 bytes, so one
 * look at the line status serves 16 bytes: on some hypervisors each port access is dear.
 */
#include "bare.h"

enum {
    UART = 0x3f8,
    FIFO_BYTES = 16,
    PATIENCE = 1 << 20,         /* looks at a FIFO that does not empty before the byte is sent anyhow */
    LSR_DATA = 0x01,
    LSR_EMPTY = 0x20,
};

static unsigned room;

void serial_init(void)
{
    outb(UART + 1, 0);          /* no interrupts */
    outb(UART + 3, 0x80);
    outb(UART + 0, 1);          /* 115200 baud, where that means something */
    outb(UART + 1, 0);
    outb(UART + 3, 0x03);       /* 8 bits, no parity, one stop bit */
    outb(UART + 2, 0x07);       /* FIFOs on and empty */
    outb(UART + 4, 0x03);
}

void put_char(char c)
{
    if (room == 0) {
        for (unsigned i = 0; i < PATIENCE && !(inb(UART + 5) & LSR_EMPTY); i++)
            ;
        room = FIFO_BYTES;
    }
    room--;
    outb(UART, (uint8_t)c);
}

void put_text(const char *text)
{
    while (*text)
        put_char(*text++);
}

void put_hex(uint64_t value)
{
    int shift = 60;

    while (shift > 0 && !(value >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[(value >> shift) & 15]);
}

void put_word(uint64_t value)
{
    put_char(' ');
    put_hex(value);
}

void put_end(void)
{
    put_char('\n');
}

/* The byte that came in, or -1. */
int get_char(void)
{
    uint8_t status = inb(UART + 5);

    return status != 0xff && (status & LSR_DATA) ? inb(UART) : -1;
}

void bare_fault(uint32_t vector, uint32_t code, uint32_t eip)
{
    put_text("\nX");
    put_word(vector);
    put_word(code);
    put_word(eip);
    put_end();
}
