/* The log of the boot's times (options TSLOG). */
#include "freebsd.h"

#define TSLOGSIZE 262144

struct thread thread0_st = {"swapper"};
long nrecs;
struct timestamp {
    void *td;
    int type;
    const char *f;
    const char *s;
    uint64_t tsc;
} timestamps[TSLOGSIZE];

void tslog(void *td, int type, const char *f, const char *s)
{
    long pos = nrecs++;
    if (pos < TSLOGSIZE)
        timestamps[pos] = (struct timestamp){td, type, f, s, rdtsc()};
}
