/*
 * The console of a bare guest: a 16550 at 0x3f8, polled. The transmit FIFO takes 16 bytes, so one
 * look at the line status serves 16 bytes: on some hypervisors each port access is dear.
 */
#include "bare.h"

enum {
    UART = 0x3f8,
    FIFO_BYTES = 16,
    PATIENCE = 1 << 28,         /* looks at a FIFO that does not empty: the reader gives up before */
    LSR_DATA = 0x01,
    LSR_EMPTY = 0x20,
    LSR_SENT = 0x40,
    HELD_MOST = 32 << 10,
};

static unsigned room, holding, held;
static char hold[HELD_MOST];

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

static void wait_for(uint8_t status)
{
    for (unsigned i = 0; i < PATIENCE && !(inb(UART + 5) & status); i++)
        ;
}

static void send(char c)
{
    if (room == 0) {
        wait_for(LSR_EMPTY);
        room = FIFO_BYTES;
    }
    room--;
    outb(UART, (uint8_t)c);
}

/* From now on keep what is said in memory: a reader that is slow to take it costs no time then. */
void serial_hold(void)
{
    holding = 1;
}

/* Say what was kept, to the last bit, and all else at once again. */
void serial_release(void)
{
    for (unsigned i = 0; i < held; i++)
        send(hold[i]);
    holding = held = 0;
    wait_for(LSR_SENT);
}

void put_char(char c)
{
    if (holding && held == HELD_MOST)
        serial_release();
    if (holding)
        hold[held++] = c;
    else
        send(c);
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
    serial_release();
    put_text("\nX");
    put_word(vector);
    put_word(code);
    put_word(eip);
    put_end();
    serial_release();
}
