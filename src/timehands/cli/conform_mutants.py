"""``timehands conform --mutants``: whether the conformance guest sees what is wrong.

Exit status 0 when every mutant that this host can show was caught; 1 when one was not. ``--json``
prints one object: ``schema`` (1), ``counts`` (``caught``, ``missed``, ``cannot``), and ``mutants``
(each ``mutant``, ``what``, ``seen_in``, ``case``, ``fate``, ``saw``, ``also``, ``tries``).
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.conform.mutants.mutant import Mutant


def run(args: argparse.Namespace) -> int:
    """Hunt those that were named, or all. Raises `UsageError`, `HostError`, `MachineError`."""
    mutants = _chosen(args.mutants)
    if args.list:
        return _list(mutants, args)
    from timehands.conform.mutants import report
    from timehands.conform.mutants.hunt import Fate, hunt_all

    hunted = []
    for each in hunt_all(mutants, quick=args.quick):
        hunted.append(each)
        if not args.json:
            print("\n".join(report.rows(each)), flush=True)
    if args.json:
        print(json.dumps(report.to_json(hunted), indent=2, ensure_ascii=False))
    else:
        print(f"\n{report.foot(hunted)}")
    return 1 if any(each.fate is Fate.MISSED for each in hunted) else 0


def _chosen(names: list[str]) -> list[Mutant]:
    from timehands.conform.mutants.catalogue import MUTANTS

    unknown = [name for name in names if name not in MUTANTS]
    if unknown:
        raise UsageError(
            f"there is no mutant {unknown[0]}", advice="`--mutants --list` tells what there is."
        )
    return [MUTANTS[name] for name in names or MUTANTS]


def _list(mutants: list[Mutant], args: argparse.Namespace) -> int:
    from timehands.conform.mutants import report

    if args.json:
        keys = ("name", "what", "seen_in", "case")
        plain = [{key: getattr(mutant, key) for key in keys} for mutant in mutants]
        print(json.dumps({"mutants": plain}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(report.listed(mutants)))
    return 0
