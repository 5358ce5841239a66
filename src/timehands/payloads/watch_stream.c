/* The stream of records: a buffer that a thread of its own writes to the pipe.
 *
 * A full pipe stops the guest rather than lose a record: the reader is told the truth, late.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "watch.h"

enum { CAPACITY = 2048 }; /* records: 128 KiB */
enum { BATCH_NS = 2000000 };

static struct record buffer[CAPACITY];
static size_t filled;
static uint64_t total;
static int out_fd = -1;
static bool closing;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_t writer;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void write_all(const struct record *from, size_t count)
{
    const char *p = (const char *)from;
    size_t left = count * sizeof *from;
    while (left && out_fd >= 0) {
        ssize_t n = write(out_fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* the reader has gone: so do we */
            out_fd = -1;
            _exit(1);
        }
        p += n;
        left -= (size_t)n;
    }
}

static void flush_locked(void)
{
    write_all(buffer, filled);
    filled = 0;
}

/* Waits for a first record, gives others 2 ms to join it, writes them. */
static void *write_batches(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    while (!closing) {
        while (!filled && !closing)
            pthread_cond_wait(&wake, &lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += BATCH_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        while (!closing && pthread_cond_timedwait(&wake, &lock, &until) != ETIMEDOUT)
            ;
        flush_locked();
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

void stream_open(int fd)
{
    out_fd = fd;
    pthread_create(&writer, NULL, write_batches, NULL);
}

void stream_emit(const struct record *records, size_t count)
{
    pthread_mutex_lock(&lock);
    if (filled + count > CAPACITY)
        flush_locked();
    if (!filled)
        pthread_cond_signal(&wake);
    memcpy(buffer + filled, records, count * sizeof *records);
    filled += count;
    total += count;
    pthread_mutex_unlock(&lock);
}

void stream_close(void)
{
    pthread_mutex_lock(&lock);
    closing = true;
    pthread_cond_signal(&wake);
    flush_locked();
    pthread_mutex_unlock(&lock);
    pthread_join(writer, NULL);
    if (out_fd >= 0)
        close(out_fd);
    out_fd = -1;
}

uint64_t stream_records(void)
{
    return total;
}
