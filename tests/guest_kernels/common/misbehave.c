/*
 * Bad ends that a test asks for by words: hang=loop, fault=page, fault=general. (hang=i8254_delay,
 * assert=1 and list=... are each kernel's own.)
 */
#include "guest.h"

/* An argument that the compiler leaves out: nobody uses it. */
static __attribute__((noinline)) int drop_argument(int kept, const char *dropped)
{
    (void)dropped;
    __asm__ volatile("" : "+r"(kept));
    return kept + 1;
}

static __attribute__((noinline)) void loop_forever(volatile int *until)
{
    while (!*until)
        ;
}

static __attribute__((noinline)) int read_from(const volatile int *address)
{
    return *address;
}

void misbehave(void)
{
    static volatile int never;
    static volatile int *volatile where = &never; /* nothing for the compiler to specialise on */
    const char *fault = word_value("fault");
    int sum = drop_argument(never, command_line) + drop_argument(never + 1, "nothing");
    if (fault && !strcmp(fault, "page"))
        sum += read_from((const int *)(0x1000 + (uint64_t)*where));
    if (fault && !strcmp(fault, "general"))
        sum += read_from((const int *)(0xdeadc0dedeadc0de + (uint64_t)*where));
    if (word_is("hang", "loop"))
        loop_forever(where);
    never = sum - sum;
}
