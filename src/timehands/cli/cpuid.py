"""``timehands cpuid``: what CPUID says about clocks, of this host, of a machine, or of a dump.

``--json`` prints one object: ``schema`` (1), ``source`` (``host``, ``machine`` or ``file``),
``facts`` (`timehands.clocks.cpuid.decode.CpuidFacts`), ``leaves`` (each ``leaf``, ``registers`` or
null, ``believed``, ``text``), and for a machine ``machine`` and ``survey`` (what it offers, with
measured rates).
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.clocks.cpuid.decode import CpuidFacts
    from timehands.clocks.cpuid.describe import Note
    from timehands.clocks.cpuid.table import CpuidTable
    from timehands.clocks.rate import Rate
    from timehands.machines.machine import Machine
    from timehands.machines.survey_values import Survey

JSON_SCHEMA = 1
WIDTH = 100
_LABEL = 13
_RULERS = {"host": "the host's clock", "pit": "the PIT (this machine's time is not the host's)"}


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose CPUID it is. ``tables`` by CPU; ``machine`` and ``survey`` when it is a machine's."""

    source: str
    title: str
    tables: dict[int, CpuidTable]
    machine: Machine | None = None
    survey: Survey | None = None

    @property
    def table(self) -> CpuidTable:
        """The table of the first CPU."""
        return next(iter(self.tables.values()))


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    from timehands.cli.machine_options import add_machine_options

    parser = subparsers.add_parser(
        "cpuid",
        help="say what CPUID tells about clocks: of this host, of a machine, of a dump",
        description="Says what CPUID tells about clocks: of this host, or of a dump in the format "
        "of cpuid -r, or (when an option of a machine is given) of a guest on that machine, with "
        "the measured rates of its clocks. A leaf that must not be believed is shown with the "
        "reason.",
    )
    parser.add_argument("file", nargs="?", help="a dump in the format of cpuid -r; - is stdin")
    parser.add_argument("--host", action="store_true", help="this host (the default)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--raw", action="store_true", help="print the dump, as cpuid -r does")
    form.add_argument("--json", action="store_true", help="print it as JSON")
    add_machine_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the CPUID that was asked for."""
    subject = _subject(args)
    if args.raw:
        from timehands.clocks.cpuid.dump import format_dump, format_table

        one = len(subject.tables) == 1
        sys.stdout.write(format_table(subject.table) if one else format_dump(subject.tables))
    elif args.json:
        print(json.dumps(as_json(subject), indent=2, ensure_ascii=False))
    else:
        print("\n".join(page(subject)))
    return 0


def _subject(args: argparse.Namespace) -> Subject:
    from timehands.cli.machine_options import machine_options_given

    wanted = {
        "--host": args.host,
        "a file": args.file,
        "a machine": machine_options_given(args),
    }
    asked = [what for what, given in wanted.items() if given]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} cannot be had at once", advice="Give one of them.")
    if args.file:
        return file_subject(args.file)
    return machine_subject(args) if "a machine" in asked else host_subject()


def host_subject() -> Subject:
    """The CPUID of this host. Raises `HostError`."""
    from timehands.clocks.cpuid.host import host_table

    return Subject("host", "this host", {0: host_table()})


def file_subject(name: str) -> Subject:
    """The CPUID of a dump. Raises `UsageError` when it cannot be read, `CpuidDumpDamaged`."""
    from timehands.clocks.cpuid.dump import MAX_BYTES, parse_dump

    try:
        if name == "-":
            text = sys.stdin.read(MAX_BYTES + 1)
        else:
            with Path(name).open(encoding="utf-8", errors="replace") as file:
                text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    tables = parse_dump(text)
    more = f" (the first of {len(tables)} CPUs)" if len(tables) > 1 else ""
    return Subject("file", f"the dump {name}{more}", tables)


def machine_subject(args: argparse.Namespace) -> Subject:
    """The CPUID of a machine, by a survey of it. Raises `HostError`, `MachineError`, ..."""
    import asyncio

    from timehands.boot import vmm_for
    from timehands.cli.machine_options import machine_from
    from timehands.machines.survey import survey

    machine = machine_from(args)
    found = asyncio.run(survey(machine, vmm_for(machine)))
    return Subject("machine", str(machine), {0: found.cpuid}, machine, found)


def as_json(subject: Subject) -> dict[str, Any]:
    """What ``--json`` prints; see the top of this file."""
    from timehands.clocks.cpuid.decode import decode
    from timehands.clocks.cpuid.describe import describe

    data: dict[str, Any] = {
        "schema": JSON_SCHEMA,
        "source": subject.source,
        "facts": decode(subject.table).to_json(),
        "leaves": [_note_json(note) for note in describe(subject.table)],
    }
    if subject.machine and subject.survey:
        data["machine"] = subject.machine.to_json()
        data["survey"] = subject.survey.to_json()
    return data


def _note_json(note: Note) -> dict[str, Any]:
    return {
        "leaf": f"{note.leaf:#x}",
        "registers": note.registers._asdict() if note.registers else None,
        "believed": note.believed,
        "text": note.text,
    }


def page(subject: Subject) -> Iterator[str]:
    """The lines for a terminal, none longer than `WIDTH`."""
    from timehands.clocks.cpuid.decode import decode
    from timehands.clocks.cpuid.describe import describe

    facts = decode(subject.table)
    yield from _row("CPUID of", subject.title)
    yield from _row("processor", ", ".join(part for part in (facts.vendor, facts.brand) if part))
    yield from _row("TSC", _tsc_words(facts))
    if subject.survey:
        yield from _survey_rows(subject.survey)
    yield ""
    for note in describe(subject.table):
        yield from _note_rows(note)


def _tsc_words(facts: CpuidFacts) -> str:
    if not facts.tsc:
        return "none"
    kind = "invariant" if facts.invariant_tsc else "not said to be invariant"
    if not facts.tsc_sources:
        return f"{kind}; no leaf tells its frequency"
    told = (
        f"{source.hz:,} Hz by {source.name}{'' if source.exact else ' (a label)'}"
        for source in facts.tsc_sources
    )
    return f"{kind}; {', '.join(told)}"


def _survey_rows(survey: Survey) -> Iterator[str]:
    yield from _row("offers", ", ".join(_offer_words(survey)))
    yield from _row("lacks", ", ".join(survey.lacks))
    yield from _row("measured", f"against {_RULERS[survey.ruler]}:")
    for name, rate in _rates(survey):
        yield from _row(
            "", f"{name:<14}{_rate_words(rate)}{_told(survey) if name == 'TSC' else ''}"
        )
    if survey.rtc.time:
        offset = survey.rtc.offset_s
        against = "" if offset is None else f" ({offset:+d} s from the host's)"
        yield from _row("wall clock", survey.rtc.time + against)


def _told(survey: Survey) -> str:
    """How the measured TSC rate stands to the one that a leaf tells; empty when none does."""
    told = survey.facts.tsc_hz
    if not told or survey.tsc is None:
        return ""
    verdict = "as it is told" if survey.tsc_told_truly else "not as it is told"
    return f", {verdict} ({survey.tsc.off_ppb(told) // 1000:+,} ppm)"


def _rates(survey: Survey) -> Iterator[tuple[str, Rate]]:
    """The rates that were measured, by the counter's name."""
    rates = {
        "TSC": survey.tsc,
        "PIT": survey.pit.rate,
        "LAPIC timer": survey.lapic.rate,
        "HPET": survey.hpet.rate,
        "ACPI PM timer": survey.acpi_pm.rate,
    }
    for name, rate in rates.items():
        if rate:
            yield name, rate


def _offer_words(survey: Survey) -> Iterator[str]:
    for offer in survey.offers:
        yield f"{offer.clock} ({offer.detail})" if offer.detail else offer.clock


def _rate_words(rate: Rate) -> str:
    return f"{rate.hz:>13,} Hz ± {rate.uncertainty_ppb // 1000} ppm"


def _note_rows(note: Note) -> Iterator[str]:
    """The leaf and what it says; ✗ where it holds data that means nothing, – where it is empty."""
    if note.believed:
        return _row(f"{note.leaf:#010x}", note.text)
    if note.registers and any(note.registers):
        text = f"not to be believed: {note.text} ({note.registers})"
        return _row(f"{note.leaf:#010x} ✗", text)
    return _row(f"{note.leaf:#010x} –", f"tells nothing: {note.text}")


def _row(label: str, text: str) -> Iterator[str]:
    first, rest = f"{label:<{_LABEL}}", " " * _LABEL
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
    yield from lines or [first.rstrip()]
