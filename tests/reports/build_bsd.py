"""Reports of BSD boots built by hand: FreeBSD that we stopped and steered, NetBSD beside it."""

from __future__ import annotations

from dataclasses import replace

from reports.build import MS, REPORTS, boundaries, jiffies_report, spans
from timehands.findings.model import Evidence, Finding, Fix, FixKind, Severity
from timehands.reports.model import Report
from timehands.story.model import (
    Calibration,
    Clock,
    ClockRole,
    ClockState,
    Fact,
    LogSpan,
    Message,
    Outcome,
    OutcomeKind,
    Step,
    Story,
)
from timehands.watch.interventions import Did, Intervention, Stopped

STARTED = 7_000 * MS
MAIN = ("startrtclock", "cpu_configure", "configure", "main")
FREEBSD_MAIN = ("attimer_attach", "device_attach", "bus_generic_attach", "mi_startup", "btext")


def freebsd_clocks() -> tuple[Clock, ...]:
    """The timecounters and event timers of a MICROVM kernel, in the order of registration."""
    source, events = ClockRole.SOURCE, ClockRole.EVENTS
    return (
        Clock(
            "i8254",
            source,
            ClockState.REGISTERED,
            1_193_182,
            "fixed rate",
            0,
            (Step(610 * MS, "registered; the kernel switched to it", ("e40",), FREEBSD_MAIN),),
        ),
        Clock(
            "TSC-low",
            source,
            ClockState.SELECTED,
            1_249_999_028,
            "calibrated against i8254, counted in steps of 2",
            800,
            (
                Step(300 * MS, "leaf 0x40000010 is not there: the last is 0x40000001", ("e12",)),
                Step(302 * MS, "leaf 0x15 answers zeros", ("e13",)),
                Step(
                    820 * MS,
                    "registered; the kernel switched to it",
                    ("e90",),
                    ("tsc_calibrate", "cpu_initclocks", "initclocks", "mi_startup", "btext"),
                ),
            ),
        ),
        Clock("LAPIC", events, ClockState.SELECTED, 500_000_964, "calibrated against TSC-low", 100),
        Clock("i8254", events, ClockState.REGISTERED, 1_193_182, "fixed rate", 100),
    )


def freebsd_calibrations() -> tuple[Calibration, ...]:
    """Three measurements; a stop fell into the first."""
    return (
        Calibration(
            "tsc", "i8254", "tsc_freq_tc", 310 * MS, 411 * MS, 2_537_368_650, stops=("s1",)
        ),
        Calibration("tsc", "i8254", "clockcalib", 740 * MS, 811 * MS, 2_499_998_056),
        Calibration("lapic", "TSC-low", "clockcalib", 830 * MS, 833 * MS, 500_000_964),
    )


def freebsd_log() -> tuple[LogSpan, ...]:
    """What the kernel's own boot log says: two threads, one stretch that did not end."""
    return (
        LogSpan("0xffffffff81000000", "mi_startup", 0, None, 0),
        LogSpan("0xffffffff81000000", "hammer_time", 0, 90 * MS, 1),
        LogSpan("0xffffffff81000000", "DELAY", 5 * MS, 85 * MS, 2, "100000"),
        LogSpan("0xffffffff81000000", "clockcalib", 240 * MS, 310 * MS, 1, "TSC"),
        LogSpan("0xffffffff81000000", "DEVICE_ATTACH", 110 * MS, 180 * MS, 1, "uart0"),
        LogSpan("0xfffff80003000000", "g_up <&'\">", 200 * MS, 220 * MS, 0),
    )


def freebsd_story() -> Story:
    """FreeBSD with an i8254 to calibrate against, from leaf to mountroot."""
    return Story(
        os="freebsd",
        outcome=Outcome(OutcomeKind.INIT_REACHED, "mountroot> asks for a root", 1300 * MS),
        boundaries=boundaries(1290 * MS, 1300 * MS),
        clocks=freebsd_clocks(),
        selected="TSC-low",
        selected_timer="LAPIC",
        calibrations=freebsd_calibrations(),
        spans=spans(),
        unknown=(),
        delay=(
            Step(None, "xen_delay (init_ops.early_delay)", ("e8",)),
            Step(310 * MS, "i8254_delay (init_ops.early_delay, as we patched it)", ("e20",)),
            Step(820 * MS, "the timecounter TSC-low (delay_tc)", ("e91",)),
        ),
        facts=(
            Fact("timecounter->tc_name", "TSC-low", "time is read from"),
            Fact("tsc_freq", 2_499_998_056, "Hz"),
            Fact("vm_guest", 1, "a hypervisor that it does not know"),
            Fact("HYPERVISOR_shared_info", None, "not there off Xen"),
        ),
        messages=(
            Message(
                "Statistical TSC calibration took 71 us and 58 data points",
                "clockcalib()",
                "the TSC was timed against the timecounter of the moment",
                ("c12",),
            ),
        ),
        tslog=freebsd_log(),
    )


def stops() -> tuple[Stopped, ...]:
    """Three stops: one inside a calibration, one with values, one that did not go on."""
    tc = {"tc->tc_name": "i8254", "tc->tc_frequency": "1193182"}
    return (
        Stopped(0, STARTED + 280 * MS, STARTED + 281 * MS, 0, 0xFFFFFFFF80966240, "hammer_time"),
        Stopped(
            1, STARTED + 350 * MS, STARTED + 362 * MS, 0, 0xFFFFFFFF80966300, "rdtsc", "DELAY+0x40"
        ),
        Stopped(
            2,
            STARTED + 610 * MS,
            STARTED + 615 * MS,
            0,
            0xFFFFFFFF80970000,
            "tc_init",
            "tc_init",
            tc,
            FREEBSD_MAIN,
        ),
        Stopped(3, STARTED + 900 * MS, None, 0, 0xFFFFFFFF80971000, "write of tsc_freq", "tc_init"),
    )


def interventions() -> tuple[Intervention, ...]:
    """A patch of the file, and a variable set at a stop."""
    patch = "xen_pvh_init_ops+16 = &i8254_delay (was &xen_delay)"
    return (
        Intervention(0, 0, Did.PATCH, patch),
        Intervention(1, STARTED + 900 * MS, Did.VARIABLE, "tsc_freq = 1 (was 0)", 3),
    )


def freebsd_report() -> Report:
    """FreeBSD under TCG, stopped and steered."""
    report = jiffies_report()
    kernel = replace(
        report.kernel,
        os="freebsd",
        version="14.2-BETA1",
        format="ELF",
        symbol_source="symtab",
        types=("DWARF",),
        orc=False,
        path="/boot/kernel",
    )
    return replace(
        report,
        kernel=kernel,
        story=freebsd_story(),
        findings=(),
        proof=None,
        recording="/tmp/freebsd",
        started_ns=STARTED,
        stops=stops(),
        interventions=interventions(),
    )


def netbsd_clocks() -> tuple[Clock, ...]:
    """The four tc_init calls of a MICROVM kernel."""
    source = ClockRole.SOURCE
    registered = "registered"
    return (
        Clock(
            "i8254",
            source,
            ClockState.REGISTERED,
            1_193_182,
            "fixed rate",
            100,
            (
                Step(120 * MS, registered, ("e9",), MAIN),
                Step(121 * MS, "selected instead of dummy", ("e10",)),
            ),
        ),
        Clock(
            "lapic",
            source,
            ClockState.REGISTERED,
            1_000_013_000,
            "calibrated against i8254",
            -100,
            (Step(300 * MS, registered, (), ("lapic_initclock", "initclocks", "configure2")),),
        ),
        Clock(
            "clockinterrupt",
            source,
            ClockState.REGISTERED,
            100,
            "timer ticks",
            0,
            (Step(301 * MS, registered, (), ("initclocks", "configure2", "main")),),
        ),
        Clock(
            "TSC",
            source,
            ClockState.SELECTED,
            2_496_700_000,
            "calibrated against lapic",
            3000,
            (
                Step(
                    320 * MS,
                    f"{registered}; the kernel switched to it",
                    (),
                    ("tsc_tc_init", "cpu_boot_secondary_processors", "configure2", "main"),
                ),
            ),
        ),
        Clock("lapic", ClockRole.EVENTS, ClockState.SELECTED, 1_000_013_000, "calibrated"),
    )


def netbsd_report() -> Report:
    """NetBSD on the same machine, with a finding of its own."""
    story = replace(
        freebsd_story(),
        os="netbsd",
        clocks=netbsd_clocks(),
        selected="TSC",
        selected_timer="lapic",
        calibrations=(
            Calibration("lapic", "i8254", "lapic_calibrate_timer", 200 * MS, 300 * MS, 10**9),
            Calibration("tsc", "lapic", "cpu_get_tsc_freq", 301 * MS, 320 * MS, 2_496_700_000),
        ),
        delay=(Step(None, "i8254_delay", ()), Step(300 * MS, "lapic_delay", ())),
        facts=(Fact("tsc_freq", 2_496_700_000, "Hz"),),
        messages=(),
        tslog=(),
    )
    finding = Finding(
        "TH102",
        "TSC frequency off by 1,300 ppm",
        Severity.WARNING,
        "it was timed against the LAPIC, which was timed against the i8254",
        (Evidence("TSC freq from delay 2496700000 Hz", ("c20",)),),
        (Fix(FixKind.ADVICE, "publish the frequency", "leaf 0x40000010"),),
    )
    report = freebsd_report()
    return replace(
        report,
        kernel=replace(report.kernel, os="netbsd", version="10.99.12", path="/netbsd"),
        story=story,
        findings=(finding,),
        recording="/tmp/netbsd",
        stops=(),
        interventions=(),
    )


ALL_REPORTS = {**REPORTS, "freebsd": freebsd_report, "netbsd": netbsd_report}
