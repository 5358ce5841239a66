"""``timehands pvclock explore``: the protocol of pvclock, every interleaving within stated bounds.

``--json`` prints one object: ``schema`` (1); ``proofs``, each with ``reader``, ``writer``,
``order``, ``pages``, the bounds (``readers``, ``reads``, ``updates``, ``ticks``, ``window``),
``states``, ``transitions``, ``seconds``, ``times`` (accepted times that differ in anything they are
judged by), ``goes_on``, ``complete``, ``promises``, ``limits`` (known not to hold there),
``broken`` and ``holds``; or with ``--mutant`` ``mutants``, each with ``name``, ``what``, ``breaks``
and ``orders``: ``order``, ``shows``, ``caught``, ``steps``, ``states``, ``transitions``,
``seconds``, ``as_expected``, and for one mutant ``schedule``.

Exit status: 1 when something that is claimed does not hold, or a mistake is not caught.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.simulate.explorer.claims import Claim, Proof
    from timehands.simulate.explorer.judge import Property
    from timehands.simulate.explorer.mutants import Hunt, Mutant
    from timehands.simulate.explorer.orders import Order
    from timehands.simulate.explorer.search import Searched

JSON_SCHEMA = 1
WIDTH = 100
ORDERS = ("x86", "weak", "exit")
_ALL = "all"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    parser = subparsers.add_parser(
        "explore",
        help="prove the version protocol of readers and providers; show what mistakes cost",
        description="Runs every interleaving of a provider's updates with one or two readers, step "
        "by step, under x86's memory order, a weaker one, and with the provider at work while the "
        "vCPU is outside of the guest. Prints what was proved, with its bounds. With --mutant: the "
        "shortest schedule by which a classic mistake gives a wrong time.",
    )
    parser.add_argument("--order", choices=ORDERS, help="only this memory order")
    parser.add_argument("--reader", metavar="NAME", help="only this reader")
    parser.add_argument("--writer", metavar="NAME", help="only this provider")
    parser.add_argument(
        "--mutant", metavar="NAME", help="a mistake to be caught, with its schedule; all: a table"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Search what was asked for."""
    if args.mutant is None:
        return _prove(args)
    if args.reader or args.writer:
        raise UsageError(
            "a mistake is made in one reader or provider",
            advice="Leave --reader and --writer out with --mutant.",
        )
    return _hunt_all(args) if args.mutant == _ALL else _hunt_one(args)


def _orders(args: argparse.Namespace) -> tuple[Order, ...]:
    from timehands.simulate.explorer.orders import Order

    return tuple(Order(name) for name in ORDERS if args.order in (None, name))


def _prove(args: argparse.Namespace) -> int:
    from timehands.simulate.explorer.claims import prove

    chosen = _claims(args)
    proofs = []
    if not args.json:
        print(_PROOF_HEAD)
    for claim in chosen:
        proof = prove(claim)
        proofs.append(proof)
        if not args.json:
            print(proof_row(proof), flush=True)
    if args.json:
        _print_json({"proofs": [proof_json(proof) for proof in proofs]})
    else:
        print("\n".join(_proof_foot(proofs)))
    return 0 if all(proof.holds for proof in proofs) else 1


def _claims(args: argparse.Namespace) -> list[Claim]:
    """The claims that are asked for. Raises `UsageError` when there are none."""
    from timehands.simulate.explorer.claims import claims

    every = claims()
    for what, name, known in (
        ("reader", args.reader, {claim.reader for claim in every}),
        ("provider", args.writer, {claim.writer for claim in every if claim.writer}),
    ):
        if name is not None and name not in known:
            raise UsageError(
                f"there is no {what} named {name!r}", advice=f"Known: {', '.join(sorted(known))}."
            )
    chosen = claims(
        [args.reader] if args.reader else (),
        [args.writer] if args.writer else (),
        _orders(args) if args.order else (),
    )
    if not chosen:
        raise UsageError(
            "nothing is claimed of this reader and provider under this order",
            advice="Leave out one of --reader, --writer and --order.",
        )
    return chosen


_PROOF_HEAD = (
    f"{'reader':<13}{'provider':<9}{'order':<6}{'pages':<7}{'runs':>5}{'updates':>8}{'states':>9}"
    "  never seen [seen, as is known]"
)
_SHORT = {"backward across": "across"}


def proof_row(proof: Proof) -> str:
    """One line of the table; ✗ where it is not as claimed."""
    claim, trial = proof.claim, proof.claim.trial
    runs = f"{len(trial.readers)} x {trial.reads}"
    updates = trial.updates if trial.writer else 0
    mark = "✓" if proof.holds else "✗"
    return (
        f"{claim.reader:<13}{claim.writer or 'none':<9}{trial.order.value:<6}{trial.setting:<7}"
        f"{runs:>5}{updates:>8}{proof.result.searched.states:>9,}  {mark} {_held(proof)}"
    )


def _held(proof: Proof) -> str:
    """``torn, backward [stale]``: what was never seen, and what was."""
    never = sorted(_word(one) for one in proof.claim.promises - proof.broken)
    words = [", ".join(never)] if never else []
    seen = sorted(_word(one) for one in proof.limits & proof.broken)
    words += [f"[{', '.join(seen)}]"] if seen else []
    wrong = sorted(f"SEEN: {_word(one)}" for one in proof.claim.promises & proof.broken)
    wrong += sorted(f"not met: {_word(one)}" for one in proof.limits - proof.broken)
    wrong += [] if proof.result.searched.complete else ["given up: too many states"]
    wrong += [] if proof.goes_on else ["no time, or no end"]
    return " ".join([*words, *wrong])


def _word(one: Property) -> str:
    return _SHORT.get(one.value, one.value)


def _proof_foot(proofs: list[Proof]) -> Iterator[str]:
    states = sum(proof.result.searched.states for proof in proofs)
    transitions = sum(proof.result.searched.transitions for proof in proofs)
    seconds = sum(proof.result.seconds for proof in proofs)
    wrong = sum(not proof.holds for proof in proofs)
    windows = sorted({proof.claim.trial.window for proof in proofs})
    small = [p for p in proofs if p.claim.trial.window < windows[-1]]
    fewer = f" ({windows[0]} in {len(small)} searches with two readers)" if small else ""
    yield ""
    verdict = f"{wrong} of {len(proofs)} claims do not hold" if wrong else "all claims hold"
    yield from _wrapped(
        f"{verdict}: {len(proofs)} searches, {states:,} states, {transitions:,} transitions, "
        f"{seconds:.1f} s. Each is exhaustive for its bounds: so many readers times reads, so many "
        "updates of the provider, a TSC that advances at most once within an update's epoch, at "
        f"most {windows[-1]} memory accesses of a vCPU in flight{fewer}."
    )


def proof_json(proof: Proof) -> dict[str, Any]:
    """A proof as plain values; see the top of this file."""
    claim, trial = proof.claim, proof.claim.trial
    return {
        "reader": claim.reader,
        "writer": claim.writer or None,
        "order": trial.order.value,
        "pages": trial.setting,
        "readers": len(trial.readers),
        "reads": trial.reads,
        "updates": trial.updates if trial.writer else 0,
        "ticks": trial.ticks,
        "window": trial.window,
        **_search_json(proof.result.searched, proof.result.seconds),
        "times": proof.result.searched.times,
        "goes_on": proof.goes_on,
        "complete": proof.result.searched.complete,
        "promises": sorted(one.value for one in claim.promises),
        "limits": sorted(one.value for one in claim.limits),
        "broken": sorted(one.value for one in proof.broken),
        "holds": proof.holds,
    }


def _search_json(found: Searched, seconds: float) -> dict[str, Any]:
    return {
        "states": found.states,
        "transitions": found.transitions,
        "seconds": round(seconds, 3),
    }


def _hunt_all(args: argparse.Namespace) -> int:
    from timehands.simulate.explorer.mutants import MUTANTS, hunt

    hunts: dict[str, list[Hunt]] = {}
    if not args.json:
        print(f"{'mistake':<26}{ORDERS[0]:<22}{ORDERS[1]:<22}{ORDERS[2]}")
    for mutant in MUTANTS.values():
        orders = [order for order in _orders(args) if order in mutant.trials]
        hunts[mutant.name] = [hunt(mutant, order) for order in orders]
        if not args.json:
            print(mutant_row(mutant, hunts[mutant.name]), flush=True)
    every = [one for found in hunts.values() for one in found]
    if args.json:
        rows = [mutant_json(MUTANTS[name], found) for name, found in hunts.items()]
        _print_json({"mutants": rows})
    else:
        print("\n".join(_mutant_foot(every)))
    return 0 if all(one.as_expected for one in every) else 1


def mutant_row(mutant: Mutant, hunts: list[Hunt]) -> str:
    """One line of the table: by which order it is caught, after how many steps."""
    cells = {one.order.value: _cell(one) for one in hunts}
    return f"{mutant.name:<26}" + "".join(f"{cells.get(name, '-'):<22}" for name in ORDERS).rstrip()


def _cell(one: Hunt) -> str:
    if one.caught:
        trace = one.result.searched.traces[one.mutant.breaks.value]
        text = f"caught, {len(trace.steps)} steps"
    else:
        text = "does not matter"
    return text if one.as_expected else f"✗ {'not caught' if not one.caught else text}"


def _mutant_foot(hunts: list[Hunt]) -> Iterator[str]:
    wrong = sum(not one.as_expected for one in hunts)
    names = {one.mutant.name for one in hunts}
    caught = {one.mutant.name for one in hunts if one.caught}
    seconds = sum(one.result.seconds for one in hunts)
    yield ""
    yield from _wrapped(
        f"{len(caught)} of {len(names)} mistakes caught, {wrong} searches not as expected; "
        f"{seconds:.1f} s. Where a mistake does not matter, everything within the bounds was "
        "searched and nothing found. See one with --mutant NAME."
    )


def _hunt_one(args: argparse.Namespace) -> int:
    from timehands.simulate.explorer.mutants import MUTANTS, hunt
    from timehands.simulate.explorer.schedule import schedule

    mutant = MUTANTS.get(args.mutant)
    if mutant is None:
        raise UsageError(
            f"there is no mistake named {args.mutant!r}",
            advice="\n".join(_wrapped(f"Known: all, {', '.join(MUTANTS)}.")),
        )
    orders = [order for order in _orders(args) if order in mutant.trials]
    if args.order is None:
        orders = [order for order in orders if order in mutant.shows][:1]
    hunts = [hunt(mutant, order) for order in orders]
    if args.json:
        _print_json({"mutants": [mutant_json(mutant, hunts, schedules=True)]})
    for one in hunts if not args.json else ():
        print(f"{mutant.name}: {mutant.what}")
        if one.caught:
            print("\n".join(schedule(one.result, mutant.breaks)))
        else:
            print("\n".join(_not_found(one)))
    return 0 if all(one.as_expected for one in hunts) else 1


def _not_found(one: Hunt) -> Iterator[str]:
    found = one.result.searched
    yield from _wrapped(
        f"does not matter under the order {one.order.value}: no time that is "
        f"{one.mutant.breaks.value} in {found.states:,} states, which are all within the bounds"
        if one.as_expected
        else f"not caught under the order {one.order.value}, in {found.states:,} states"
    )


def mutant_json(mutant: Mutant, hunts: list[Hunt], schedules: bool = False) -> dict[str, Any]:
    """A mutant as plain values; see the top of this file."""
    from timehands.simulate.explorer.schedule import as_json

    orders = []
    for one in hunts:
        trace = one.result.searched.traces.get(mutant.breaks.value)
        row = {
            "order": one.order.value,
            "shows": one.order in mutant.shows,
            "caught": one.caught,
            "steps": len(trace.steps) if trace else None,
            **_search_json(one.result.searched, one.result.seconds),
            "as_expected": one.as_expected,
        }
        if schedules and one.caught:
            row["schedule"] = as_json(one.result, mutant.breaks)
        orders.append(row)
    return {
        "name": mutant.name,
        "what": mutant.what,
        "breaks": mutant.breaks.value,
        "orders": orders,
    }


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False)


def _print_json(data: dict[str, Any]) -> None:
    print(json.dumps({"schema": JSON_SCHEMA, **data}, indent=2, ensure_ascii=False))
