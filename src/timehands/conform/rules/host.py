"""What the host does to the whole machine, against the policy that it declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timehands.clocks.pvclock.numbers import Flags
from timehands.conform.facts import Facts, Missing
from timehands.conform.log import Sample
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, held, noted, passed

#: What a host may need to stop its vCPUs and to let them go on, where it does not say itself.
SLACK_NS = 30_000_000
#: The clock is read a little before its vCPUs stop, and set a little before they go on.
EDGE_NS = 5_000_000


def _ends(facts: Facts, what: str) -> tuple[Sample, Sample]:
    """The last sample before it, and the first one after it."""
    for word in (f"cannot{what}", f"failed{what}"):
        if word in facts.log.notes:
            raise Missing(facts.log.notes[word].get("why", "it failed").replace("-", " "))
    facts.numbers(f"host.{what}")
    start = int(facts.note(what)["from"], 0)
    samples = [s for s in facts.rows("before", "after") if "ns" in s.numbers and s.came_ns]
    before = [s for s in samples if (s.came_ns or 0) <= start]
    after = [s for s in samples if (s.asked_ns or 0) > start]
    if not before or not after:
        raise Missing("no samples of pvclock before and after it")
    return before[-1], after[0]


def _monotonic(what: str) -> Callable[[Facts], Outcome]:
    def rule(facts: Facts) -> Outcome:
        before, after = _ends(facts, what)
        back = facts.one(f"host.{what}")("backwards", 0)
        step = after.numbers["ns"] - before.numbers["ns"]
        saw = f"pvclock {step / 1e6:+,.1f} ms from the last look before to the first after"
        return held(step >= 0 and not back, saw)

    return rule


def _policy(what: str) -> Callable[[Facts], Outcome]:
    def rule(facts: Facts) -> Outcome:
        before, after = _ends(facts, what)
        note = facts.note(what)
        most = int(note["to"], 0) - int(note["from"], 0)
        gone = Span(int(note.get("least", "0"), 0) or most - SLACK_NS, most)
        elapsed = Span(
            (after.asked_ns or 0) - (before.came_ns or 0),
            (after.came_ns or 0) - (before.asked_ns or 0),
        )
        step = after.numbers["ns"] - before.numbers["ns"]
        stood = Span(elapsed.low - gone.high, elapsed.high - gone.low)
        did = {
            "wall": elapsed.wider(0, EDGE_NS).meets(Span(step, step)),
            "monotonic": stood.wider(0, EDGE_NS).meets(Span(step, step)),
        }
        how = next((name for name, fits in did.items() if fits), "neither")
        words = {"wall": "it caught up", "monotonic": "it stood still meanwhile"}
        saw = f"{gone.middle / 1e6:,.0f} ms away, pvclock {step / 1e6:+,.1f} ms: "
        saw += words.get(how, "neither stood still nor caught up")
        declared = note.get("policy", "")
        if not declared:
            return noted(f"{saw}; no policy is declared") if how != "neither" else failed(saw)
        return held(did.get(declared, False), f"{saw}; declared: {declared}")

    return rule


def _told(what: str) -> Callable[[Facts], Outcome]:
    def rule(facts: Facts) -> Outcome:
        _, after = _ends(facts, what)
        if facts.one(f"host.{what}")("flags_later") & Flags.GUEST_STOPPED:
            return failed("GUEST_STOPPED is set again after the guest has cleared it")
        if after.numbers["flags"] & Flags.GUEST_STOPPED:
            return passed("GUEST_STOPPED is set after it, and stays clear once it is cleared")
        return failed("GUEST_STOPPED is not set after it")

    return rule


RULES: Mapping[str, Callable[[Facts], Outcome]] = {
    f"host.{what}_{name}": make(what)
    for what in ("pause", "snapshot", "migration")
    for name, make in (("monotonic", _monotonic), ("policy", _policy), ("told", _told))
}
