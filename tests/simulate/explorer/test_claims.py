"""The small searches of the proof, and that the reductions take nothing away from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from timehands.clocks.pvclock.programs.ops import Op, Store, edited
from timehands.clocks.pvclock.programs.readers import READERS
from timehands.clocks.pvclock.programs.writers import WRITERS
from timehands.simulate.explorer.claims import RIGHT, Claim, Proof, claims, prove, trial
from timehands.simulate.explorer.judge import Property
from timehands.simulate.explorer.orders import Order
from timehands.simulate.explorer.search import Searched, search
from timehands.simulate.explorer.trial import Trial, build, run

QUICK = [claim for claim in claims() if claim.quick]


def name(claim: Claim) -> str:
    return f"{claim.reader}-{claim.writer}-{claim.trial.order.value}-{claim.trial.setting}"


@pytest.mark.parametrize("claim", QUICK, ids=name)
def test_a_claim_holds(claim: Claim) -> None:
    proof = prove(claim)
    assert proof.result.searched.complete
    assert not proof.broken & claim.promises
    assert proof.broken >= claim.limits
    assert proof.holds


@pytest.mark.parametrize(
    ("reader", "order"),
    [(reader, Order.X86) for reader in RIGHT]
    + [(reader, Order.WEAK) for reader in ("linux", "linux-vdso", "freebsd", "netbsd")],
)
def test_one_update_tears_no_time(reader: str, order: Order) -> None:
    small = trial(READERS[reader], "kvm", order, "stable", ticks=0, updates=1)
    proof = prove(Claim(reader, "kvm", small, frozenset({Property.TORN})))
    assert proof.holds
    assert proof.result.searched.states > 100


@pytest.mark.parametrize("reader", RIGHT)
def test_every_right_reader_is_proved_under_every_order_and_with_every_provider(
    reader: str,
) -> None:
    found = claims([reader])
    orders = {claim.trial.order for claim in found if Property.TORN in claim.promises}
    assert orders >= {Order.X86, Order.EXIT, Order.WEAK}
    assert {claim.writer for claim in found} >= {"kvm", "xen"}
    assert any(claim.trial.updates == 2 for claim in found)


def accepted(small: Trial, reduce: bool) -> tuple[set[str], set[tuple[int | None, ...]]]:
    """The breaches, and every time that was accepted with all that it is judged by."""
    rules, memory = build(small)
    rules._reduce = reduce
    times: set[tuple[int | None, ...]] = set()
    judge = rules._judge

    def noting(values: tuple[int | None, ...], epoch: int, tsc: int) -> list[str]:
        times.add(values)
        return list(judge(values, epoch, tsc))

    rules._judge = noting
    return set(search(rules, memory).traces), times


@pytest.mark.parametrize(
    ("reader", "order"),
    [("linux", order) for order in Order]
    + [("linux-vdso", Order.WEAK), ("freebsd", Order.X86), ("netbsd", Order.X86)]
    + [("freebsd", Order.EXIT), ("netbsd", Order.EXIT), ("openbsd-1", Order.X86)],
)
def test_the_reductions_take_no_accepted_time_away(reader: str, order: Order) -> None:
    small = trial(READERS[reader], "xen", order, "stable", ticks=0, updates=1)
    assert accepted(small, reduce=True) == accepted(small, reduce=False)


def test_a_search_that_is_given_up_is_no_proof() -> None:
    claim = QUICK[0]
    result = run(claim.trial, most_states=10)
    assert not result.searched.complete
    assert not Proof(claim, result).holds


def test_a_reader_that_never_gives_a_time_is_not_proved_right_by_that() -> None:
    refuses = trial(READERS["linux-vdso"], "kvm", Order.EXIT, "steps")
    proof = prove(Claim("linux-vdso", "kvm", refuses, frozenset({Property.TORN})))
    assert proof.broken == set()
    assert not proof.goes_on
    assert not proof.holds


def test_a_provider_that_leaves_its_version_odd_is_not_gone_on_from() -> None:
    def unfinished(op: Op) -> tuple[Op, ...]:
        ends = isinstance(op, Store) and op.register == "even_version"
        return (Store("flags", "new_flags"),) if ends else (op,)

    writer = edited(WRITERS["xen"].program, "unfinished", unfinished)
    small = replace(trial(READERS["freebsd"], "xen", Order.X86, "stable"), writer=writer)
    proof = prove(Claim("freebsd", "xen", small, frozenset({Property.TORN})))
    assert proof.broken <= {Property.STALE}
    assert not proof.goes_on


def test_a_limit_that_is_not_met_is_not_as_claimed() -> None:
    claim = replace(QUICK[0], limits=frozenset({Property.TORN}))
    assert not prove(claim).holds


def test_what_is_claimed_can_be_chosen() -> None:
    chosen = claims(["linux"], ["xen"], [Order.EXIT])
    assert {(c.reader, c.writer, c.trial.order) for c in chosen} == {("linux", "xen", Order.EXIT)}
    assert claims(["nobody"]) == []


def test_nothing_found_is_counted_too() -> None:
    found: Searched = run(trial(READERS["linux"], None, Order.EXIT, "stable")).searched
    assert (found.complete, found.traces) == (True, {})
    assert found.states > 5
