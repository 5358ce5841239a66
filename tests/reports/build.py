"""Reports built by hand: a hang, a boot on refined-jiffies with its proof, a healthy one, and
one that is hostile in every string.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from timehands.clocks.cpuid.table import CpuidTable, Registers
from timehands.clocks.rate import Rate as CounterRate
from timehands.findings.model import (
    Evidence,
    Finding,
    Fix,
    FixKind,
    Proof,
    Severity,
    Trial,
    Verdict,
)
from timehands.machines.machine import Load, Machine
from timehands.machines.survey_values import AcpiPm, Hpet, Lapic, Pit, Rtc, StartInfo, Survey
from timehands.reports.model import Report
from timehands.story.model import (
    Boundary,
    Calibration,
    Clock,
    ClockRole,
    ClockState,
    Fact,
    LogSpan,
    Mark,
    Message,
    Outcome,
    OutcomeKind,
    Rate,
    Span,
    SpanKind,
    Step,
    Story,
    WallClock,
)
from timehands.watch.interventions import Did, Intervention, Stopped
from timehands.watch.recording import KernelIdentity, Watching

MS = 10**6
HOSTILE = "\x1b[31mred\x1b]0;title\x07 </script><img src=x onerror=alert(1)> \u202eabc\u2028 \x9b2J"

KERNEL = KernelIdentity(
    path="/boot/vmlinuz-6.1.0-56-cloud-amd64",
    sha256="7d" * 32,
    size=14_900_000,
    os="linux",
    version="6.1.0-56-cloud-amd64",
    format="bzImage (LZ4)",
    entry="PVH",
    symbols=151_023,
    symbol_source="kallsyms",
    types=("BTF",),
    orc=True,
    clock_functions=("tsc_init", "mark_tsc_unstable"),
)
WATCHING = Watching(
    instrument="QEMU plugin",
    events=1961,
    passed_over=40_212,
    callbacks=42_000,
    callback_ns=40 * MS,
    translation_ns=30 * MS,
    blocks=51_000,
    qemu_cpu_ns=1800 * MS,
)
TSC_KHZ = Fix(
    FixKind.KERNEL_ARGUMENT,
    "tsc_early_khz=2500000",
    "tells the kernel the rate that the survey measured",
)
TSC_FLAG = Fix(FixKind.CPU_FLAG, "+invtsc", "shows the kernel a TSC of constant rate")
ADVICE = Fix(FixKind.ADVICE, "offer leaf 0x15", "a monitor that gives the frequency ends this")


def boundaries(init_ns: int | None, ended_ns: int) -> tuple[Boundary, ...]:
    """All eight boundaries of a boot."""
    known = None if init_ns is None else 900 * MS
    return (
        Boundary(Mark.PROCESS_STARTED, 0, "QEMU was started"),
        Boundary(Mark.VM_READY, 84 * MS, "QMP answered"),
        Boundary(Mark.FIRST_INSTRUCTION, 91 * MS, "the first instruction", ("e1",)),
        Boundary(Mark.KERNEL_ENTRY, 260 * MS, "startup_64", ("e6",)),
        Boundary(Mark.CLOCK_KNOWN, known, "jiffies registered", ("e901",)),
        Boundary(Mark.TIMER_ARMED, known, "pit armed", ("e902",)),
        Boundary(Mark.INIT, init_ns, "run_init_process", ("e1900",)),
        Boundary(Mark.ENDED, ended_ns, "SHUTDOWN"),
    )


def spans() -> tuple[Span, ...]:
    """A boot of 2.18 s, three deep."""
    return (
        Span("QEMU starts", SpanKind.MACHINE, 0, 91 * MS),
        Span("firmware", SpanKind.FIRMWARE, 91 * MS, 260 * MS, 0, "qboot"),
        Span("start_kernel", SpanKind.KERNEL, 260 * MS, 1100 * MS, 0, "", ("e6",)),
        Span("tsc_early_init", SpanKind.CLOCK, 300 * MS, 352 * MS, 1),
        Span("quick_pit_calibrate", SpanKind.CALIBRATION, 301 * MS, 351 * MS, 2, "failed"),
        Span("tsc_init", SpanKind.CLOCK, 700 * MS, 840 * MS, 1),
        Span("pit_hpet_ptimer_calibrate_cpu", SpanKind.CALIBRATION, 701 * MS, 838 * MS, 2),
        Span("drivers", SpanKind.DEVICE, 1100 * MS, 2180 * MS, 0),
        Span("init", SpanKind.USER, 2180 * MS, 2200 * MS, 0),
    )


def finding_101() -> Finding:
    """TSC frequency unknown, with three fixes."""
    return Finding(
        "TH101",
        "TSC frequency unknown",
        Severity.ERROR,
        "the kernel found no leaf 0x15, and timed the TSC against the i8254 three times in "
        "pit_hpet_ptimer_calibrate_cpu(); each window saw a jump of more than ten times the "
        "shortest reading, because the emulator delivers port reads late",
        (
            Evidence("leaf 0x15 answers zeros", ("e12",)),
            Evidence("three windows were thrown away", tuple(f"e{i}" for i in range(412, 470))),
            Evidence("tsc: Unable to calibrate against PIT", ("c37",)),
        ),
        (TSC_KHZ, TSC_FLAG, ADVICE),
        158 * MS,
    )


def proof() -> Proof:
    """One fix that mends, one that does nothing, one that fails, and both together."""
    mended = Trial(
        (TSC_KHZ,),
        Verdict.MENDED,
        "init reached",
        "tsc",
        2_500_000_000,
        1930 * MS,
        171 * MS,
        ("TH101", "TH201"),
        recording="rec-1",
    )
    unchanged = replace(
        mended,
        fixes=(TSC_FLAG,),
        verdict=Verdict.UNCHANGED,
        selected="refined-jiffies",
        frequency_hz=250,
        gained_ns=-12 * MS,
        mended=(),
        left=("TH101", "TH201"),
    )
    failed = Trial(
        (Fix(FixKind.CPU_FLAG, "+nonsense", "none"),),
        Verdict.FAILED,
        "",
        None,
        None,
        None,
        None,
        error="QEMU ended before a guest ran\nno CPU flag nonsense",
    )
    return Proof((mended, unchanged, failed, replace(mended, fixes=(TSC_KHZ, TSC_FLAG))))


def jiffies_story() -> Story:
    """Linux falls back to refined-jiffies."""
    calibrations = tuple(
        Calibration(
            "tsc",
            "i8254",
            "pit_calibrate_tsc",
            (700 + 40 * i) * MS,
            (738 + 40 * i) * MS,
            None,
            "disturbed",
            (f"e{412 + i}",),
        )
        for i in range(3)
    )
    return Story(
        os="linux",
        outcome=Outcome(OutcomeKind.INIT_REACHED, "init was started", 2200 * MS, None, ("e1900",)),
        boundaries=boundaries(2180 * MS, 2200 * MS),
        clocks=(
            Clock(
                "tsc",
                ClockRole.SOURCE,
                ClockState.REJECTED,
                None,
                "no leaf 0x15, no leaf 0x40000010; 3 calibrations against the i8254 failed",
                None,
                (
                    Step(300 * MS, "probed", ("e12",)),
                    Step(840 * MS, "rejected: could not calculate TSC khz", ("e899",)),
                ),
                ("e899",),
            ),
            Clock("refined-jiffies", ClockRole.SOURCE, ClockState.SELECTED, 250, "timer ticks", 2),
            Clock("pit", ClockRole.EVENTS, ClockState.SELECTED, 1_193_182, "fixed rate", 110),
            Clock("rtc", ClockRole.WALL, ClockState.SELECTED, 1, "read once"),
        ),
        selected="refined-jiffies",
        selected_timer="pit",
        calibrations=calibrations,
        spans=spans(),
        rate=Rate(-1200, 350, 900 * MS, ("c40",)),
        wall=WallClock(-310 * MS, "the RTC", ("e1500",)),
        unknown=("the LAPIC's rate: nothing measured it",),
    )


def slow_clock() -> Finding:
    """TH201, with no cost known."""
    return Finding(
        "TH201",
        "slow fallback clock selected",
        Severity.WARNING,
        "refined-jiffies has rating 2; a TSC was offered",
        (Evidence("refined-jiffies is selected", ("e901",)),),
        (TSC_KHZ,),
    )


def machine_load() -> tuple[Machine, Load]:
    """A microvm and the sample kernel on it."""
    load = Load(Path(KERNEL.path), ("console=ttyS0", "nokaslr", "panic=-1"))
    return Machine(), load


def jiffies_report() -> Report:
    """The sample kernel under TCG, with its proof."""
    machine, load = machine_load()
    return Report(
        KERNEL,
        machine,
        load,
        jiffies_story(),
        (finding_101(), slow_clock()),
        WATCHING,
        "10.0.2",
        None,
        proof(),
        "/tmp/recording",
    )


def hang_report() -> Report:
    """Linux hangs in a wait loop for a PIT that is not there."""
    story = replace(
        jiffies_story(),
        outcome=Outcome(
            OutcomeKind.HUNG,
            "spins on port 0x61",
            30_000 * MS,
            "pit_calibrate_tsc+0x6c",
            ("e300",),
        ),
        boundaries=boundaries(None, 30_000 * MS),
        selected=None,
        selected_timer=None,
        spans=spans()[:4],
        rate=None,
        wall=None,
    )
    hang = Finding(
        "TH601",
        "waits for a clock that never moves",
        Severity.ERROR,
        "the loop in pit_calibrate_tsc() ends when port 0x61 shows bit 5",
        (Evidence("port 0x61 answered 0 each time", ("e299", "e300")),),
        (Fix(FixKind.DEVICE, "pit=on", "gives the machine the PIT"),),
    )
    return replace(jiffies_report(), story=story, findings=(hang,), proof=None, recording=None)


def healthy_report() -> Report:
    """Linux on a TSC whose rate it knew."""
    tsc = Clock("tsc", ClockRole.SOURCE, ClockState.SELECTED, 2_596_132_000, "leaf 0x15", 300)
    story = replace(
        jiffies_story(), clocks=(tsc,), selected="tsc", selected_timer=None, calibrations=()
    )
    return replace(jiffies_report(), story=replace(story, unknown=()), findings=(), proof=None)


def hostile_report() -> Report:
    """Every string hostile or very long, every optional value None or huge, 500 spans."""
    report = jiffies_report()
    many = tuple(
        Span(f"{HOSTILE}{i}" * 3, SpanKind.KERNEL, i * MS, (i + 5) * MS, i % 40, HOSTILE)
        for i in range(500)
    )
    clock = Clock(
        HOSTILE * 3,
        ClockRole.SOURCE,
        ClockState.SELECTED,
        10**30,
        "x" * 3000,
        -(10**12),
        (Step(None, HOSTILE, (HOSTILE,)),),
        (HOSTILE,),
    )
    story = replace(
        report.story,
        os=HOSTILE,
        outcome=Outcome(OutcomeKind.PANICKED, HOSTILE, 10**25, HOSTILE),
        boundaries=(Boundary(Mark.INIT, None, HOSTILE), Boundary(Mark.ENDED, 10**25, HOSTILE)),
        clocks=(clock, clock),
        selected=HOSTILE,
        selected_timer=HOSTILE,
        spans=many,
        rate=Rate(-(10**15), 10**15, 0),
        wall=WallClock(10**28, HOSTILE),
        unknown=(HOSTILE * 20,),
        calibrations=(
            Calibration(
                HOSTILE, HOSTILE, HOSTILE, -(10**20), 10**25, 10**30, HOSTILE, stops=("s",)
            ),
        ),
        delay=(Step(10**25, HOSTILE * 4, (HOSTILE,), (HOSTILE,) * 99),) * 20,
        facts=(Fact(HOSTILE, HOSTILE * 9, HOSTILE * 9), Fact("", -(10**40), "")) * 20,
        messages=(Message(HOSTILE * 9, HOSTILE, HOSTILE * 9, (HOSTILE,)),) * 20,
        tslog=hostile_log(),
    )
    finding = Finding(
        "TH999", HOSTILE, Severity.ERROR, HOSTILE * 9, (Evidence(HOSTILE, (HOSTILE,) * 99),)
    )
    kernel = replace(KERNEL, version=HOSTILE, format=HOSTILE, path="/" + "k" * 3000, types=())
    watching = Watching(instrument=HOSTILE, events=10**20)
    return replace(
        report,
        kernel=kernel,
        story=story,
        findings=(finding,) * 3,
        watching=watching,
        recording=HOSTILE * 4,
        stops=(hostile_stop(),) * 40,
        interventions=(Intervention(0, 10**25, Did.PATCH, HOSTILE * 20, 10**9),) * 40,
        started_ns=-(10**25),
    )


def hostile_log() -> tuple[LogSpan, ...]:
    """A boot log of nonsense: backwards, endless, deep, long ago."""
    threads = (f"{HOSTILE}{i}" for i in range(200))
    many = (LogSpan(t, HOSTILE * 9, -(10**20), 10**25, 10**6, HOSTILE * 9) for t in threads)
    return (*many, LogSpan("", "", 10**9, 5, -3), LogSpan("", "", 10**30, None, 0))


def hostile_stop() -> Stopped:
    """A stop with everything too long."""
    values = {f"{HOSTILE}{i}": HOSTILE * 30 for i in range(99)}
    return Stopped(10**9, 10**25, -5, 0, -1, HOSTILE * 9, HOSTILE * 9, values, (HOSTILE,) * 99)


def empty_report() -> Report:
    """A boot that gave nothing: the VM was lost at once."""
    outcome = Outcome(OutcomeKind.VM_LOST, "", 0)
    story = Story("unknown", outcome, (), (), None, None)
    watching = Watching(instrument="", events=0)
    bare = replace(KERNEL, symbols=0, symbol_source=None, types=(), orc=False, entry="")
    report = replace(jiffies_report(), kernel=bare, story=story, findings=(), watching=watching)
    return replace(report, proof=Proof(()), recording=None, qemu_version="")


REPORTS = {
    "hang": hang_report,
    "jiffies": jiffies_report,
    "healthy": healthy_report,
    "hostile": hostile_report,
    "empty": empty_report,
}


def survey() -> Survey:
    """A microvm under TCG: TSC, i8254 and RTC, nothing else."""
    registers = {
        (0, 0): Registers(1, 0x68747541, 0x444D4163, 0x69746E65),
        (1, 0): Registers(0xF61, 0, 1 << 31, 1 << 4),
    }
    return Survey(
        cpuid=CpuidTable(registers),
        msrs={0x10: 123, 0x6E0: None},
        ruler="host",
        tsc=CounterRate(2_500_000_100, 2_499_900_000, 2_500_100_000, 44, 200 * MS),
        pit=Pit(True, CounterRate(1_193_182, 1_193_100, 1_193_300, 44, 200 * MS), True, True),
        rtc=Rtc(True, True, 1024, "2026-11-21T08:00:00+00:00", 0),
        lapic=Lapic(False),
        hpet=Hpet(False),
        acpi_pm=AcpiPm(False),
        pic=True,
        i8042=False,
        start_info=StartInfo(1, 0, 0, 0, "pace=host", ((0, 0x9FC00, 1),)),
        duration_ns=380 * MS,
    )
