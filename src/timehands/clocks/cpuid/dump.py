"""The text format of ``cpuid -r``: reading and writing it.

::

    CPU 0:
       0x00000000 0x00: eax=0x0000001c ebx=0x68747541 ecx=0x444d4163 edx=0x69746e65

One block for each CPU; ``cpuid -1 -r`` writes ``CPU:`` alone. Source: cpuid(1), option ``-r``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.table import CpuidTable, Key
from timehands.errors import CpuidDumpDamaged

#: A dump of one CPU has about 100 lines; a machine may have thousands of CPUs.
MAX_BYTES = 64 << 20
MAX_CPUS = 1 << 16
_CPU = re.compile(r"CPU(?: (\d{1,9}))?:", re.ASCII)
_HEX = r"0x([0-9a-fA-F]{1,8})"
_ANSWER = re.compile(rf"{_HEX}\s+{_HEX}:\s+eax={_HEX}\s+ebx={_HEX}\s+ecx={_HEX}\s+edx={_HEX}")


def parse_dump(text: str) -> dict[int, CpuidTable]:
    """The tables of a dump by CPU number, in the order of the file; ``CPU:`` alone is CPU 0.

    Lines before the first header count as CPU 0; empty lines do not count. Raises
    `CpuidDumpDamaged` with the number of the first line that is neither header nor answer, and
    when there is no answer at all.
    """
    if len(text) > MAX_BYTES:
        raise CpuidDumpDamaged(f"the CPUID dump is longer than {MAX_BYTES >> 20} MiB")
    cpus: dict[int, dict[Key, Registers]] = {}
    current = 0
    for number, line in _lines(text):
        if header := _CPU.fullmatch(line):
            current = int(header[1] or 0)
            if len(cpus) > MAX_CPUS:
                raise CpuidDumpDamaged(f"more than {MAX_CPUS} CPUs", line=number)
        elif answer := _ANSWER.fullmatch(line):
            leaf, subleaf, *registers = (int(word, 16) for word in answer.groups())
            cpus.setdefault(current, {})[leaf, subleaf] = Registers(*registers)
        else:
            raise CpuidDumpDamaged(f"{line[:60]!r} is no line of a CPUID dump", line=number)
    if not cpus:
        raise CpuidDumpDamaged("there is no CPUID answer in this dump")
    return {cpu: CpuidTable(answers) for cpu, answers in cpus.items()}


def parse_table(text: str) -> CpuidTable:
    """The table of the first CPU of a dump. Raises `CpuidDumpDamaged`."""
    return next(iter(parse_dump(text).values()))


def format_dump(tables: dict[int, CpuidTable]) -> str:
    """The dump of these CPUs, as ``cpuid -r`` writes it."""
    return "".join(
        f"CPU {cpu}:\n" + "".join(_format(key, table[key]) for key in table)
        for cpu, table in tables.items()
    )


def format_table(table: CpuidTable) -> str:
    """The dump of one CPU, as ``cpuid -1 -r`` writes it."""
    return "CPU:\n" + "".join(_format(key, table[key]) for key in table)


def _format(key: Key, registers: Registers) -> str:
    return f"   {key[0]:#010x} {key[1]:#04x}: {registers}\n"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if stripped := line.strip():
            yield number, stripped
