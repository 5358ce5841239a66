from __future__ import annotations

from pathlib import Path

from code_trees import tree
from timehands.sources.code import ClockSource, Index

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
    assert tsc.quality == "-100", "of branches in an expression the first is read"
    assert str(tsc.registered).startswith("sys/arch/amd64/amd64/tsc.c:")
    assert [text for _, text in tsc.sets] == ["tc_frequency = tsc_freq"]
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
