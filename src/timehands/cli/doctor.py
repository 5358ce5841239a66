"""``timehands doctor``: what this host can do, what it lacks, and the command that mends each lack.

Exit status 0 when a watched boot can be done here, 1 when something that it needs is lacking.

``--json`` prints one object: ``schema`` (1), ``ready``, the parts of
`timehands.machines.host.Host` (``system``, ``qemus``, ``kvm``, ``compiler``, ``cpu``, ``cache``,
``temporary``), and ``lacks`` (each ``what``, ``why_it_matters``, ``mend_command``, ``severity``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.machines.host import Folder, Host, Lack

JSON_SCHEMA = 1
WIDTH = 100
_LABEL = 24
_SIGNS = {True: ("✓", "32"), False: ("✗", "31"), None: ("–", "33")}

#: One line: good, lacking, or of no use here; what it is; what was found.
Row = tuple[bool | None, str, str]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what this host can do, and how to mend what it lacks",
        description="Says what this host can do, and how to mend what it lacks. "
        "Exit status 0 when a watched boot can be done, 1 when something needed is lacking.",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Survey the host and print what was found."""
    from timehands.machines.host import survey_host

    host = survey_host()
    if args.json:
        print(json.dumps(as_json(host), indent=2, ensure_ascii=False, default=str))
    else:
        print("\n".join(page(host, colour=_wants_colour())))
    return 0 if host.ready else 1


def as_json(host: Host) -> dict[str, Any]:
    """The survey as plain values, with what is lacking; see the top of this file."""
    values = asdict(host)
    values["kvm"]["capabilities"] = dict(host.kvm.capabilities)
    values["kvm"]["usable"] = host.kvm.usable
    lacks = [asdict(lack) for lack in host.lacks()]
    return {"schema": JSON_SCHEMA, "ready": host.ready, **values, "lacks": lacks}


def page(host: Host, *, colour: bool = False) -> Iterator[str]:
    """The lines of the report, verdict first, none wider than 100 columns."""
    yield _verdict(host)
    sections = (
        ("QEMU", _qemu_rows(host)),
        ("KVM", _kvm_rows(host)),
        ("Host", _host_rows(host)),
    )
    for title, rows in sections:
        yield from ("", title)
        for row in rows:
            yield from _row_lines(row, colour)
    if lacks := host.lacks():
        yield from ("", "Lacking")
    for lack in lacks:
        yield from _lack_lines(lack, colour)


def _wants_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _verdict(host: Host) -> str:
    needed = [lack for lack in host.lacks() if lack.severity == "needed"]
    if not needed:
        return "Ready: guests can be booted and watched on this host."
    things = "1 thing is" if len(needed) == 1 else f"{len(needed)} things are"
    return f"Not ready: {things} lacking; the last lines say what to run."


# --- the rows --------------------------------------------------------------------------------


def _qemu_rows(host: Host) -> Iterator[Row]:
    qemu = host.qemu
    if qemu is None:
        yield False, "qemu-system-x86_64", "none in PATH"
        return
    yield True, f"QEMU {qemu.version}", str(qemu.path)
    for other in host.qemus:
        if other != qemu:
            yield None, f"QEMU {other.version}", f"{other.path} (not used)"
    api = "none" if qemu.plugin_api is None else f"API {qemu.plugin_api}"
    reads = "reads registers and memory" if qemu.plugin_reads else "cannot read registers"
    yield qemu.plugin_reads, "TCG plugins", f"{api}: {reads}"
    yield "microvm" in qemu.machine_types, "machine types", _listed(qemu.machine_types)
    yield "tcg" in qemu.accelerators, "accelerators", _listed(qemu.accelerators)
    yield (
        qemu.sandbox or None,
        "-sandbox on",
        "starts with it" if qemu.sandbox else "does not start",
    )


def _kvm_rows(host: Host) -> Iterator[Row]:
    from timehands.machines.host_kvm import KVM_CAPABILITY_WORDS

    kvm = host.kvm
    if not kvm.usable:
        yield None, "/dev/kvm", kvm.error
        return
    yield True, "/dev/kvm", f"opens, API {kvm.api_version}"
    for name, value in kvm.capabilities:
        number = f" ({value})" if value > 1 else ""
        short = name.removeprefix("KVM_CAP_")
        yield (True if value else None), short, KVM_CAPABILITY_WORDS.get(name, "") + number


def _host_rows(host: Host) -> Iterator[Row]:
    cc, cpu = host.compiler, host.cpu
    if cc is None:
        yield False, "C compiler", "none"
    else:
        yield cc.builds_shared, "C compiler", f"{cc.path}: {cc.version}"
        yield cc.builds_bare, "bare 32-bit programs", "built" if cc.builds_bare else "not built"
    yield _folder_row("cache", host.cache)
    yield _folder_row("temporary files", host.temporary)
    yield True, "system", f"{host.system.name}, kernel {host.system.kernel}"
    yield True, "processor", f"{cpu.model or 'unknown'}, {cpu.cores} cores usable"
    yield cpu.constant_tsc or None, "constant_tsc", _yes(cpu.constant_tsc)
    yield cpu.nonstop_tsc or None, "nonstop_tsc", _yes(cpu.nonstop_tsc)
    sources = f"{cpu.clocksource or 'unknown'} (of {_listed(cpu.clocksources)})"
    yield (cpu.clocksource == "tsc") or None, "host clocksource", sources


def _folder_row(what: str, folder: Folder) -> Row:
    free = "" if folder.free_bytes is None else f", {folder.free_bytes >> 20:,} MiB free"
    return (
        folder.writable,
        what,
        f"{folder.path}{'' if folder.writable else ': not writable'}{free}",
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


# --- laying them out -------------------------------------------------------------------------


def _row_lines(row: Row, colour: bool) -> Iterator[str]:
    good, what, found = row
    label = f"{what:<{_LABEL}} "
    lines = textwrap.wrap(label + found, WIDTH - 4, subsequent_indent=" " * (_LABEL + 1))
    yield f"  {_sign(good, colour)} {lines[0]}"
    yield from (f"    {line}" for line in lines[1:])


def _lack_lines(lack: Lack, colour: bool) -> Iterator[str]:
    sign = _sign(False if lack.severity == "needed" else None, colour)
    lines = textwrap.wrap(f"{lack.what}: {lack.why_it_matters}", WIDTH - 4)
    yield f"  {sign} {lines[0]}"
    yield from (f"    {line}" for line in lines[1:])
    # Commands are never wrapped: they are there to be copied.
    yield f"      mend: {lack.mend_command}"


def _sign(good: bool | None, colour: bool) -> str:
    sign, code = _SIGNS[good]
    return f"\x1b[{code}m{sign}\x1b[0m" if colour else sign
