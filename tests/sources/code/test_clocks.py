from __future__ import annotations

from pathlib import Path

from code_trees import tree
from timehands.sources.code import ClockSource, Index
from timehands.sources.config.macros import ConfiguredMacros

OTHERS = {
    "sys/dev/hpet.c": """\
static int
hpet_attach(struct hpet_softc *sc)
{
	sc->tc.tc_get_timecount = hpet_get_timecount;
	sc->tc.tc_frequency = sc->freq;
	sc->tc.tc_name = "HPET";
	sc->tc.tc_quality = 950;
	tc_init(&sc->tc);
	sc->et.et_name = "HPET";
	sc->et.et_frequency = sc->freq; /* Hz */
	sc->et.et_quality = 550;
	et_register(&sc->et);
}
""",
    "kernel/time/jiffies.c": """\
static struct clocksource clocksource_jiffies = {
	.name = "jiffies",
	.rating = 1,
	.read = jiffies_read,
};
static struct clock_event_device lapic = { .name = "lapic", .rating = 100 };
int start(void)
{
	clockevents_config_and_register(&lapic, lapic_timer_period, 0xF, ~0UL);
	return __clocksource_register(&clocksource_jiffies);
}
int late(void)
{
	clocksource_register_khz(&clocksource_jiffies, tsc_khz);
}
""",
}


def found(tmp_path: Path) -> dict[tuple[str, str], ClockSource]:
    source = tree(tmp_path / "src", OTHERS)
    index = Index.open(source, cache=tmp_path / "cache", under="", arch="amd64", jobs=1)
    clocks = index.clocks()
    assert clocks == sorted(clocks, key=lambda c: (KINDS.index(c.kind), c.where))
    return {(clock.kind, clock.name): clock for clock in clocks}


KINDS = ["timecounter", "event timer", "clocksource", "clockevent"]


def test_clocks_of_structures_with_initialisers(tmp_path: Path) -> None:
    clocks = found(tmp_path)
    tsc = clocks["timecounter", "TSC"]
    assert (tsc.frequency, tsc.reader) == ("tsc_freq", "tsc_get_timecount")
    assert tsc.quality == "-100 or 3000"
    assert str(tsc.registered).startswith("sys/arch/amd64/amd64/tsc.c:")
    assert [str(one.where) for one in tsc.of("frequency")] == ["sys/arch/amd64/amd64/tsc.c:23"]
    i8254 = clocks["timecounter", "i8254"]
    assert (i8254.frequency, i8254.quality) == ("1193182", "100")


def test_clocks_of_structures_that_are_filled_in(tmp_path: Path) -> None:
    clocks = found(tmp_path)
    for kind, quality in (("timecounter", "950"), ("event timer", "550")):
        hpet = clocks[kind, "HPET"]
        assert (hpet.frequency, hpet.quality) == ("sc->freq", quality)


def test_clocks_of_linux(tmp_path: Path) -> None:
    clocks = found(tmp_path)
    jiffies = clocks["clocksource", "jiffies"]
    assert (jiffies.quality, jiffies.reader) == ("1", "jiffies_read")
    assert jiffies.frequency in ("", "tsc_khz kHz")
    lapic = clocks["clockevent", "lapic"]
    assert (lapic.quality, lapic.frequency) == ("100", "lapic_timer_period Hz")


SHAPES = {
    "sys/sys/numbers.h": "#define NANO 1000000000ULL /* of a second */\n#define STEP 100ULL\n"
    '#define\tTINY_HZ (NANO / STEP)\n#define TINY_QUALITY 975\n#define TINY_NAME "tiny"\n',
    "sys/kern/dummy.c": """\
static struct timecounter dummy_timecounter = {
	dummy_get, 0, ~0u, 1000000, "dummy", -1000000
};
struct timecounter *timecounter = &dummy_timecounter;
""",
    "sys/dev/shared.c": """\
void
shared_init(struct shared *sh, const char *name, int quality)
{
	sh->tc.tc_get_timecount = shared_get;
	sh->tc.tc_frequency = NANO;
	sh->tc.tc_name = name;
	sh->tc.tc_quality = quality;
	tc_init(&sh->tc);
}
""",
    "sys/dev/tiny.c": """\
#include <sys/numbers.h>
static void
tiny_attach(void)
{
	shared_init(&sc->sh, TINY_NAME,
		TINY_QUALITY);
}
""",
    "sys/dev/lapic.c": """\
#include <sys/numbers.h>
static struct eventtimer lapic_et;
static unsigned lapic_hz = 5;
static void
lapic_init(void)
{
	lapic_et.et_name = "LAPIC";
	lapic_et.et_quality = 600;
	if (!arat)
		lapic_et.et_quality -= 500; /* it stops in C3 */
	lapic_et.et_frequency = 0;
	lapic_et.et_start = lapic_start;
	et_register(&lapic_et);
}
static void
lapic_mode(struct eventtimer *et)
{
	uint64_t count;

	for (count = 0; count < 3; count++)
		;
	count = lapic_hz / TINY_HZ;
	et->et_frequency = count;
}
""",
    "sys/dev/several.c": """\
static struct timecounter several_timecounter = {
	.tc_get_timecount = several_get,
	.tc_name = "several",
	.tc_quality =
#ifndef MULTIPROCESSOR
		2100,
#else
		-100, /* one for each CPU */
#endif
	.tc_frequency = 7,
};
void
several_init(void)
{
#ifdef MULTIPROCESSOR
	several_timecounter.tc_quality = test(cpus);
#endif
	atomic_store_rel_64(&several_timecounter.tc_frequency, measured >> 1);
	tc_init(&several_timecounter);
}
#ifdef OLD
void older(void) { old_timecounter.tc_name = "old"; tc_init(&old_timecounter); }
#endif
""",
    "sys/dev/pit.c": """\
#ifdef CONFIG_PIT
static struct clocksource pit_cs = {
	.name = "pit",
	.rating = 110,
	.read = pit_read,
};
int pit_init(void) { return clocksource_register_hz(&pit_cs, PIT_RATE); }
#endif
""",
    "sys/sys/clocksource.h": """\
static inline int
clocksource_register_hz(struct clocksource *cs, unsigned hz)
{
	return __clocksource_register_scale(cs, 1, hz);
}
""",
}


class Build:
    """A configuration of our own: files that are left out, and macros."""

    def __init__(self, *out: str, **macros: str) -> None:
        self._out = out
        self.macros = ConfiguredMacros(macros, lambda _: False)

    def listed(self, file: str) -> bool | None:
        return None if file.endswith(".h") else file not in self._out

    def compiled(self, file: str) -> bool | None:
        return self.listed(file)

    def condition(self, file: str) -> str:
        return "tiny (conf/files:3)" if file.endswith("tiny.c") else ""

    def refusal(self, file: str) -> str:
        return f"nothing refuses {file}"


def shapes(folder: Path, build: Build | None = None) -> dict[tuple[str, str], ClockSource]:
    index = Index.open(tree(folder / "src", SHAPES), cache=folder / "cache", jobs=1)
    return {(clock.kind, clock.name): clock for clock in index.clocks(build)}


def test_a_clock_that_is_there_without_being_registered(tmp_path: Path) -> None:
    dummy = shapes(tmp_path)["timecounter", "dummy"]
    assert (dummy.frequency, dummy.quality, dummy.registered) == ("1000000", "-1000000", None)
    assert str(dummy.where) == "sys/kern/dummy.c:1"


def test_parameters_are_what_callers_hand_over(tmp_path: Path) -> None:
    tiny = shapes(tmp_path)["timecounter", "tiny"]
    assert tiny.quality == "975"
    (quality,) = tiny.of("quality")
    assert (quality.text, str(quality.where)) == ("TINY_QUALITY", "sys/dev/tiny.c:5")
    assert [str(one.where) for one in quality.origins] == ["sys/sys/numbers.h:4"]
    assert str(tiny.registered) == "sys/dev/shared.c:8"


def test_without_the_caller_there_is_no_such_clock(tmp_path: Path) -> None:
    tiny = shapes(tmp_path / "one", Build())["timecounter", "tiny"]
    assert tiny.refused is None
    assert tiny.of("name")[0].conditions == ("only with tiny (conf/files:3)",)
    without = shapes(tmp_path / "two", Build("sys/dev/tiny.c"))
    assert ("timecounter", "tiny") not in without
    assert "sys/dev/tiny.c is not compiled" in str(without["timecounter", "name"].refused)


def test_values_that_are_changed_and_given_through_other_names(tmp_path: Path) -> None:
    lapic = shapes(tmp_path)["event timer", "LAPIC"]
    assert lapic.quality == "600, -= 500"
    assert lapic.frequency == "count"
    origins = {one.name: one.text for value in lapic.of("frequency") for one in value.origins}
    assert origins == {"count": "lapic_hz / TINY_HZ", "lapic_hz": "5", "TINY_HZ": "(NANO / STEP)"}


def test_branches_of_an_initialiser_each_with_its_condition(tmp_path: Path) -> None:
    several = shapes(tmp_path)["timecounter", "several"]
    assert several.quality == "2100 or -100 or test(cpus)"
    assert [one.conditions for one in several.of("quality")] == [
        ("#ifndef MULTIPROCESSOR",),
        ("#else of #ifndef MULTIPROCESSOR",),
        ("#ifdef MULTIPROCESSOR",),
    ]
    assert several.frequency == "7 or measured >> 1"


def test_a_configuration_leaves_out_other_values(tmp_path: Path) -> None:
    single = shapes(tmp_path / "one", Build())
    assert single["timecounter", "several"].quality == "2100"
    assert shapes(tmp_path / "two", Build(MULTIPROCESSOR="1"))[
        "timecounter", "several"
    ].quality == "-100 or test(cpus)"  # fmt: skip


def test_a_registration_that_is_not_compiled(tmp_path: Path) -> None:
    clocks = shapes(tmp_path / "one")
    assert clocks["timecounter", "old"].conditions == ("#ifdef OLD",)
    without = [one for one in shapes(tmp_path / "two", Build()).values() if one.refused]
    assert [str(one.refused) for one in without] == [
        "sys/dev/several.c:21: #ifdef OLD does not hold",
        "sys/dev/pit.c:1: #ifdef CONFIG_PIT does not hold",
    ]


def test_a_clock_that_is_not_compiled_keeps_its_name(tmp_path: Path) -> None:
    pit = shapes(tmp_path, Build())["clocksource", "pit"]
    assert (pit.quality, pit.frequency) == ("110", "PIT_RATE Hz")


def test_who_registers_for_others_has_no_clock(tmp_path: Path) -> None:
    assert [clock.name for clock in shapes(tmp_path).values() if clock.kind == "clocksource"] == [
        "pit"
    ]
