/* The watcher: a TCG plugin that streams what a guest does with its clocks.
 *
 * Python gives it a pipe and a list of functions (timehands/watch/plan.py writes that list) and
 * reads fixed records of 64 bytes from the pipe (timehands/watch/records.py knows the layout).
 */
#ifndef TIMEHANDS_WATCH_H
#define TIMEHANDS_WATCH_H

#include "qemu_plugin_api.h"

enum record_kind {
    REC_HELLO = 1,      /* v0 record layout version, v1 CLOCK_REALTIME ns, v2 vCPUs */
    REC_FIRST = 2,      /* the first instruction of a vCPU */
    REC_CPUID = 3,      /* v0 leaf | subleaf << 32, v1 eax | ebx << 32, v2 ecx | edx << 32 */
    REC_RDTSC = 4,      /* also rdtscp */
    REC_RDMSR = 5,      /* v0 index, v1 value */
    REC_WRMSR = 6,      /* v0 index, v1 value */
    REC_IN = 7,         /* v0 port, v1 value, v2 bytes */
    REC_OUT = 8,        /* v0 port, v1 value, v2 bytes */
    REC_MMIO_READ = 9,  /* v0 physical address, v1 value, v2 bytes */
    REC_MMIO_WRITE = 10,
    REC_ENTER = 11,     /* v0 function, v1 to v3 first arguments, v4 return address */
    REC_LEAVE = 12,     /* v0 function, v1 rax */
    REC_DATA = 13,      /* 40 bytes that belong to the record before; extra: read << 16 | length */
    REC_SLIDE = 14,     /* v0 KASLR slide */
    REC_PROGRESS = 15,  /* v0 blocks translated; never stored, tells that the guest moves on */
    REC_COUNT = 16,     /* at the end: v0 kind of the site, v1 times, v2 not streamed */
    REC_COST = 17,      /* at the end: v0 ns in callbacks, v1 callbacks, v2 ns in translation,
                           v3 blocks, v4 records */
};

enum { FLAG_NO_RESULT = 1, FLAG_CONTINUED = 2 };
enum { MAX_READS = 8, MAX_HOPS = 3, MAX_READ_BYTES = 80, DATA_BYTES = 40 };

struct record {
    uint16_t kind;
    uint8_t vcpu, flags;
    uint32_t extra; /* events of this site passed over since its last record */
    uint64_t host_ns, pc, v[5];
};
_Static_assert(sizeof(struct record) == 64, "Python reads 64 bytes");

/* One instruction that is watched. */
struct site {
    uint64_t pc, count, streamed, last_ns;
    uint32_t passed; /* since the last record */
    uint16_t kind;
    uint8_t length;
    uint8_t width, port, imm_port; /* of in and out; without imm_port the port is in dx */
    bool tail;                     /* of a return: it is a jump to another function */
    struct function *function;
    struct site *next, *same_hash;
};

/* Where a value is found: from a base over pointers to bytes or to a string. */
struct read {
    uint8_t when, base, hops; /* when: 0 entry, 1 return; base: 0-5 argument, 6 address */
    char form;                /* b bytes, s string, w return addresses by frame pointers */
    uint16_t length;
    uint64_t address;
    int64_t offset[MAX_HOPS + 1];
};

enum { FN_ENTER = 1, FN_LEAVE = 2, FN_DEVICE = 4, FN_ANCHOR = 8 };
struct function {
    uint64_t start, end;
    uint32_t id, flags, n_reads;
    uint8_t bytes[8]; /* first bytes, for finding the slide */
    struct read reads[MAX_READS];
};

/* stream.c */
uint64_t now_ns(void);
void stream_open(int fd);
void stream_emit(const struct record *records, size_t count);
void stream_close(void);
uint64_t stream_records(void);

/* functions.c */
extern uint64_t slide, return_thunk;
extern bool slide_known;
bool is_detour(uint64_t address); /* code out of line that comes back */
bool functions_load(const char *path);
struct function *function_at(uint64_t address);     /* that starts here */
struct function *function_around(uint64_t address); /* that holds this address */
bool function_page(uint64_t address);               /* cheap: may this page hold any? */
bool slide_try(uint64_t address, const uint8_t *code, size_t length);

/* registers.c */
/* In the order in which timehands/watch/stops/inside.py names them. */
enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15, EFLAGS,
       N_REGISTERS };
void registers_init(void);
uint64_t reg(int name);
size_t guest_read(uint64_t address, void *out, size_t length);
size_t reads_follow(const struct function *f, int when, struct record *out,
                    const struct record *of);

/* sites.c: which instructions to watch */
uint16_t site_classify(const uint8_t *code, size_t size, struct site *site);
bool site_is_clock_mmio(const uint8_t *code, size_t size);
struct site *site_at(uint64_t pc, uint16_t kind, uint8_t length); /* NULL: too many */
struct site *sites_first(void);

/* stops.c: where the owner wants to be told, and asked whether to go on */
bool stops_add(uint64_t address);
bool stops_open(int fd); /* -1: there are none */
void stops_watch(struct qemu_plugin_insn *insn, uint64_t pc);

#endif
