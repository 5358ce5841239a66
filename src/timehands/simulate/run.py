"""Run a scenario: the world moves, an engine evaluates the reads, the judge compares with truth.

>>> from timehands.simulate.run import simulate
>>> from timehands.simulate.scenario_file import shipped
>>> simulate(shipped("restore-jumps"), seed=1).passed
True
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Protocol

from timehands.simulate.outcome import Outcome, judged
from timehands.simulate.providers import PROVIDERS
from timehands.simulate.readers import READERS, Reader
from timehands.simulate.scalar import ScalarEngine
from timehands.simulate.scenario import Scenario
from timehands.simulate.segments import Window
from timehands.simulate.tally import Tallies, Tally
from timehands.simulate.truth import Judge, together
from timehands.simulate.world import World

EngineName = Literal["scalar", "arrays"]


class Engine(Protocol):
    """Evaluates reads into the tallies that it was made with."""

    def window(self, window: Window) -> None:
        """Take a window; it may be evaluated later."""

    def flush(self) -> None:
        """Evaluate all that was taken."""


def simulate(
    scenario: Scenario,
    *,
    seed: int = 0,
    provider: str | None = None,
    reader: str | None = None,
    engine: EngineName = "arrays",
) -> Outcome:
    """Run a scenario; the same seed gives the same outcome, on both engines, everywhere.

    ``provider`` and ``reader`` replace the scenario's; what it expects of its own is then not
    judged. A guest whose provider has no page reads its TSC, whatever its reader is. Raises
    `ScenarioError` for an unknown name.
    """
    own = provider in (None, scenario.provider) and reader in (None, scenario.reader)
    scenario = replace(
        scenario,
        provider=provider or scenario.provider,
        reader=reader or scenario.reader,
        expect=scenario.expect if own else (),
    )
    used = effective_reader(scenario)
    tallies = Tallies(used, [Tally() for _ in range(scenario.vcpus)])
    world = World(scenario, seed, scenario.provider, used)
    judge = Judge(world, tallies)
    _run(world, judge, _engine(engine, tallies))
    return _outcome(scenario, seed, judge, tallies)


def effective_reader(scenario: Scenario) -> Reader:
    """The reader that the guest uses: without a page it is the TSC's."""
    has_page = PROVIDERS[scenario.provider].has_page
    return READERS[scenario.reader if has_page else "tsc"]


def _engine(name: EngineName, tallies: Tallies) -> Engine:
    if name == "scalar":
        return ScalarEngine(tallies)
    from timehands.simulate.arrays import ArraysEngine

    return ArraysEngine(tallies)


def _run(world: World, judge: Judge, engine: Engine) -> None:
    for window in world.windows():
        if window.event is not None:
            engine.flush()
            judge.event(window.event)
        judge.window(window)
        engine.window(window)
        if window.sample:
            engine.flush()
            judge.sample()
    engine.flush()
    judge.sample()
    judge.event(None)


def _outcome(scenario: Scenario, seed: int, judge: Judge, tallies: Tallies) -> Outcome:
    vcpus = judge.vcpus()
    outcome = Outcome(
        scenario=scenario.name,
        title=scenario.title,
        digest=scenario.digest,
        seed=seed,
        provider=scenario.provider,
        reader=tallies.reader.name,
        policy=scenario.policy.value,
        duration_ns=scenario.duration_ns,
        vcpus=vcpus,
        all=together(vcpus),
        warps_across=tallies.across.warps,
        worst_warp_across_ns=tallies.across.worst_warp_ns,
        wall_offset_ns=judge.wall_offset_ns(),
        events=judge.events(),
        samples=judge.samples(),
    )
    return replace(outcome, expectations=judged(scenario.expect, outcome))
