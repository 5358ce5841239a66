#!/usr/bin/env python3
"""How long the first answer from a kernel's DWARF takes; against pyelftools, in one run.

    bench/bench_dwarf.py [KERNEL] [--struct NAME ...] [--function tc_init] [--runs 3]

KERNEL is a file with DWARF, else that which TIMEHANDS_FREEBSD_KERNEL names. The questions: the
members of a structure, whether there is one of a name that none has, and the source line of a
function's first byte. Each answer is given by a process of its own that reads the file anew,
Python's start not counted; the two must agree. pyelftools may need minutes in all.

pyelftools has no search by name, so it is asked in the best way that it allows: unit by unit, the
top level only (by DW_AT_sibling where the compiler wrote it), until the structure is found; for a
line, the unit by the ranges of the units' own entries, then its line program.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.kernels.dwarf.model import DwarfTypes

_TIMEOUT_S = 600
_Answer = list[Any] | None


def _types(path: Path) -> DwarfTypes:
    from timehands.kernels.dwarf.model import DwarfTypes
    from timehands.kernels.dwarf.sections import Sections
    from timehands.kernels.elf import ElfImage

    return DwarfTypes(Sections.of(ElfImage.parse(memoryview(path.read_bytes()))))


def ours_struct(path: Path, name: str) -> _Answer:
    """Names and offsets of a structure's members, by Timehands."""
    found = _types(path).struct(name)
    return [[one.name, one.offset] for one in found.members] if found else None


def ours_line(path: Path, address: str) -> _Answer:
    """The file name and line of an address, by Timehands."""
    from timehands.kernels.lines import Lines

    place = Lines(_types(path)).place(int(address))
    return [Path(place.path).name, place.line] if place else None


def _dwarf(path: Path) -> Any:
    from elftools.elf.elffile import ELFFile

    return ELFFile(path.open("rb")).get_dwarf_info(relocate_dwarf_sections=False)


def theirs_struct(path: Path, name: str) -> _Answer:
    """The same, by pyelftools."""
    wanted = name.encode()
    for unit in _dwarf(path).iter_CUs():
        for die in unit.get_top_DIE().iter_children():
            if die.tag != "DW_TAG_structure_type" or "DW_AT_declaration" in die.attributes:
                continue
            named = die.attributes.get("DW_AT_name")
            if named is not None and named.value == wanted:
                members = (one for one in die.iter_children() if one.tag == "DW_TAG_member")
                return [
                    [
                        one.attributes["DW_AT_name"].value.decode(),
                        one.attributes["DW_AT_data_member_location"].value,
                    ]
                    for one in members
                ]
    return None


def theirs_line(path: Path, address: str) -> _Answer:
    """The same, by pyelftools."""
    dwarf, wanted = _dwarf(path), int(address)
    unit = next((one for one in dwarf.iter_CUs() if _covers(dwarf, one, wanted)), None)
    if unit is None:
        return None
    program = dwarf.line_program_for_CU(unit)
    last = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if last and not last.end_sequence and last.address <= wanted < state.address:
            file = program["file_entry"][last.file - (unit["version"] < 5)]
            return [Path(file.name.decode()).name, last.line]
        last = state
    return None


def _covers(dwarf: Any, unit: Any, address: int) -> bool:
    attributes = unit.get_top_DIE().attributes
    low, high = attributes.get("DW_AT_low_pc"), attributes.get("DW_AT_high_pc")
    if low and high:
        end = high.value if high.form == "DW_FORM_addr" else low.value + high.value
        return bool(low.value <= address < end)
    if "DW_AT_ranges" not in attributes or dwarf.range_lists() is None:
        return False
    base = low.value if low else 0
    for one in dwarf.range_lists().get_range_list_at_offset(attributes["DW_AT_ranges"].value, unit):
        if hasattr(one, "base_address"):
            base = one.base_address
            continue
        shift = 0 if getattr(one, "is_absolute", False) else base
        if one.begin_offset + shift <= address < one.end_offset + shift:
            return True
    return False


_WAYS = {
    ("struct", "timehands"): ours_struct,
    ("struct", "pyelftools"): theirs_struct,
    ("line", "timehands"): ours_line,
    ("line", "pyelftools"): theirs_line,
}


def answer(question: str, reader: str, path: Path, asked: str) -> None:
    """Answer once, in this process, and print the time in ms and the answer as JSON."""
    way = _WAYS[question, reader]
    start = time.perf_counter()
    found = way(path, asked)
    print(json.dumps([(time.perf_counter() - start) * 1000, found]))


def _measure(question: str, reader: str, path: Path, asked: str) -> tuple[float, _Answer]:
    command = [sys.executable, __file__, "--answer", question, reader, str(path), asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        sys.exit(f"{reader} failed:\n{done.stderr}")
    took, found = json.loads(done.stdout)
    return took, found


def compare(question: str, path: Path, asked: str, runs: int) -> bool:
    """Ask both in turn; print their medians and the ratio. Returns whether they agree."""
    times: dict[str, list[float]] = {"timehands": [], "pyelftools": []}
    answers: dict[str, _Answer] = {}
    for _ in range(runs):
        for reader, taken in times.items():
            took, answers[reader] = _measure(question, reader, path, asked)
            taken.append(took)
    ours, theirs = (statistics.median(taken) for taken in times.values())
    agree = answers["timehands"] == answers["pyelftools"]
    words = "not there" if agree and answers["timehands"] is None else "the same answer"
    print(f"{question} {asked}: {words if agree else f'NOT the same: {answers}'}")
    for reader, taken in times.items():
        spread = f"{min(taken):.0f} to {max(taken):.0f}"
        print(f"    {reader:<12}{statistics.median(taken):>9.0f} ms  ({spread} ms, {runs} runs)")
    print(f"    pyelftools takes {theirs / ours:.1f} times as long")
    return agree


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--answer"]:
        question, reader, file, asked = sys.argv[2:6]
        return answer(question, reader, Path(file), asked)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    named = os.environ.get("TIMEHANDS_FREEBSD_KERNEL")
    parser.add_argument("kernel", type=Path, nargs="?", default=named and Path(named))
    parser.add_argument("--struct", nargs="+", default=["timecounter", "no_such_structure"])
    parser.add_argument("--function", default="tc_init")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    if args.kernel is None:
        parser.error("name a kernel, or set TIMEHANDS_FREEBSD_KERNEL")
    from timehands.kernels.kernel import Kernel

    kernel = Kernel.open(args.kernel, cache=False)
    path = kernel.debug_file.path if kernel.debug_file else kernel.path
    places = kernel.symbols.lookup(args.function)
    if not places:
        parser.error(f"{args.kernel} has no function {args.function}")
    print(f"{path}: {path.stat().st_size / (1 << 20):.0f} MiB")
    agree = [compare("struct", path, name, args.runs) for name in args.struct]
    agree.append(compare("line", path, str(places[0]), args.runs))
    sys.exit(not all(agree))


if __name__ == "__main__":
    main()
