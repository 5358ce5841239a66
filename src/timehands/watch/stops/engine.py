"""`Stops`: lets a guest run from one stop that was wanted to the next.

::

    stops = Stops(client, kernel)
    await stops.place(parse("tc_init if tc->tc_quality > 0"))
    while (stop := await stops.run(timeout_s=10)) and stop.kind is Kind.WANTED:
        print(stop.why, stop.where, await stop.text("tc->tc_name"))
    print([placed.want.text for placed in stops.placed if not placed.hits])

A want whose condition does not hold, or that an `Action` takes care of (a CPUID leaf is answered, a
function is skipped), stops the guest for a moment and lets it go on. The recording has that moment
too: it costs the guest time as any other. Where another want shows the stop, an action waits until
the guest is let go on: what is looked at is what was there before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, TypeVar

from timehands.errors import CannotSteer, ProtocolBroken, TimehandsError, UsageError
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Pages, Unreadable, settle
from timehands.watch.gdb import BreakKind, Cause, GdbClient, State, StopReply
from timehands.watch.gdb.replies import SIGINT, SIGTRAP
from timehands.watch.stops.again import Looks
from timehands.watch.stops.habits import Habits, Span
from timehands.watch.stops.instrument import Instrument
from timehands.watch.stops.log import Entry, Log
from timehands.watch.stops.operations import operand_of, said
from timehands.watch.stops.placed import Action, Hit, Placed, Points, check_condition
from timehands.watch.stops.sites import Site, Sites, sites_of
from timehands.watch.stops.stop import Kind, Stop, place_name, why_not
from timehands.watch.stops.view import View
from timehands.watch.stops.wants import Data, Operation, Want

T = TypeVar("T")
_DATA: Final = {
    Cause.WRITE: BreakKind.WRITE,
    Cause.READ: BreakKind.READ,
    Cause.ACCESS: BreakKind.ACCESS,
}
#: For a stub to stop a guest that it was asked to stop.
STOP_SECONDS: Final = 5.0
#: Stops in a row that nobody asked for; then it is not the guest that stops.
MAX_STRANGE: Final = 100


class Stops:
    """Breakpoints of one guest, and what happens at them.

    Args:
        client: of the guest's stub, or of the plugin's stops; the guest stands still.
        kernel: what runs in the guest, where it was linked to be (no KASLR).
        constants: named numbers for expressions.
        log: where stops and changes are written.
        anchor: a function that runs early, with paging on: breakpoints that cannot be set before
            (on KVM they are written into the kernel's code) are set there.

    Attributes:
        placed: what is wanted.
        stop: the stop that is under way, None while the guest runs or has not run yet.
        pages: what was read of the guest's memory at this stop.
    """

    def __init__(
        self,
        client: Instrument,
        kernel: Kernel,
        *,
        constants: Mapping[str, int] | None = None,
        log: Log | None = None,
        anchor: int | None = None,
    ) -> None:
        self.client = client
        self.kernel = kernel
        self.constants = constants or {}
        self.log = log or Log(None)
        self.log.instrument = client.instrument
        self.placed: list[Placed] = []
        self.stop: Stop | None = None
        self.pages = Pages()
        self._points = Points(client, anchor)
        self._numbers = 0
        self._ran = False
        self._halting = False
        self._due: list[Hit] = []
        self._places: dict[int, str] = {}
        self._view: View | None = None
        self._strange = 0
        self._habits = Habits()
        self._pcs = (-1, -2)  # of the last two stops, the last one first
        self._looks = Looks()
        self._asked: list[Span] | None = None
        self._since = 0.0

    @property
    def stub(self) -> GdbClient:
        """The client, by which the guest can be changed. Raises `CannotSteer`: it cannot."""
        if isinstance(self.client, GdbClient):
            return self.client
        raise CannotSteer(
            "stops inside the plugin only look: nothing is changed or executed there",
            advice="Take QEMU's stub instead: --stub.",
        )

    # ---- what is wanted

    async def place(
        self, want: Want, *, action: Action | None = None, once: bool = False
    ) -> Placed:
        """Insert what a want needs; the guest stands still. The result also counts what happens.

        Before the guest has run, expressions are of the kernel's file; later of the guest.

        Raises:
            UsageError: no such place, or its condition is no expression.
            StubRefused: not one of the places can be watched.
        """
        found = await self.see(lambda view: self._resolved(want, view))
        self._numbers += 1
        placed = Placed(self._numbers, want, found.sites, found.note, action=action, once=once)
        if isinstance(want.where, Data):
            placed.before = await self._shown(want.where.expression)
        await self._points.add(placed)
        self.placed.append(placed)
        return placed

    def _resolved(self, want: Want, view: View) -> Sites:
        check_condition(want, view)
        return sites_of(self.kernel, want, view)

    async def drop(self, placed: Placed) -> None:
        """Take its breakpoints away. What it has counted stays in it."""
        if placed in self.placed:
            self.placed.remove(placed)
        await self._points.remove(placed)

    # ---- what can be seen

    async def see(self, look: Callable[[View], T], name: Hashable = None) -> T:
        """What a pure function of a `View` says of the guest as it stands.

        Before the guest has run it is shown the kernel's file. ``name`` is for looks that are made
        at many stops (`Looks.see`); the same name is the same look. Raises what the function
        raises.
        """
        if not self._ran:
            return look(View(self.kernel, {}, self.kernel.file_memory, self.constants))
        registers = await self.client.registers()
        if self._view is None or self._view.registers is not registers:
            self._view = View(self.kernel, registers, self.pages, self.constants)
        view = self._view  # what it has found out already, it does not look for again
        await self._prefetch(view.pc)
        if name is None:
            return await settle(lambda _memory: look(view), self.pages, self._fetch)
        return await settle(
            lambda _memory: self._looks.see(name, view, look), self.pages, self._fetch
        )

    async def _prefetch(self, pc: int) -> None:
        """Fetch what was looked at before at a stop here, once a stop."""
        spans = self._habits.of(pc) if self._asked is None else ()
        self._asked, self._since = self._asked or [], time.monotonic()
        if spans:
            self._hold(spans, await self.client.read_each(spans))

    async def _expect(self) -> None:
        """Ask for the registers; where it stopped twice, also for what is looked at there."""
        spans = self._habits.of(self._pcs[0]) if self._pcs[0] == self._pcs[1] else ()
        if spans:
            self._hold(spans, await self.client.registers_and(spans))
        pc = await self._pc()
        if spans and pc == self._pcs[0]:
            self._asked, self._since = [], time.monotonic()
        self._pcs = (pc, self._pcs[0])

    def _hold(self, spans: Sequence[Span], pieces: Sequence[bytes | None]) -> None:
        for (start, _), data in zip(spans, pieces, strict=True):
            if data is not None:
                self.pages.keep(start, data)

    async def _fetch(self, address: int, length: int) -> bytes | None:
        if self._asked is not None:
            self._asked.append((address, length))
            self.client.require_progress(self._since, "read what is looked at")
        return await self.client.read(address, length)

    def changed(self) -> None:
        """The guest's memory was written: what was read of it is forgotten."""
        self.pages.forget()
        self._view = None

    # ---- running

    @property
    def running(self) -> bool:
        """Whether the guest runs now."""
        return self.client.state is State.RUNNING

    async def run(self, timeout_s: float | None = None) -> Stop | None:
        """Let the guest go on to the next stop that is to be shown.

        None: the time is over, and it runs on; call again, or `interrupt`. After a stop of kind
        `Kind.ENDED` there is no other. Raises what the client raises, `StubGone` among it, also
        when that happened at the last stop; `ProtocolBroken` when the guest is stopped again and
        again where nobody asked for it.
        """
        if self.client.trouble:
            raise self.client.trouble
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if not self.running:
            await self.go_on()
            if self._halting:
                await self.client.interrupt()
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            reply = await self.client.wait_stop(left)
            if reply is None:
                return None
            self.stop = await self._judge(reply)
            if self.stop is None and self._halting:
                self.stop = self._made(Kind.INTERRUPTED, await self._entry(reply), "interrupted")
            if self.stop is not None:
                self._halting = False
                return self.stop
            await self.go_on()
            if deadline is not None and time.monotonic() >= deadline:
                return None  # also where stops of no interest come faster than time goes by

    async def step(self) -> Stop | None:
        """Let the vCPU that stopped execute one instruction. None: it waits for something."""
        stub = self.stub
        await self._act()
        self._leave()
        await stub.step()
        reply = await stub.wait_stop(1.0)
        if reply is None:
            return None
        entry = await self._entry(reply)
        ended = reply.ended or reply.signal not in (SIGTRAP, SIGINT)
        kind = Kind.ENDED if ended else Kind.STEPPED
        self.stop = self._made(kind, entry, "one step" if not ended else _end(reply))
        return self.stop

    async def interrupt(self) -> Stop:
        """Stop a guest that runs, wherever it is; a stop that was wanted may come first.

        Raises `UsageError` when it cannot be stopped.
        """
        await self.halt()
        stop = await self.run(STOP_SECONDS)
        if stop is None:
            raise UsageError("the guest could not be stopped")
        return stop

    async def halt(self) -> None:
        """Ask for a stop, also while another task waits in `run`: that returns one then."""
        self._halting = True
        if self.running:
            await self.client.interrupt()

    async def go_on(self) -> None:
        """Let the guest run, and do not wait. `run` waits for its next stop."""
        await self._act()
        self._leave()
        await self.client.resume()

    async def _act(self) -> None:
        """What waited for the stop to be looked at first."""
        due, self._due = self._due, []
        for placed, site in due:
            if placed in self.placed and placed.action and await self._pc() == site.point.address:
                await placed.action(self, site)

    def _leave(self) -> None:
        if self.stop is not None:
            self.stop.over, self.stop = True, None
        if self._view is not None and self._asked is not None:
            self._habits.learn(self._view.pc, self._asked)
        self._ran, self._asked = True, None
        self.changed()
        self.log.go_on()

    # ---- judging a stop

    async def _judge(self, reply: StopReply) -> Stop | None:
        """The stop to show; None: it was of no interest, or was taken care of."""
        entry = await self._entry(reply)
        if reply.signal == SIGINT and not reply.ended:
            return self._made(Kind.INTERRUPTED, entry, "interrupted")
        if reply.signal != SIGTRAP or reply.ended:
            self.log.forget()  # the machine's stop, not ours
            return self._made(Kind.ENDED, entry, _end(reply))
        await self._points.catch_up(entry.pc)
        data = (
            self._points.of_data(_DATA[reply.cause], reply.address) if reply.cause in _DATA else []
        )
        hits = data + self._points.at(entry.pc)
        shown, notes = await self._met(hits, entry)
        if not shown:
            entry.where = self._place(entry.pc)
            entry.why = f"passed: {', '.join(dict.fromkeys(p.want.text for p, _ in hits))}"
            self._require_sense(entry, hits)
            return None
        stop = self._made(Kind.WANTED, entry, entry.why, after=bool(data))
        stop.placed = tuple(placed for placed, _ in shown)
        stop.notes = (*((reply.note,) if reply.note else ()), *notes)
        return stop

    def _require_sense(self, entry: Entry, hits: list[Hit]) -> None:
        """One stop that nobody asked for may be of a breakpoint that was just removed."""
        self._strange = 0 if hits else self._strange + 1
        if not hits:
            entry.why = "nobody asked for it"
        if self._strange > MAX_STRANGE:
            raise ProtocolBroken(
                f"the stub stops the guest again and again, at {entry.where} and elsewhere, "
                "though nobody asked for it",
                advice="Breakpoints of another debugger may be left in it: start the guest anew.",
            )

    async def _entry(self, reply: StopReply) -> Entry:
        vcpu = max(0, reply.thread.thread - 1) if reply.thread else 0
        if reply.ended:
            return self.log.begin(vcpu, 0, "")
        if reply.memory is not None:
            self.pages.keep(*reply.memory)
        await self._expect()
        return self.log.begin(vcpu, self._pcs[0], "", host_ns=reply.host_ns)

    async def _pc(self) -> int:
        """Asked for with all registers: what looks at the stop will need those."""
        pc = self.client.layout.pc
        if pc is None:
            return 0
        known = (await self.client.registers()).get(pc.name)
        return await self.client.register(pc.name) if known is None else known

    def _made(self, kind: Kind, entry: Entry, why: str, after: bool = False) -> Stop:
        """``after``: the instruction that matters is the one before."""
        entry.why = why
        entry.where = self._place(entry.pc - 1 if after else entry.pc)
        return Stop(kind, entry, self)

    def _place(self, pc: int) -> str:
        if pc not in self._places:
            self._places[pc] = place_name(self.kernel, pc) if pc > 0 else ""
        return self._places[pc]

    async def _met(self, hits: list[Hit], entry: Entry) -> tuple[list[Hit], list[str]]:
        """The hits that are to be shown, and what is to be said of them."""
        shown: list[Hit] = []
        notes: list[str] = []
        for placed, site in sorted(hits, key=lambda hit: hit[0].action is not None):
            words = await self._words(placed, site)
            if words is None:
                continue
            placed.reach(site)
            if placed.once:
                await self._points.remove_site(placed, site)
            if not await self._holds(placed, notes):
                continue
            placed.met += 1
            if placed.over or placed.met <= placed.want.passes:
                continue
            if placed.action is not None and shown:
                self._due.append((placed, site))
                continue
            if placed.action is not None and await placed.action(self, site):
                continue
            await self._count(placed)
            entry.why = entry.why or words
            shown.append((placed, site))
            await self._tell_change(placed, entry)
        return shown, notes

    async def _words(self, placed: Placed, site: Site) -> str | None:
        """What to call the hit; None: it is of another leaf, MSR or port."""
        where = placed.want.where
        if not isinstance(where, Operation) or site.instruction is None:
            return placed.want.text if len(placed.sites) == 1 else site.name
        registers = await self.client.registers()
        if where.operand not in (None, operand_of(site.instruction, registers)):
            return None
        return said(site.instruction, registers)

    async def _holds(self, placed: Placed, notes: list[str]) -> bool:
        condition = placed.want.condition
        if not condition:
            return True
        try:
            return await self.see(lambda view: bool(view.value(condition)), ("if", condition))
        except (TimehandsError, Unreadable) as error:
            notes.append(f"whether {condition} cannot be told: {why_not(error)}")
            return True

    async def _count(self, placed: Placed) -> None:
        placed.stops += 1
        if placed.want.most is not None and placed.stops >= placed.want.most:
            placed.over = True
            await self._points.remove(placed)

    async def _tell_change(self, placed: Placed, entry: Entry) -> None:
        where = placed.want.where
        if isinstance(where, Data):
            now = await self._shown(where.expression)
            same = now == placed.before or not placed.before
            entry.values[where.expression] = now if same else f"{now} (was {placed.before})"
            placed.before = now

    async def _shown(self, expression: str) -> str:
        try:
            return await self.see(
                lambda view: view.value(expression).format(1, 8), ("short", expression)
            )
        except (TimehandsError, Unreadable):
            return ""


def _end(reply: StopReply) -> str:
    if reply.cause is Cause.EXITED:
        return "the machine ended"
    return f"the machine stopped (signal {reply.signal})"
