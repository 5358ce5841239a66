/* Stops inside the plugin: at an address that is marked the vCPU's own thread tells the owner where
 * it is, answers what it is asked of the guest's memory, and goes on when it is told to.
 *
 * Nothing of QEMU is stopped: other vCPUs run on until they come to such an address themselves, and
 * then wait for their turn. When the owner closes the socket, or says what makes no sense, there
 * are no stops any more and the guest goes on. Nothing is allocated at a stop.
 *
 * timehands/watch/stops/inside.py is the other end, and knows the layout of both messages.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watch.h"

enum { MAX_STOPS = 1 << 16, STACK_BYTES = 512, STACK_ALIGN = 256, MAX_ANSWER = 1 << 16 };
enum { GO_ON = 0, READ = 1, SWITCH = 2 };

struct stop {
    uint64_t address;
    uint32_t number; /* its place in the plan */
    bool on;
};

struct told {
    uint32_t number, vcpu;
    uint64_t host_ns, pc, stack_at, stack_length;
    uint64_t registers[N_REGISTERS];
    uint8_t stack[STACK_BYTES];
};
_Static_assert(sizeof(struct told) == 40 + 8 * 17 + 512, "Python reads so many bytes");

struct asked {
    uint32_t what, value;     /* of SWITCH: whether it is on */
    uint64_t address, length; /* of SWITCH: the number of the place */
};
_Static_assert(sizeof(struct asked) == 24, "Python sends so many bytes");

static struct stop *stops, **by_number;
static size_t n_stops;
static int owner = -1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

bool stops_add(uint64_t address)
{
    if (!stops && !(stops = calloc(MAX_STOPS, sizeof *stops)))
        return false;
    if (n_stops == MAX_STOPS)
        return false;
    stops[n_stops] = (struct stop){.address = address, .number = (uint32_t)n_stops, .on = true};
    n_stops++;
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct stop *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

bool stops_open(int fd)
{
    if (fd < 0 || !n_stops)
        return true;
    qsort(stops, n_stops, sizeof *stops, by_address);
    by_number = calloc(n_stops, sizeof *by_number);
    if (!by_number)
        return false;
    for (size_t i = 0; i < n_stops; i++)
        by_number[stops[i].number] = &stops[i];
    owner = fd;
    return true;
}

static void leave(void)
{
    close(owner);
    __atomic_store_n(&owner, -1, __ATOMIC_RELEASE);
}

static bool hear(void *out, size_t left)
{
    char *p = out;
    while (left) {
        ssize_t n = recv(owner, p, left, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        left -= (size_t)n;
    }
    return true;
}

static bool say(const void *from, size_t left)
{
    const char *p = from;
    while (left) {
        ssize_t n = send(owner, p, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        left -= (size_t)n;
    }
    return true;
}

static bool say_memory(const struct asked *a)
{
    static struct { uint64_t length; uint8_t bytes[MAX_ANSWER]; } answer; /* `turn` is held */
    if (a->length > MAX_ANSWER)
        return false;
    answer.length = guest_read(a->address, answer.bytes, a->length);
    return say(&answer, sizeof answer.length + answer.length);
}

/* False: the owner has gone, or is not one. */
static bool answer_until_told(void)
{
    struct asked a;
    while (hear(&a, sizeof a)) {
        if (a.what == GO_ON)
            return true;
        if (a.what == READ && say_memory(&a))
            continue;
        if (a.what != SWITCH || a.address >= n_stops)
            return false;
        by_number[a.address]->on = a.value;
    }
    return false;
}

static bool tell(const struct stop *stop, unsigned vcpu)
{
    struct told t = {.number = stop->number, .vcpu = vcpu, .host_ns = now_ns(),
                     .pc = stop->address};
    for (int name = 0; name < N_REGISTERS; name++)
        t.registers[name] = reg(name);
    t.stack_at = t.registers[RSP] & ~(uint64_t)(STACK_ALIGN - 1);
    t.stack_length = guest_read(t.stack_at, t.stack, STACK_BYTES);
    return say(&t, sizeof t);
}

static void on_stop(unsigned vcpu, void *udata)
{
    struct stop *stop = udata;
    if (!__atomic_load_n(&stop->on, __ATOMIC_RELAXED) ||
        __atomic_load_n(&owner, __ATOMIC_ACQUIRE) < 0)
        return;
    pthread_mutex_lock(&turn);
    /* While it waited another vCPU may have been the last that was wanted here. */
    if (owner >= 0 && stop->on && !(tell(stop, vcpu) && answer_until_told()))
        leave();
    pthread_mutex_unlock(&turn);
}

void stops_watch(struct qemu_plugin_insn *insn, uint64_t pc)
{
    struct stop wanted = {.address = pc}, *found;
    if (__atomic_load_n(&owner, __ATOMIC_ACQUIRE) < 0)
        return;
    found = bsearch(&wanted, stops, n_stops, sizeof *stops, by_address);
    if (found)
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_stop, CB_R_REGS, found);
}
