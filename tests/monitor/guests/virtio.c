/*
 * Drives the disk and the entropy source of the monitor by their rings. It sleeps until
 * their interrupts come. Most answers end with whether the rings disagree (0 if not), and how many
 * interrupts the device had sent until then.
 *
 *   'a'  sets both up: A, and of each: magic version id features status capacity ready
 *   'w'  writes sectors 1 to 3 in pieces, and flushes: W status status
 *   'r'  reads sectors 0 to 3 by an indirect table: R status used sum sum sum sum
 *   'o'  reads behind the end, and does what nobody knows: O status status
 *   'i'  asks for the disk's name: I status used, and 5 words of it
 *   'e'  asks for entropy: E used, and 4 words of it
 *   'q'  offers a sector to be read without a notification: Q
 *   'n'  notifies: N status used sum
 *   'l'  offers descriptors in a loop: L registers' status
 */
#include "guest.h"

enum { DISK = 0xc0001000, ENTROPY = 0xc0002000, VECTOR = 0x41, GATES = VECTOR + 2 };
enum { IOAPIC_SELECT = 0xfec00000, IOAPIC_WINDOW = 0xfec00010, EOI = 0xfee000b0, FIRST_IRQ = 5 };
enum { SIZE = 8, NEXT = 1, WRITE = 2, INDIRECT = 4, SECTOR = 512 };
enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8 };

struct descriptor { uint64_t address; uint32_t size; uint16_t flags, next; };
struct available { volatile uint16_t flags, index, ring[SIZE]; };
struct used { volatile uint16_t flags, index; volatile struct { uint32_t id, size; } ring[SIZE]; };

struct queue {
    struct descriptor table[SIZE] __attribute__((aligned(16)));
    struct used used __attribute__((aligned(4)));
    struct available available;
    uint16_t seen;
    uint32_t base, interrupts;
};

static struct queue disk = { .base = DISK }, entropy = { .base = ENTROPY };
static struct descriptor inner[SIZE] __attribute__((aligned(16)));
static struct { uint32_t kind, reserved; uint64_t sector; } header;
static uint8_t data[4 * SECTOR], status;
static uint32_t lost_room, used_size;

static uint64_t gates[GATES];
static struct { uint16_t limit; void *base; } __attribute__((packed)) gate_pointer;
extern char came_disk[], came_entropy[];
volatile uint32_t interrupts[2];
uint32_t go_on;

/* Interrupts of the devices: counted, told the LAPIC, and on behind the HLT. No iret: see bare.S. */
__asm__("came_disk: incl interrupts\n\tjmp 1f\n"
        "came_entropy: incl interrupts + 4\n"
        "1:\tmovl $0, 0xfee000b0\n\taddl $12, %esp\n\tjmp *go_on\n");

static void make_gate(unsigned vector, const char *code)
{
    uint32_t at = (uint32_t)(uintptr_t)code;

    gates[vector] = (uint64_t)(at & 0xffff0000) << 32 | 0x8e0000080000ull | (at & 0xffff);
}

static void route(unsigned number)
{
    *mmio(IOAPIC_SELECT) = 0x11 + 2 * (FIRST_IRQ + number);
    *mmio(IOAPIC_WINDOW) = 0;
    *mmio(IOAPIC_SELECT) = 0x10 + 2 * (FIRST_IRQ + number);
    *mmio(IOAPIC_WINDOW) = VECTOR + number;
}

static void take_interrupts(void)
{
    *mmio(SPURIOUS) = APIC_ON;
    make_gate(VECTOR, came_disk);
    make_gate(VECTOR + 1, came_entropy);
    gate_pointer.limit = sizeof(gates) - 1;
    gate_pointer.base = gates;
    __asm__ volatile("lidt %0" : : "m"(gate_pointer));
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    route(0);
    route(1);
}

static void sleep(void)
{
    __asm__ volatile("movl $1f, go_on\n\tsti\n\thlt\n1:\tcli" : : : "memory");
}

static uint32_t get(struct queue *q, uint32_t at) { return *mmio(q->base + at); }
static void set(struct queue *q, uint32_t at, uint32_t value) { *mmio(q->base + at) = value; }

static uint32_t place(const volatile void *at) { return (uint32_t)(uintptr_t)at; }

static void begin(struct queue *q)
{
    uint32_t features;

    q->seen = q->available.index = q->used.index = 0;
    set(q, 0x70, 0);
    set(q, 0x70, 1);
    set(q, 0x70, 3);
    set(q, 0x14, 0);
    features = get(q, 0x10);
    set(q, 0x24, 0);
    set(q, 0x20, features);
    set(q, 0x24, 1);
    set(q, 0x20, 1);            /* VERSION_1 */
    set(q, 0x70, 11);
    set(q, 0x30, 0);
    set(q, 0x38, SIZE);
    set(q, 0x80, place(q->table));
    set(q, 0x90, place(&q->available));
    set(q, 0xa0, place(&q->used));
    set(q, 0x44, 1);
    set(q, 0x70, 15);
    put_word(get(q, 0));
    put_word(get(q, 4));
    put_word(get(q, 8));
    put_word(features);
    put_word(get(q, 0x70));
    put_word(get(q, 0x100));
    put_word(get(q, 0x44));
}

static void begin_both(void)
{
    put_char('A');
    begin(&disk);
    begin(&entropy);
    put_end();
}

static void put_descriptor(struct descriptor *at, const void *from, uint32_t size, uint16_t flags)
{
    at->address = place(from);
    at->size = size;
    at->flags = flags;
}

static void link(struct descriptor *table, unsigned count)
{
    for (unsigned i = 0; i + 1 < count; i++) {
        table[i].flags |= NEXT;
        table[i].next = (uint16_t)(i + 1);
    }
}

static void offer(struct queue *q)
{
    q->available.ring[q->available.index % SIZE] = 0;
    __asm__ volatile("" : : : "memory");
    q->available.index++;
}

/* Notify, sleep until the interrupt has come, acknowledge it. */
static void wait(struct queue *q)
{
    uint32_t before = interrupts[q == &entropy];

    __asm__ volatile("" : : : "memory");
    set(q, 0x50, 0);
    while (interrupts[q == &entropy] == before)
        sleep();
    set(q, 0x64, get(q, 0x60));
    used_size = q->used.ring[q->seen % SIZE].size;
    q->seen++;
    lost_room |= q->seen ^ q->used.index;
}

static void end(struct queue *q)
{
    put_word(lost_room);
    put_word(interrupts[q == &entropy]);
    put_end();
}

static uint32_t sum(const uint8_t *from)
{
    uint32_t total = 0;

    for (unsigned i = 0; i < SECTOR; i++)
        total = total * 31 + from[i];
    return total;
}

static void start(uint32_t kind, uint64_t sector)
{
    header.kind = kind;
    header.sector = sector;
    status = 0xee;
}

static void write_some(void)
{
    for (unsigned i = 0; i < 3 * SECTOR; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8));
    start(OUT, 1);
    put_descriptor(disk.table, &header, 5, 0);
    put_descriptor(disk.table + 1, (char *)&header + 5, 11, 0);
    put_descriptor(disk.table + 2, data, 100, 0);
    put_descriptor(disk.table + 3, data + 100, 3 * SECTOR - 100, 0);
    put_descriptor(disk.table + 4, &status, 1, WRITE);
    link(disk.table, 5);
    offer(&disk);
    wait(&disk);
    put_char('W');
    put_word(status);
    start(FLUSH, 0);
    put_descriptor(disk.table, &header, 16, 0);
    put_descriptor(disk.table + 1, &status, 1, WRITE);
    link(disk.table, 2);
    offer(&disk);
    wait(&disk);
    put_word(status);
    end(&disk);
}

static void read_some(void)
{
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = 0xcc;
    start(IN, 0);
    put_descriptor(inner, &header, 16, 0);
    put_descriptor(inner + 1, data, 10, WRITE);
    put_descriptor(inner + 2, data + 10, sizeof(data) - 10, WRITE);
    put_descriptor(inner + 3, &status, 1, WRITE);
    link(inner, 4);
    put_descriptor(disk.table, inner, 4 * sizeof(*inner), INDIRECT);
    offer(&disk);
    wait(&disk);
    put_char('R');
    put_word(status);
    put_word(used_size);
    for (unsigned i = 0; i < 4; i++)
        put_word(sum(data + i * SECTOR));
    end(&disk);
}

static void prepare(uint32_t kind, uint64_t sector, uint32_t size)
{
    start(kind, sector);
    put_descriptor(disk.table, &header, 16, 0);
    put_descriptor(disk.table + 1, data, size, WRITE);
    put_descriptor(disk.table + 2, &status, 1, WRITE);
    link(disk.table, 3);
    offer(&disk);
}

static void do_wrong(void)
{
    prepare(IN, 1ull << 40, SECTOR);
    wait(&disk);
    put_char('O');
    put_word(status);
    prepare(77, 0, SECTOR);
    wait(&disk);
    put_word(status);
    end(&disk);
}

static void ask_name(void)
{
    prepare(GET_ID, 0, 20);
    wait(&disk);
    put_char('I');
    put_word(status);
    put_word(used_size);
    for (unsigned i = 0; i < 5; i++)
        put_word(((uint32_t *)data)[i]);
    end(&disk);
}

static void ask_entropy(void)
{
    put_descriptor(entropy.table, data, 16, WRITE);
    offer(&entropy);
    wait(&entropy);
    put_char('E');
    put_word(used_size);
    for (unsigned i = 0; i < 4; i++)
        put_word(((uint32_t *)data)[i]);
    end(&entropy);
}

static void notify(void)
{
    wait(&disk);
    put_char('N');
    put_word(status);
    put_word(used_size);
    put_word(sum(data));
    end(&disk);
}

static void loop(void)
{
    uint32_t before = interrupts[0];

    prepare(IN, 0, SECTOR);
    disk.table[2].flags |= NEXT;
    disk.table[2].next = 1;
    __asm__ volatile("" : : : "memory");
    set(&disk, 0x50, 0);
    while (interrupts[0] == before)
        sleep();
    put_char('L');
    put_word(get(&disk, 0x70));
    put_word(get(&disk, 0x60));
    put_end();
}

void bare_main(const uint32_t *start_info)
{
    (void)start_info;
    serial_init();
    take_interrupts();
    put_text("begun\n");
    for (;;) {
        switch (get_char()) {
        case 'a': begin_both(); break;
        case 'w': write_some(); break;
        case 'r': read_some(); break;
        case 'o': do_wrong(); break;
        case 'i': ask_name(); break;
        case 'e': ask_entropy(); break;
        case 'q': prepare(IN, 1, SECTOR); put_text("Q\n"); break;
        case 'n': notify(); break;
        case 'l': loop(); break;
        case 's': return;
        }
    }
}
