"""``timehands pvclock decode``: what a pvclock page says, in words.

``--json`` prints one object: ``schema`` (1), ``source``; ``time_info`` (null when there is none, or
``hex``, the fields by their names in the ABI, ``frequency`` with ``exact_hz`` as a fraction in
text, ``kvm_khz`` or null, ``linux_khz``, ``freebsd_hz``, and ``reading``, null or ``tsc``,
``cycles``, ``ns``); ``wall_clock`` (null, or ``hex``, ``version``, ``sec``, ``nsec``, ``sec_hi``,
``epoch_ns``, ``epoch``); ``verdicts`` (each ``code``, ``severity`` note, warning or error,
``title``, ``text``, ``meaning``, ``ns``, ``line``, ``count``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.clocks.pvclock.layout import TimeInfo
    from timehands.clocks.pvclock.verdicts import Verdict

JSON_SCHEMA = 1
_SHARED_INFO_BYTES = 4096
_U64 = 1 << 64


@dataclass(frozen=True, slots=True)
class Subject:
    """What was found where: the bytes of a time information, of a wall clock, or of both."""

    source: str
    time_info: bytes | None
    wall_clock: bytes | None
    sec_hi: int
    tsc: int | None
    verdicts: tuple[Verdict, ...]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    parser = subparsers.add_parser(
        "decode",
        help="say what a page means: from hex, a dump, a file, or a running QEMU",
        description="Says what a pvclock page means and what is odd about it. The page comes as "
        "hex on the command line, as a dump (xxd, hexdump, od, gdb x/32xb, QEMU xp), as a binary "
        "file, or from the memory of a running QEMU.",
    )
    parser.add_argument("page", nargs="*", help="hex digits, or a file; - is stdin")
    parser.add_argument(
        "--qmp", metavar="SOCKET", help="read the memory of the QEMU of this socket"
    )
    parser.add_argument(
        "--address",
        type=integer,
        metavar="GPA",
        help="with --qmp: the guest physical address, which the guest wrote to MSR 0x4b564d01",
    )
    add_page_options(parser)
    parser.set_defaults(run=run)


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """Options of both ``decode`` and ``check``: what the bytes are, and how to read them."""
    parser.add_argument(
        "--tsc", type=integer, metavar="N", help="a guest's TSC at which to read the page"
    )
    parser.add_argument(
        "--wall-clock", action="store_true", help="it is a wall clock (12 bytes), not a page"
    )
    parser.add_argument(
        "--xen",
        type=int,
        choices=(32, 64),
        metavar="BITS",
        help="it is Xen's shared_info of a guest of 64 or 32 bits",
    )
    parser.add_argument(
        "--vcpu", type=integer, default=0, metavar="N", help="with --xen: whose time (default 0)"
    )
    parser.add_argument(
        "--offset", type=integer, default=0, metavar="N", help="begin so far into the file"
    )
    parser.add_argument("--raw", action="store_true", help="take a file's bytes as they are")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def integer(text: str) -> int:
    """A u64 in decimal or with 0x, 0o, 0b."""
    try:
        value = int(text, 0) if len(text) < 80 else _U64
    except ValueError:
        value = _U64
    if not 0 <= value < _U64:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not an integer from 0 to 2^64 - 1")
    return value


def run(args: argparse.Namespace) -> int:
    """Print what the page says. Raises `UsageError`, `RecordTooShort`, `MachineError`."""
    subject = subject_of(*_bytes(args), args)
    _complete(subject)
    print_subject(subject, args.json)
    return 0


def _complete(subject: Subject) -> None:
    """Raise `RecordTooShort` when there is nothing to decode."""
    from timehands.clocks.pvclock.layout import TimeInfo, WallClock

    if subject.time_info is not None:
        TimeInfo.parse(subject.time_info)
    if subject.wall_clock is not None:
        WallClock.parse(subject.wall_clock)


def _bytes(args: argparse.Namespace) -> tuple[bytes, str]:
    from timehands.cli.pvclock_input import words_or_file

    if (args.qmp is None) != (args.address is None):
        raise UsageError("--qmp and --address go together")
    if (args.qmp is None) == (not args.page):
        raise UsageError(
            "a page is wanted", advice="Give hex digits, a file, -, or --qmp SOCKET --address GPA."
        )
    if args.qmp is None:
        return words_or_file(args.page, offset=args.offset, raw=args.raw)
    from timehands.cli.pvclock_qmp import read_page

    length = _SHARED_INFO_BYTES if args.xen else 12 if args.wall_clock else 32
    return read_page(args.qmp, args.address, length), f"{args.qmp} at {args.address & ~1:#x}"


def subject_of(data: bytes, source: str, args: argparse.Namespace) -> Subject:
    """The records in the bytes, as the options of `add_page_options` say, with verdicts."""
    from timehands.clocks.pvclock import xen
    from timehands.clocks.pvclock.check import check_time_info, check_wall_clock

    if args.xen:
        wall, sec_hi = xen.wall_clock(data, args.xen)
        info, record = xen.time_info(data, args.vcpu).build(), wall.build()
        verdicts = check_time_info(info, args.tsc) + check_wall_clock(record, sec_hi)
        return Subject(source, info, record, sec_hi, args.tsc, verdicts)
    if args.wall_clock or len(data) == 12:
        return Subject(source, None, data[:12], 0, args.tsc, check_wall_clock(data))
    return Subject(source, data[:32], None, 0, args.tsc, check_time_info(data, args.tsc))


def print_subject(subject: Subject, as_json: bool) -> None:
    """The page for a terminal, or the JSON object."""
    if as_json:
        print(json.dumps(to_json(subject), indent=2, ensure_ascii=False))
    else:
        print("\n".join(page(subject)))


def to_json(subject: Subject) -> dict[str, Any]:
    """What ``--json`` prints; see the top of this file."""
    return {
        "schema": JSON_SCHEMA,
        "source": subject.source,
        "time_info": _time_info_json(subject),
        "wall_clock": _wall_clock_json(subject),
        "verdicts": [verdict.to_json() for verdict in subject.verdicts],
    }


def _time_info_json(subject: Subject) -> dict[str, Any] | None:
    from timehands.clocks.pvclock.layout import TimeInfo

    if subject.time_info is None or len(subject.time_info) < 32:
        return None
    info = TimeInfo.parse(subject.time_info)
    return {
        "hex": subject.time_info.hex(),
        **asdict(info),
        "frequency": _frequency_json(info),
        "reading": _reading_json(info, subject.tsc),
    }


def _frequency_json(info: TimeInfo) -> dict[str, Any]:
    from timehands.clocks.pvclock.rounding import implied_hz, kvm_tsc_khz
    from timehands.clocks.pvclock.scale import freebsd_tsc_hz, linux_tsc_khz

    hz = implied_hz(info.scale)
    return {
        "exact_hz": None if hz is None else str(hz),
        "kvm_khz": kvm_tsc_khz(info.scale),
        "linux_khz": linux_tsc_khz(info.scale),
        "freebsd_hz": freebsd_tsc_hz(info.scale),
    }


def _reading_json(info: TimeInfo, tsc: int | None) -> dict[str, int] | None:
    from timehands.clocks.pvclock.reading import cycles_since, nanoseconds

    if tsc is None:
        return None
    return {"tsc": tsc, "cycles": cycles_since(info, tsc), "ns": nanoseconds(info, tsc)}


def _wall_clock_json(subject: Subject) -> dict[str, Any] | None:
    from timehands.clocks.pvclock.describe import date
    from timehands.clocks.pvclock.layout import WallClock
    from timehands.clocks.pvclock.wallclock import record_ns

    if subject.wall_clock is None or len(subject.wall_clock) < 12:
        return None
    wall = WallClock.parse(subject.wall_clock)
    epoch_ns = record_ns(wall, subject.sec_hi)
    return {
        "hex": subject.wall_clock.hex(),
        **asdict(wall),
        "sec_hi": subject.sec_hi,
        "epoch_ns": epoch_ns,
        "epoch": date(epoch_ns),
    }


def page(subject: Subject) -> Iterator[str]:
    """The lines for a terminal."""
    from timehands.cli.pvclock_rows import row, verdict_rows
    from timehands.clocks.pvclock.describe import time_info_facts, wall_clock_facts

    yield from row("pvclock of", subject.source)
    system_ns = None
    if subject.time_info is not None:
        for fact in time_info_facts(subject.time_info, subject.tsc):
            yield from row(fact.label, fact.text)
        system_ns = _system_ns(subject)
    if subject.wall_clock is not None:
        for fact in wall_clock_facts(subject.wall_clock, system_ns, subject.sec_hi):
            yield from row(fact.label, fact.text)
    if subject.verdicts:
        yield ""
        yield from verdict_rows(subject.verdicts)


def _system_ns(subject: Subject) -> int | None:
    """kvmclock where the page can be read: at the TSC given."""
    from timehands.clocks.pvclock.layout import TimeInfo
    from timehands.clocks.pvclock.reading import nanoseconds

    if subject.time_info is None or subject.tsc is None or len(subject.time_info) < 32:
        return None
    return nanoseconds(TimeInfo.parse(subject.time_info), subject.tsc)
