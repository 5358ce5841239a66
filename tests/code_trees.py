"""A small kernel's source of our own, for tests of the index of C."""

from __future__ import annotations

from pathlib import Path

from timehands.sources.tree import SourceTree

FILES = {
    "sys/sys/param.h": "#define\t__NetBSD_Version__\t1099001200\n",
    "sys/sys/timetc.h": """\
#ifndef _TIMETC_H_
#define _TIMETC_H_
typedef unsigned timecounter_get_t(struct timecounter *);
struct timecounter {
	timecounter_get_t	*tc_get_timecount;
	void			(*tc_poll)(struct timecounter *);
	unsigned		tc_counter_mask;
	unsigned long		tc_frequency;
	const char		*tc_name;
	int			tc_quality;
};
extern unsigned long tsc_freq;
void tc_init(struct timecounter *);
#define	DELAY(n)	(*delay_func)(n)
#define	delay(n)	DELAY(n)
#endif
""",
    "sys/kern/init_main.c": """\
/* main(): not a call of tsc_freq */
#include <sys/timetc.h>
static void configure(void);
void
main(void)
{
	const char *s = "tsc_freq = 1";
	configure();
	mi_startup();
}

static void
configure(void)
{
	cpu_initclocks();
	DELAY(10);
}

void
mi_startup(void)
{
	struct sysinit *sip;

	TAILQ_FOREACH(sip, &sysinits, link) {
		(*sip->func)(sip->udata);
	}
}
""",
    "sys/kern/kern_tc.c": """\
static struct timecounter *timecounter;
int tc_count __read_mostly = 0;

void
tc_init(struct timecounter *tc)
{
	tc_count++;
	(void)tc->tc_get_timecount(tc);
	timecounter = tc;
#if 0
	tc_count = tsc_freq;
#endif
}
""",
    "sys/arch/amd64/amd64/tsc.c": """\
unsigned long tsc_freq;
static unsigned tsc_get_timecount(struct timecounter *);
static struct timecounter tsc_timecounter = {
	.tc_get_timecount = tsc_get_timecount,
	.tc_name = "TSC",
	.tc_quality =
#ifdef MULTIPROCESSOR
		-100,
#else
		3000,
#endif
};
static struct timecounter i8254_timecounter = {
	i8254_get_timecount, 0, ~0u, 1193182, "i8254", 100
};

void
cpu_initclocks(void)
{
	get_freq(&tsc_freq);
	tsc_freq = 1000;
	tsc_freq += 5, ++tsc_freq;
	tsc_timecounter.tc_frequency = tsc_freq;
	tc_init(&tsc_timecounter);
	tc_init(&i8254_timecounter);
	delay_func = tsc_delay;
}

static unsigned
tsc_get_timecount(tc)
	struct timecounter *tc;
{
	return rdtsc();
}

unsigned
i8254_get_timecount(struct timecounter *tc)
{
	unsigned long tsc_freq = 3;

	tsc_freq = 4;
	return tsc_freq;
}

void
tsc_delay(int n)
{
	sc->tsc_freq = counts[tsc_freq];
	counts[n] = 1;
	table.row[n].cell = 2;
}

static void
late(void *arg)
{
	lateness();
}
SYSINIT(late, SI_SUB_LAST, SI_ORDER_ANY, late, NULL);
""",
    "sys/arch/sparc/clock.c": "int tsc_freq = 7;\n",
}


def tree(root: Path, files: dict[str, str] | None = None) -> SourceTree:
    """Write the files, and open them as a tree."""
    for name, text in (FILES if files is None else FILES | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SourceTree.open(root)
