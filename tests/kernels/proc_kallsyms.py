"""Comparing a symbol table with what the running kernel says in /proc/kallsyms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from timehands.kernels.symbols import Symbol


def parse(text: str) -> list[Symbol]:
    """The kernel's own symbols in /proc/kallsyms text; those of modules, eBPF, ftrace and kprobes
    have a [module] behind them and are left out."""
    fields = (line.split() for line in text.splitlines())
    return [Symbol(int(f[0], 16), f[1], f[2]) for f in fields if len(f) == 3]


def differences(
    ours: Iterable[Symbol], proc: Iterable[Symbol]
) -> tuple[list[Symbol], list[Symbol]]:
    """(symbols that only we have, symbols that only the kernel has), each counted as often as it
    occurs."""
    mine, theirs = Counter(ours), Counter(proc)
    return sorted((mine - theirs).elements()), sorted((theirs - mine).elements())
