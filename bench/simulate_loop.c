/*
 * The reads of a simulation, one after the other: the same arithmetic and the same statistics as
 * timehands.simulate.arrays, as one writes them in C. bench_simulate.py compiles it with -O2.
 *
 * A read happens at start + k * length / reads. The TSC is an exact line of true time, the page
 * makes nanoseconds of it by a product of 96 bits, and where the last value counts the reading is
 * held to it. Reads of several vCPUs are taken in the order of (time, reading, vCPU): each has its
 * next one ready, and the least is found by looking at all of them.
 */
#include <stdint.h>
#include <string.h>

#define NS_PER_S 1000000000u
#define MAX_VCPUS 256

struct segment {
	uint64_t start_ns, length_ns, reads;
	uint64_t base, since_ns, hz;		/* the line of the guest's TSC */
	uint64_t tsc_timestamp, system_time;	/* its page */
	uint32_t mul;
	int32_t shift;
	uint32_t vcpu, keeps;
};

struct tally {
	uint64_t reads, warps, worst_warp_ns, stalls, worst_stall_ns;
	int64_t low_ns, high_ns;
	uint64_t first_due_ns, first_ns, last_due_ns, last_ns, held_due_ns;
};

struct across {
	uint64_t reads, warps, worst_warp_ns, last_ns, last_value_ns;
};

/* Where a vCPU is: the numbers of its present segment, and its next read. */
struct cursor {
	const struct segment *segment, *end;
	uint64_t k, ahead, rest;
	uint64_t t_ns, ns;
};

static inline void next_read(struct cursor *c)
{
	const struct segment *s = c->segment;
	uint64_t after_ns = c->k * s->length_ns / s->reads;
	uint64_t delta = c->ahead + (c->rest + after_ns * s->hz) / NS_PER_S;

	delta = s->shift < 0 ? delta >> -s->shift : delta << s->shift;
	c->t_ns = s->start_ns + after_ns;
	c->ns = s->system_time + (uint64_t)(((unsigned __int128)delta * s->mul) >> 32);
}

static void begin(struct cursor *c)
{
	const struct segment *s = c->segment;
	unsigned __int128 parts = (unsigned __int128)(s->start_ns - s->since_ns) * s->hz;

	c->k = 0;
	c->ahead = s->base + (uint64_t)(parts / NS_PER_S) - s->tsc_timestamp;
	c->rest = (uint64_t)(parts % NS_PER_S);
	next_read(c);
}

static inline void count(struct tally *t, uint64_t due_ns, uint64_t ns)
{
	int64_t offset_ns = (int64_t)(ns - due_ns);

	if (t->reads++ == 0) {
		t->first_due_ns = t->held_due_ns = due_ns;
		t->first_ns = ns;
		t->low_ns = t->high_ns = offset_ns;
	} else if (ns == t->last_ns) {
		t->stalls++;
		if (due_ns - t->held_due_ns > t->worst_stall_ns)
			t->worst_stall_ns = due_ns - t->held_due_ns;
	} else {
		t->held_due_ns = due_ns;
		if (ns < t->last_ns) {
			t->warps++;
			if (t->last_ns - ns > t->worst_warp_ns)
				t->worst_warp_ns = t->last_ns - ns;
		}
	}
	if (offset_ns < t->low_ns)
		t->low_ns = offset_ns;
	if (offset_ns > t->high_ns)
		t->high_ns = offset_ns;
	t->last_due_ns = due_ns;
	t->last_ns = ns;
}

static inline void accept(struct cursor *c, uint64_t paused_ns, struct tally *t, struct across *a)
{
	uint64_t ns = c->ns;

	if (c->segment->keeps) {
		if (ns < a->last_value_ns)
			ns = a->last_value_ns;
		a->last_value_ns = ns;
	}
	count(t, c->t_ns - paused_ns, ns);
	if (a->reads++ && ns < a->last_ns) {
		a->warps++;
		if (a->last_ns - ns > a->worst_warp_ns)
			a->worst_warp_ns = a->last_ns - ns;
	}
	a->last_ns = ns;
}

/* Whether the vCPU has another read. */
static inline int advance(struct cursor *c)
{
	if (++c->k < c->segment->reads)
		next_read(c);
	else if (++c->segment < c->end)
		begin(c);
	else
		return 0;
	return 1;
}

/* All reads of a window: its segments, those of one vCPU after those of another. */
void run_window(const struct segment *segments, uint64_t count_, uint64_t paused_ns,
		struct tally *tallies, struct across *across)
{
	struct cursor cursors[MAX_VCPUS];
	const struct segment *s = segments, *end = segments + count_;
	int n = 0;

	while (s < end) {
		struct cursor *c = &cursors[n++];

		c->segment = s;
		while (s < end && s->vcpu == c->segment->vcpu)
			s++;
		c->end = s;
		begin(c);
	}
	while (n > 1) {
		int least = 0;

		for (int i = 1; i < n; i++)
			if (cursors[i].t_ns < cursors[least].t_ns ||
			    (cursors[i].t_ns == cursors[least].t_ns &&
			     cursors[i].ns < cursors[least].ns))
				least = i;
		accept(&cursors[least], paused_ns, &tallies[cursors[least].segment->vcpu], across);
		if (!advance(&cursors[least])) {
			memmove(&cursors[least], &cursors[least + 1],
				(size_t)(n - least - 1) * sizeof(cursors[0]));
			n--;
		}
	}
	if (n == 1)
		do
			accept(&cursors[0], paused_ns, &tallies[cursors[0].segment->vcpu], across);
		while (advance(&cursors[0]));
}
