"""Which instrument makes the stops of a session: the plugin where that can do all that is asked.

The plugin's stops are some ten times as fast, and only look (`timehands.watch.stops.inside`). What
changes the guest, executes something in it, watches data or holds it for a person is the stub's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

from timehands.boot import Prepared
from timehands.debug.request import Debugging
from timehands.errors import UsageError
from timehands.guests.constants import constants_of
from timehands.kernels.expressions import parse as parse_expression
from timehands.kernels.expressions.tree import Register
from timehands.watch.plan import MAX_STOPS
from timehands.watch.stops import View, parse
from timehands.watch.stops.inside import REGISTERS
from timehands.watch.stops.sites import sites_of
from timehands.watch.stops.wants import Data, Want


@dataclass(frozen=True, slots=True)
class Choice:
    """``places`` are the addresses at which the plugin stops; none: the stub does. ``why``: words.

    ``why`` is empty where nothing was to be chosen.
    """

    places: tuple[int, ...] = ()
    why: str = ""

    @property
    def inside(self) -> bool:
        """Whether it is the plugin."""
        return bool(self.places)

    @property
    def note(self) -> str:
        """One line for the user; empty where nothing was to be chosen."""
        maker = "inside the plugin" if self.inside else "by QEMU's stub"
        return f"stops are made {maker}: {self.why}" if self.why else ""


def choose(prepared: Prepared, asked: Debugging) -> Choice:
    """The instrument for what is asked for. Raises `UsageError` for a place that is none."""
    wants = wants_of(asked)
    if (not wants and not asked.answers) or prepared.request.machine.type == "monitor":
        return Choice()  # the monitor has one way to stop a guest: its own stub
    reason = next(_needs_stub(prepared, asked, wants), "")
    if reason:
        return Choice(why=reason)
    view = told_view(prepared)
    found = (sites_of(prepared.kernel, want, view).sites for want in wants)
    places = sorted({site.point.address for sites in found for site in sites})
    if len(places) > MAX_STOPS:
        return Choice(why=f"{len(places):,} places are more than the plugin's {MAX_STOPS:,}")
    deterministic = prepared.request.machine.deterministic
    cost = "it costs no guest time" if deterministic else "guest time runs on meanwhile"
    return Choice(tuple(places), f"nothing is changed, just looked at; {cost}")


def wants_of(asked: Debugging) -> list[Want]:
    """Every place that a session is to stop at."""
    texts = [*(one.function for one in asked.skips), *(f"{path}:*" for path in asked.files)]
    return [*(one.want for one in asked.breaks), *map(parse, texts)]


def told_view(prepared: Prepared) -> View:
    """The kernel's file, and the names of the registers that the plugin tells."""
    registers = dict.fromkeys((*REGISTERS, "rip"), 0)
    constants = constants_of(prepared.knowledge.name)
    return View(prepared.kernel, registers, prepared.kernel.file_memory, constants)


def _needs_stub(prepared: Prepared, asked: Debugging, wants: list[Want]) -> Iterator[str]:
    """Why the plugin cannot do it, if there is a reason."""
    if not asked.inside:
        yield "as was asked for"
    if not prepared.watched:
        yield "the plugin is not there (it needs TCG, and no --no-watch)"
    if asked.answers:
        yield "--cpuid changes what the guest reads"
    if asked.skips:
        yield "--skip changes where the guest goes on"
    for one in asked.breaks:
        if one.sets:
            yield f"--set {one.sets[0]!r} changes the guest"
        if one.asks:
            yield "--ask-cpuid executes something in the guest"
    for want in wants:
        if isinstance(want.where, Data):
            yield f"{want.text!r} is about data, not code"
    yield from _registers_of_stub(prepared, asked)


def _registers_of_stub(prepared: Prepared, asked: Debugging) -> Iterator[str]:
    environment = told_view(prepared).environment
    conditions = (one.want.condition for one in asked.breaks if one.want.condition)
    for text in (*conditions, *(text for one in asked.breaks for text in one.prints)):
        for name in _registers_in(parse_expression(text, environment.is_type)):
            try:
                known = environment.register(name) is not None
            except UsageError:  # an argument that this place does not have
                known = True
            if not known:
                yield f"only that tells ${name}"


def _registers_in(node: object) -> Iterator[str]:
    """The names of the registers in a parsed expression."""
    if isinstance(node, Register):
        yield node.name
    elif isinstance(node, tuple):
        for one in node:
            yield from _registers_in(one)
    elif is_dataclass(node):
        for member in fields(node):
            yield from _registers_in(getattr(node, member.name))
