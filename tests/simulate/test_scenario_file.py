"""Scenario files: what they say is what is run, and whatever is wrong is refused with its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timehands.errors import ScenarioError
from timehands.simulate import events
from timehands.simulate.events import ClockAt, Ctrl, TscAt, Vmm
from timehands.simulate.policy import Policy
from timehands.simulate.scenario_file import (
    MAX_BYTES,
    load,
    parse,
    shipped_names,
    shipped_text,
    variants,
)

FULL = """
title = "all that there is"
duration = "100 s"
vcpus = 3
reads_per_second = 77
provider = "xen"
reader = "freebsd"
policy = "wall"
guest_khz = 2_400_000
kvm_base = "disciplined"

[[host]]
name = "a"
tsc_khz = 2_500_000
cpus = 3

[[host]]
name = "b"
tsc_khz = 3_000_000
skew_cycles = [0, -75]
drift = "-20 ppm"
tsc_scaling = false
tsc_start = 5
realtime_offset = "-3 s"

[load]
exits = { every = "50 us .. 200 us", length = "5 us .. 40 us" }
commit_percent = 10

[vmm]
clock = "realtime"
tsc_gap = "30 us"

[[event]]
at = "10 s"
what = "restore"
after = "5 s"
host = "b"
vmm = { clock_after = "5 ms", kvmclock_ctrl = "never", tsc = "keep" }

[[event]]
at = "20 s"
what = "pause"
for = "1 s"

[[event]]
at = "30 s"
what = "clock-step"
by = "-2 s"

[[event]]
at = "30 s"
what = "clock-slew"
host = "b"
rate = "500 ppm"
for = "3 s"

[[event]]
at = "40 s"
what = "tsc-write"
value = 7
vcpu = 2
by = "vmm"

[[event]]
at = "50 s"
what = "set-date"

[expect]
warps = 0
worst_jump = ">= 1 us"

[variant.other]
vcpus = 1
event = []
vmm = { clock = "keep" }
expect = { warps = 1 }
"""
S = 10**9


def changed(pattern: str, new: str) -> str:
    text, times = re.subn(pattern, new, FULL, count=1, flags=re.MULTILINE)
    assert times == 1
    return text


def test_everything_that_a_file_can_say() -> None:
    got = parse(FULL, source="x.toml")
    assert (got.name, got.vcpus, got.reads_per_s, got.provider) == ("x", 3, 77, "xen")
    assert (got.policy, got.khz, got.disciplined) == (Policy.WALL, 2_400_000, True)
    a, b = got.hosts
    assert (a.skew_cycles, a.tsc_scaling, a.drift_ppb) == ((0, 0, 0), True, 0)
    assert (b.skew_cycles, b.tsc_scaling, b.drift_ppb) == ((0, -75), False, -20_000)
    assert (b.tsc_start, b.realtime_offset_ns) == (5, -3 * S)
    assert got.load.exits is not None
    assert got.load.exits.length == (5000, 40_000)
    assert (got.load.migrations, got.load.commit_percent) == (None, 10)
    vmm = Vmm(
        clock=ClockAt.REALTIME, tsc_gap_ns=30_000, clock_after_ns=5_000_000,
        kvmclock_ctrl=Ctrl.NEVER, tsc=TscAt.KEEP,
    )  # fmt: skip
    assert got.events == (
        events.Restore(at_ns=10 * S, after_ns=5 * S, host=1, vmm=vmm),
        events.Pause(at_ns=20 * S, for_ns=S, vmm=Vmm(clock=ClockAt.REALTIME, tsc_gap_ns=30_000)),
        events.ClockStep(at_ns=30 * S, host=0, by_ns=-2 * S),
        events.ClockSlew(at_ns=30 * S, host=1, ppb=500_000, for_ns=3 * S),
        events.TscWrite(at_ns=40 * S, value=7, vcpu=2, by_guest=False),
        events.SetDate(at_ns=50 * S),
    )
    assert [str(one) for one in got.expect] == ["warps = 0", "worst_jump >= 1 us"]


def test_a_variant_changes_what_it_names() -> None:
    got = parse(FULL, source="x.toml", variant="other")
    assert (got.name, got.vcpus, got.events) == ("x:other", 1, ())
    assert [str(one) for one in got.expect] == ["warps = 1"]
    assert got.hosts == parse(FULL).hosts
    assert variants(FULL) == ["other"]


@pytest.mark.parametrize(
    ("pattern", "new", "message"),
    [
        ("^vcpus = 3", "vcpu = 3", "vcpu: there is no such key"),
        ("^vcpus = 3", "vcpus = 0", "vcpus is 0"),
        ("^vcpus = 3", "vcpus = 2.0", "vcpus: 2.0 is no whole number"),
        ("^vcpus = 3", "vcpus = true", "vcpus: True is no whole number"),
        ("^vcpus = 3", "vcpus = 1000000", "vcpus is 1,000,000"),
        ("^title = .*", "", "the file has no 'title'"),
        ("^title = .*", "title = 5", "title: 5 is no text"),
        ('^duration = "100 s"', 'duration = "100"', "duration: '100' is not a number with a unit"),
        ('^duration = "100 s"', "duration = 100", "duration: 100 has no unit"),
        ('^duration = "100 s"', "duration = 100.0", "duration: 100.0 has no unit"),
        ('^duration = "100 s"', 'duration = "-1 s"', "duration is -1 s"),
        ('^duration = "100 s"', 'duration = "45 s"', "event 6: at is 50 s"),
        ('^duration = "100 s"', 'duration = "99 d"', "exits and entries, which would take hours"),
        ("^reads_per_second = 77", "reads_per_second = 999_999_999", "clock reads, which would"),
        ("^reads_per_second = 77", "reads_per_second = 0", "reads_per_second is 0"),
        ('^provider = "xen"', 'provider = "vmware"', "no provider is called 'vmware'"),
        ('^reader = "freebsd"', 'reader = "plan9"', "no reader is called 'plan9'"),
        ('^policy = "wall"', 'policy = "mine"', "policy: 'mine' is not possible"),
        ("^kvm_base = .*", 'kvm_base = "tai"', "kvm_base: 'tai' is not possible"),
        ("^tsc_khz = 2_500_000", "tsc_khz = 0", "host a: tsc_khz is 0"),
        ("^tsc_khz = 2_500_000", "tsc_khz = 1_000_000_001", "host a: tsc_khz is 1,000,000,001"),
        ("^guest_khz = 2_400_000", "guest_khz = -1", "guest_khz is -1"),
        ("^cpus = 3", "cpus = 100_000_000_000", "cpus: 100,000,000,000 is not possible"),
        ("^cpus = 3", "cpus = 3\nskew_cycles = [1]", "cpus: skew_cycles says it already"),
        (r"^skew_cycles = .*", "skew_cycles = [0, 1.5]", "skew_cycles: this is no list of whole"),
        (r"^skew_cycles = .*", "skew_cycles = []", "host b: number of CPUs is 0"),
        ("^drift = .*", 'drift = "20 us"', "drift: '20 us' is not a number with a unit"),
        ("^drift = .*", 'drift = "50 %"', "host b: drift"),
        ('^name = "a"\n', 'name = "b"\n', "two hosts have one name"),
        (
            'every = "50 us .. 200 us"',
            'every = "200 us .. 50 us"',
            "every: .* begins above its end",
        ),
        ('every = "50 us .. 200 us"', 'every = "0 s"', "load: exits: every is 0 ns"),
        ('length = "5 us .. 40 us"', 'length = "-1 us"', "load: exits: length is -1 us"),
        ('length = "5 us .. 40 us"', 'size = "1 us"', r"\[load.exits\] has no 'length'"),
        ("^commit_percent = 10", "commit_percent = 101", "commit_percent is 101"),
        ('^clock = "realtime"', 'clock = "mono"', r"\[vmm\] clock: 'mono' is not possible"),
        ('^tsc_gap = "30 us"', 'tsc_gap = "-30 us"', "tsc_gap is -30 us"),
        ('^what = "pause"', 'what = "hop"', r"\[event 2\] what: 'hop' is not possible"),
        ('^for = "1 s"', 'for = "1 h"', "event 2: its end is"),
        ('^for = "1 s"', 'for = "-1 s"', "event 2: (its end|for)"),
        ('^for = "1 s"', "", r"\[event 2\] has no 'for'"),
        ('^at = "20 s"', 'at = "12 s"', "event 2 is at 12 s, when the guest is stopped"),
        ('^at = "20 s"', 'at = "9 s"', "event 2 is at 9 s, before the one above it"),
        ('^at = "10 s"', 'at = "0 s"', "event 1: at is 0 ns"),
        ('^after = "5 s"', 'after = "0 s"', "event 1: after is 0 ns"),
        ('^after = "5 s"\nhost = "b"', 'after = "5 s"\nhost = "c"', "no host is called 'c'"),
        ("^vcpu = 2", "vcpu = 3", "event 5: vcpu is 3"),
        ("^value = 7", "value = 18446744073709551616", "event 5: value is 18,446,744"),
        ('^by = "vmm"', 'by = "me"', "by: 'me' is not possible"),
        ("^warps = 0", "wraps = 0", "wraps: nothing is called 'wraps'"),
        ("^warps = 0", "warps = 0.5", "warps: 0.5 is no bound"),
        ("^worst_jump = .*", "worst_jump = 5", "worst_jump: 5 needs a unit"),
        (r"^\[load\]", "[lode]", "lode: there is no such key"),
        (r"^\[vmm\]", "[[vmm]]", r"vmm: .* is no table"),
        (r"^\[\[event\]\]", "[event.x]", "."),
        ("^vcpus = 3", "vcpus = 0x" + "f" * 9000, "vcpus: this number is too large"),
        ("^title = .*", "title = 0x" + "f" * 9000, "title: this is no text"),
        ("^title = .*", "title = [0x" + "f" * 9000 + "]", "title: this is no text"),
        (r"^skew_cycles = .*", "skew_cycles = [0x" + "f" * 9000 + "]", "number is too large"),
        ("^warps = 0", "warps = 0x" + "f" * 9000, "warps: this number is too large"),
        ("^vcpus = 3", "vcpus = " + "9" * 9000, "this is no TOML"),
        ("^vcpus = 3", "vcpus = 3\nvcpus = 4", "this is no TOML"),
        ("^vcpus = 3", "vcpus = ", "this is no TOML"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(pattern: str, new: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        parse(changed(pattern, new), source="my.toml")
    assert str(caught.value).startswith("my.toml: ")


def test_messages_say_what_is_possible() -> None:
    with pytest.raises(ScenarioError, match="Possible: 1 to 256"):
        parse(changed("^vcpus = 3", "vcpus = 0"))
    with pytest.raises(ScenarioError, match="Possible: host, vmm, title, duration, vcpus, "):
        parse(changed("^vcpus = 3", "vpus = 3").replace('title = "all that there is"', 'title="x"'))


def test_there_is_a_host_at_least() -> None:
    with pytest.raises(ScenarioError, match="there is no host"):
        parse('title = "x"\nduration = "1 s"')


def test_a_file_is_bounded(tmp_path: Path) -> None:
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ScenarioError, match="more than 1,048,576 bytes"):
        load(str(big))
    with pytest.raises(ScenarioError, match="cannot be read: Is a directory"):
        load(str(tmp_path))
    with pytest.raises(ScenarioError, match="cannot be read: No such file"):
        load(str(tmp_path / "none.toml"))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="not UTF-8"):
        load(str(binary))
    with pytest.raises(ScenarioError, match="no scenario is called 'nope'"):
        load("nope")


@pytest.mark.parametrize(
    "text",
    ["x = " + "[" * 5000, "x = " + "{a=" * 5000, "[" + "a." * 500_000, "a." * 500_000 + "a = 1"],
)
def test_nesting_is_bounded(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"nested too deeply|no TOML"):
        parse(text)


def test_a_file_of_one_s_own_is_run_with_its_variant(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FULL)
    assert load(str(path)).name == "mine"
    assert load(f"{path}:other").name == "mine:other"
    with pytest.raises(ScenarioError, match="it has no variant 'none'"):
        load(f"{path}:none")


_TEXTS = st.sampled_from([FULL, *map(shipped_text, shipped_names())])


@settings(max_examples=100)
@given(_TEXTS, st.data())
def test_damaged_files_are_scenarios_or_refused(text: str, data: st.DataObject) -> None:
    """Lines lost, doubled, moved; numbers and words replaced: never another error, never a hang."""
    lines = text.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        what = data.draw(st.sampled_from(("lose", "double", "number", "word", "any")))
        if what == "lose":
            lines[at] = ""
        elif what == "double":
            lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))])
        elif what == "number":
            new = data.draw(
                st.sampled_from(("0", "-1", "1e9", "99999999999999999999", "1.5", "[]"))
            )
            lines[at] = re.sub(r"\d[\d_]*", lambda _, new=new: new, lines[at], count=1)
        elif what == "word":
            lines[at] = re.sub(r'"[^"]*"', lambda _: data.draw(st.sampled_from(
                ('""', '"x"', '"-5 s"', '"1 d"', "7", "true", "{}", '"restore"')
            )), lines[at], count=1)  # fmt: skip
        else:
            lines[at] = data.draw(st.text(max_size=30))
    try:
        parse("\n".join(lines), source="x")
    except ScenarioError as error:
        assert str(error).startswith("x: ")


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError):
        parse(text)


def test_the_shipped_files_are_toml() -> None:
    for name in shipped_names():
        assert tomllib.loads(shipped_text(name))
