"""What is claimed of each reader with each provider, under which order, within which bounds.

A claim promises properties, which the search must not find broken, and states limits: properties
that are known not to hold there, which the search must find broken. So a limit is a result too, and
neither can become untrue unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from timehands.clocks.pvclock.programs.readers import READERS, Clamp, Reader
from timehands.clocks.pvclock.programs.run import run as alone
from timehands.clocks.pvclock.programs.wall import WALL_READERS
from timehands.clocks.pvclock.programs.writers import WALL_WRITERS, WRITERS
from timehands.simulate.explorer.judge import Property
from timehands.simulate.explorer.orders import Order
from timehands.simulate.explorer.pages import BACK_NS
from timehands.simulate.explorer.trial import Result, Trial, run

_TORN, _STALE, _BACK = Property.TORN, Property.STALE, Property.BACKWARD
_ACROSS, _FROZEN = Property.ACROSS, Property.FROZEN
#: Readers that are claimed to be right.
RIGHT = ("linux", "linux-vdso", "freebsd", "netbsd", "openbsd")
#: Readers whose searches are small: their TSC comes before the data, and waits for the version.
_SMALL = ("linux", "linux-vdso", "freebsd")
#: Readers whose program is another's with stronger barriers (NetBSD's).
_STRONGER = ("openbsd",)
#: Readers of the wall clock that do not look at its version again.
_NOT_AGAIN = ("openbsd",)
#: Readers of a page that other vCPUs read too, and how many of their accesses are in flight in
#: searches with two of them. (Those of the BSDs wait for a late TSC with everything they loaded.)
_SHARING = {"linux": 12, "linux-vdso": 12, "netbsd": 4, "openbsd": 4}


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of the proof. ``quick``: small enough for a test."""

    reader: str
    writer: str
    trial: Trial
    promises: frozenset[Property]
    limits: frozenset[Property] = frozenset()
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """A claim and what the search found."""

    claim: Claim
    result: Result

    @property
    def broken(self) -> frozenset[Property]:
        """The properties of which a breach was found."""
        return frozenset(Property(name) for name in self.result.searched.traces)

    @property
    def goes_on(self) -> bool:
        """Times were accepted, and once the provider rests a reader comes to its end in one go."""
        found, fields = self.result.searched, self.result.rules.fields
        memories = [dict(zip(fields, memory, strict=True)) for memory in found.resting]
        reader = self.claim.trial.readers[0]
        ran = [alone(reader, memory, lambda: 0, most_steps=100) for memory in memories]
        return found.times > 0 and bool(ran) and all(one.ended for one in ran)

    @property
    def holds(self) -> bool:
        """Everything promised holds, each limit was met, and every state was visited."""
        complete = self.result.searched.complete and self.goes_on
        return complete and not self.broken & self.claim.promises and self.broken >= self.limits

    @property
    def limits(self) -> frozenset[Property]:
        """The limits of the claim."""
        return self.claim.limits


def prove(claim: Claim) -> Proof:
    """Search everything within the bounds of a claim."""
    return Proof(claim, run(claim.trial))


def claims(
    readers: Iterable[str] = (), writers: Iterable[str] = (), orders: Iterable[Order] = ()
) -> list[Claim]:
    """The claims that are about any of these; an empty choice is everything."""
    readers, writers, orders = tuple(readers), tuple(writers), tuple(orders)
    return [
        claim
        for claim in _claims()
        if (not readers or claim.reader in readers)
        and (not writers or claim.writer in writers)
        and (not orders or claim.trial.order in orders)
    ]


def _claims() -> Iterator[Claim]:
    for name in RIGHT:
        reader = READERS[name]
        for writer in WRITERS:
            yield from _exits(reader, writer)
            yield from _one_reader(reader, writer)
        yield from _two_readers(reader)
    yield from _known_wrong()
    yield from _walls()


def trial(reader: Reader, writer: str | None, order: Order, setting: str, **bounds: int) -> Trial:
    """A trial of one of `READERS` with one of `WRITERS`; the bounds are fields of `Trial`."""
    program = WRITERS[writer].program if writer else None
    made = Trial(
        order,
        (reader.program,),
        program,
        setting,
        delta_clamped=bool(reader.clamp & Clamp.DELTA),
    )
    return replace(made, **bounds)  # type: ignore[arg-type]


def _exits(reader: Reader, writer: str) -> Iterator[Claim]:
    for setting, promises in _EXIT_SETTINGS.items():
        if setting == "steps" and reader.needs_stable:
            continue  # it gives no time there
        made = trial(reader, writer, Order.EXIT, setting, reads=2)
        yield Claim(reader.name, writer, made, promises, quick=True)


#: Where STABLE pages go back (``turns``) no reader can promise that its times do not.
_EXIT_SETTINGS: Mapping[str, frozenset[Property]] = {
    "moves": frozenset({_TORN, _STALE, _BACK, _FROZEN}),
    "steps": frozenset({_TORN, _STALE, _BACK, _FROZEN}),
    "turns": frozenset({_TORN, _STALE}),
}


def _one_reader(reader: Reader, writer: str) -> Iterator[Claim]:
    """A provider on another CPU: the TSC may be read after the page was replaced."""
    torn, stale = frozenset({_TORN}), frozenset({_STALE})
    x86 = trial(reader, writer, Order.X86, "turns", ticks=0)
    yield Claim(
        reader.name, writer, x86, torn, stale, quick=reader.name in _SMALL and writer == "xen"
    )
    if writer != "kvm" and reader.name != "linux":
        return  # Xen's stores are KVM's without the second odd version and without kept flags
    weak = trial(reader, writer, Order.WEAK, "turns", ticks=0, updates=1)
    yield Claim(reader.name, writer, weak, torn, stale)
    if reader.name not in _STRONGER:
        weak = trial(reader, writer, Order.WEAK, "stable", ticks=0)
        yield Claim(reader.name, writer, weak, torn, stale)
    if writer != "kvm":
        return
    setting = "stable" if reader.needs_stable else "steps"
    twice = trial(reader, writer, Order.X86, setting, reads=2, updates=1)
    yield Claim(reader.name, writer, twice, frozenset({_TORN, _BACK, _FROZEN}), stale)


def _two_readers(reader: Reader) -> Iterator[Claim]:
    promises = frozenset({_TORN, _BACK, _ACROSS, _FROZEN})
    if reader.name in _SHARING:
        window = _SHARING[reader.name]
        one = trial(reader, "kvm", Order.X86, "stable", updates=1, window=window)
        both = replace(one, readers=(reader.program,) * 2)
        yield Claim(reader.name, "kvm", both, promises, frozenset({_STALE}))
    if reader.clamp & Clamp.LAST_VALUE:
        for order in (Order.X86, Order.WEAK):
            yield Claim(reader.name, "", apart(reader, order), promises, quick=True)


def apart(reader: Reader, order: Order) -> Trial:
    """Two vCPUs whose pages, of which none is stable, differ by a few ns and are not updated."""
    one = trial(reader, None, order, "steps", updates=1, apart_ns=BACK_NS, ticks=1)
    return replace(one, readers=(reader.program,) * 2)


def _known_wrong() -> Iterator[Claim]:
    """OpenBSD's first revision reads the TSC outside of the protocol."""
    reader = READERS["openbsd-1"]
    moves = trial(reader, "kvm", Order.EXIT, "moves", reads=2)
    yield Claim(reader.name, "kvm", moves, frozenset(), frozenset({_TORN, _STALE}), quick=True)
    stable = trial(reader, "kvm", Order.EXIT, "stable", reads=2)
    yield Claim(
        reader.name, "kvm", stable, frozenset({_TORN, _BACK}), frozenset({_STALE}), quick=True
    )
    x86 = trial(reader, "kvm", Order.X86, "stable", ticks=0)
    yield Claim(reader.name, "kvm", x86, frozenset(), frozenset({_TORN, _STALE}))


def _walls() -> Iterator[Claim]:
    """The wall clock.

    KVM's writer has no barriers: nobody reads while it writes, or the order is x86's. A reader that
    does not look again relies on nobody writing while it reads.
    """
    torn, none = frozenset({_TORN}), frozenset[Property]()
    for name, reader in WALL_READERS.items():
        for writer, wall in WALL_WRITERS.items():
            for order in Order:
                made = Trial(order, (reader,), wall.program, "wall")
                wrong = name in _NOT_AGAIN or (writer, order) == ("kvm", Order.WEAK)
                promises, limits = (none, torn) if wrong else (torn, none)
                yield Claim(f"{name}-wall", writer, made, promises, limits, quick=True)
