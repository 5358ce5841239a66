"""Scenarios as files: TOML that people read and write; and those that the library ships.

A file is the fields of `timehands.simulate.scenario.Scenario`::

    title = "..."                  # what it shows, one line
    duration = "20 s"              # times are strings with a unit: ns us ms s min h d
    vcpus = 2
    reads_per_second = 1000        # of each vCPU, while it runs
    provider = "kvm"
    reader = "linux"
    policy = "monotonic"           # or "wall"
    guest_khz = 2_500_000          # what the guest believes; default: the first host's
    kvm_base = "raw"               # or "disciplined": KVM before Linux 5.6

    [[host]]
    name = "a"
    tsc_khz = 2_500_000
    cpus = 4                       # or skew_cycles = [0, 75_000, ...], one for each CPU
    drift = "20 ppm"               # how much faster than that its TSC really is
    tsc_scaling = true
    tsc_start = 7_000_000_000
    realtime_offset = "0 s"

    [load]                         # runs of "every", then away for "length"
    exits = { every = "50 us .. 200 us", length = "5 us .. 40 us" }
    descheduled = { every = "10 ms .. 50 ms", length = "1 ms .. 5 ms" }
    migrations = { every = "20 ms .. 200 ms", length = "10 us .. 50 us" }
    commit_percent = 100

    [vmm]                          # what a VMM does after each stop; an event may say otherwise
    clock = "set"                  # keep, set, realtime    (default: what the policy asks for)
    clock_after = "5 ms"           # KVM_SET_CLOCK comes so long after the vCPUs run
    kvmclock_ctrl = "before-resume"  # after-pause, never
    tsc = "restore"                # keep, restore, advance (default: the policy's; keep in a pause)
    tsc_gap = "30 us"              # between the writes of one vCPU's TSC and the next one's
    tsc_sync = true                # then all get the offset of the first
    tsc_khz = true                 # KVM_SET_TSC_KHZ on another host
    deadline_in = "10 ms"          # a TSC deadline timer of the guest, so far ahead
    deadline_before_tsc = false
    deadline_lost = false
    mend_lost_deadline = false

    [[event]]
    at = "10 s"
    what = "restore"               # after = "75 h", host = "b", [event.vmm]
    #      "pause"                 # for = "3 s"
    #      "clock-step"            # host = "a", by = "-2 s"
    #      "clock-slew"            # host = "a", rate = "500 ppm", for = "10 s"
    #      "tsc-write"             # value = 0, vcpu = 1 (default: all), by = "guest" or "vmm"
    #      "set-date"              # gap = "4 ms": date and clock are read so long after each other

    [expect]                       # `timehands.simulate.expectations.FIGURES`
    warps = 0
    worst_jump = "<= 1 us"

    [variant.cured]                # the same, but for these; tables are merged, expect is replaced
    vmm = { kvmclock_ctrl = "before-resume" }
    expect = { lockups = 0 }

Anything else is refused: an unknown key, a wrong type, an impossible time.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from timehands.errors import ScenarioError
from timehands.simulate.scenario import Scenario
from timehands.simulate.scenario_parts import Table, read_scenario

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def load(where: str) -> Scenario:
    """A scenario by a shipped name or a file, ``:VARIANT`` behind it if wanted.

    Raises `ScenarioError`.
    """
    name, _, variant = where.rpartition(":") if ":" in where else (where, "", "")
    if name in shipped_names():
        return shipped(where)
    path = Path(where)
    if not path.exists() and name and Path(name).exists():
        return parse(_text(Path(name)), source=name, variant=variant)
    if _NAME.fullmatch(where.partition(":")[0]) and not path.exists():
        raise ScenarioError(
            f"no scenario is called {where.partition(':')[0]!r}, and no file is",
            possible=f"a file, or {', '.join(shipped_names())}",
        )
    return parse(_text(path), source=where)


def shipped_names() -> list[str]:
    """The scenarios that come with the library, in alphabetical order."""
    return sorted(f.name.removesuffix(".toml") for f in _shipped() if f.name.endswith(".toml"))


def shipped(where: str) -> Scenario:
    """A shipped scenario: ``NAME`` or ``NAME:VARIANT``. Raises `ScenarioError`."""
    name, _, variant = where.partition(":")
    if name not in shipped_names():
        raise ScenarioError(
            f"no scenario is called {name!r}", possible=", ".join(shipped_names()), key="scenario"
        )
    return parse(shipped_text(name), source=name, variant=variant)


def shipped_text(name: str) -> str:
    """The file of a shipped scenario, with the story at its top."""
    return (resources.files("timehands.simulate") / "scenarios" / f"{name}.toml").read_text("utf-8")


def variants(text: str, *, source: str = "") -> list[str]:
    """The names of a file's variants, in its order."""
    return list(_table(_toml(text, source), source).table("variant").names)


def parse(text: str, *, source: str = "", variant: str = "") -> Scenario:
    """A scenario from a file's text. Raises `ScenarioError`, which names file, table and key."""
    data = _toml(text, source)
    others = _table(data, source).table("variant")
    if variant and variant not in others.names:
        known = ", ".join(others.names) or "none: it has no variants"
        raise ScenarioError(f"it has no variant {variant!r}", possible=known, source=source)
    changes = others.table(variant).raw if variant else {}
    name = f"{Path(source).name.removesuffix('.toml')}{f':{variant}' if variant else ''}"
    merged = {key: value for key, value in data.items() if key != "variant"}
    return read_scenario(_table(_merged(merged, changes), source), name)


def _merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A variant's file: what people expect is replaced, other tables are changed key by key."""
    result = dict(data)
    for key, value in changes.items():
        below = result.get(key)
        both = isinstance(value, dict) and isinstance(below, dict) and key != "expect"
        result[key] = {**below, **value} if both and below is not None else value
    return result


def _table(data: dict[str, Any], source: str) -> Table:
    return Table(data, "", source)


def _toml(text: str, source: str) -> dict[str, Any]:
    """The file as tables. Nesting is bounded: tomllib recurses, and takes its time with dots."""
    if _depth(text) > MAX_DEPTH or any(_dots(line) > MAX_DEPTH for line in text.splitlines()):
        raise ScenarioError("it is nested too deeply", source=source)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ScenarioError(f"this is no TOML: {why}", source=source) from error


def _depth(text: str) -> int:
    """How many brackets are open at most (also those in strings: a bound, not a count)."""
    depth = most = 0
    for character in text:
        if character in "[{":
            depth += 1
            most = max(most, depth)
        elif character in "]}":
            depth = max(0, depth - 1)
    return most


def _dots(line: str) -> int:
    """The dots of a line's longest key, or of a number's neighbours: a bound, not a count."""
    parts = _STRING.sub("", line.partition("#")[0]).split("=")
    return max(part.count(".") for part in parts)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioError(
            f"cannot be read: {error.strerror}", possible="a file", source=str(path)
        ) from error
    if len(data) > MAX_BYTES:
        raise ScenarioError(f"it has more than {MAX_BYTES:,} bytes", source=str(path))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError("this is no TOML: it is not UTF-8", source=str(path)) from error


def _shipped() -> list[Any]:
    return list((resources.files("timehands.simulate") / "scenarios").iterdir())
