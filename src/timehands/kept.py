"""What a boot needs of a kernel before it starts, kept by the kernel's content.

Reading 150,000 symbols and the kernel's types takes a fifth of a second; a kernel that was booted
before need not be read again. An entry is made anew when the code that makes it changes, or when
it cannot be understood.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from timehands.guests.base import Knowledge
from timehands.kernels.kernel import Kernel
from timehands.machines.cache import cache_folder, write_atomically
from timehands.watch.plan import Plan

_ROOMS = ("guests", "kernels", "watch")
_MAX_BYTES = 1 << 20
_PACKAGE = Path(__file__).parent


def symbol_facts(kernel: Kernel) -> dict[str, Any]:
    """How many symbols a kernel has, from where, and which clock functions, as JSON types."""
    source = kernel.symbol_source
    return {
        "symbols": len(kernel.symbols),
        "symbol_source": source.value if source else None,
        "clock_functions": [n for names in kernel.clock_functions.values() for n in names],
    }


def plan_and_facts(kernel: Kernel, knowledge: Knowledge) -> tuple[Plan, dict[str, Any]]:
    """The plan for watching a kernel, and its `symbol_facts`. Raises `KernelDamaged`."""
    key = f"{kernel.sha256[:32]}-{_code_key()}{kernel.debug_key}"
    path = cache_folder("plans") / f"{key}.json"
    try:
        with path.open("rb") as file:
            kept = json.loads(file.read(_MAX_BYTES))
        return Plan.from_json(kept["plan"]), dict(kept["facts"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    plan, facts = knowledge.plan(kernel), symbol_facts(kernel)
    for old in path.parent.glob(f"{kernel.sha256[:32]}-*.json"):
        old.unlink(missing_ok=True)
    write_atomically(path, json.dumps({"plan": plan.to_json(), "facts": facts}).encode())
    return plan, facts


def _code_key() -> str:
    """Changes with the code that makes plans and facts: sizes and times of its files."""
    digest = hashlib.sha256()
    for path in _sources():
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def _sources() -> Iterator[Path]:
    for room in _ROOMS:
        yield from sorted((_PACKAGE / room).rglob("*.py"))
    yield Path(__file__)
