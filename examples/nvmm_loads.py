"""How much time a guest loses under NVMM, by load: the tables of docs/nvmm.md.

    python examples/nvmm_loads.py

Each cell is a simulation of 20 s (of exits: 2 s) with one vCPU that keeps time with its TSC. It
runs for a random time and is then away for a random time, each between half and one and a half
times what the table says; the numbers are of seed 0 and the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from timehands.simulate.hosts import HostSpec
from timehands.simulate.run import simulate
from timehands.simulate.scenario import Away, Load, Scenario
from timehands.simulate.units import Span, in_words

S, MS, US = 10**9, 10**6, 10**3
HOST = HostSpec(name="host", tsc_khz=2_500_000, skew_cycles=(0, 0, 0, 0))


def around(ns: int) -> Span:
    """From half of it to one and a half."""
    return Span(ns // 2, ns + ns // 2)


def migrating(per_s: int, away_ns: int) -> Load:
    """The vCPU's thread comes to another CPU so often, and runs there after so long."""
    return Load(migrations=Away(every=around(S // per_s - away_ns), length=around(away_ns)))


def writing_back(per_s: int, away_ns: int) -> Load:
    """So many exits to a VMM that writes all of the vCPU's state back, its TSC with it."""
    return Load(exits=Away(every=around(S // per_s - away_ns), length=around(away_ns)))


def lost_per_s(load: Load, provider: str = "nvmm") -> int:
    """What the guest's clock loses in a second, in ns."""
    seconds = 2 if load.exits else 20
    scenario = Scenario(
        title="load", hosts=(HOST,), duration_ns=seconds * S, reads_per_s=1000, load=load
    )
    offset_ns = simulate(scenario, provider=provider).all.offset_last_ns
    assert offset_ns is not None
    return -offset_ns // seconds


def table(
    head: str, load: Callable[[int, int], Load], rates: list[int], aways: list[int]
) -> Iterator[str]:
    """A table in Markdown: a row for each rate, a column for each time away."""
    yield f"| {head} | " + " | ".join(in_words(ns) for ns in aways) + " |"
    yield "|---" * (len(aways) + 1) + "|"
    for rate in rates:
        cells = (f"{lost_per_s(load(rate, ns)) / MS:.2f} ms" for ns in aways)
        yield f"| {rate:,} | " + " | ".join(cells) + " |"


def tables() -> Iterator[str]:
    """Both tables, a line empty between them."""
    yield from table(
        "CPU changes a second", migrating, [1, 10, 50], [20 * US, 200 * US, 2 * MS, 10 * MS]
    )
    yield ""
    yield from table("exits a second", writing_back, [100, 1000, 5000], [5 * US, 20 * US, 100 * US])


if __name__ == "__main__":
    print("\n".join(tables()))
