"""One stop of a guest: why and where, and what can be asked while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, TypeVar

from timehands.errors import TimehandsError, UsageError
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Unreadable
from timehands.kernels.unwind import Backtrace, Frame
from timehands.kernels.unwind.frames import How
from timehands.kernels.unwind.source import in_source
from timehands.watch.stops.log import Entry
from timehands.watch.stops.placed import Placed
from timehands.watch.stops.view import View

if TYPE_CHECKING:
    from timehands.watch.stops.engine import Stops

T = TypeVar("T")
#: How deep, and how many elements of, a value is printed.
DEPTH: Final = 3
ELEMENTS: Final = 32


class Kind(Enum):
    """Why the guest stands still."""

    WANTED = "wanted"
    INTERRUPTED = "interrupted"  # by us, at some moment
    STEPPED = "stepped"
    ENDED = "ended"  # the machine stopped by itself: it goes on no more


@dataclass(eq=False)
class Stop:
    """The guest stands still until it is let go on; then nothing more can be asked of this.

    Attributes:
        kind: what sort of stop it is.
        entry: what the recording will say: times, vCPU, why, where; printed values are added.
        placed: the wants that asked for it.
        notes: what the reader should know about it.
        over: the guest has gone on.
    """

    kind: Kind
    entry: Entry
    stops: Stops
    placed: tuple[Placed, ...] = ()
    notes: tuple[str, ...] = ()
    over: bool = False

    @property
    def index(self) -> int:
        """Its number in the recording, from 0."""
        return self.entry.index

    @property
    def vcpu(self) -> int:
        """The vCPU that stopped, from 0."""
        return self.entry.vcpu

    @property
    def pc(self) -> int:
        """Where it is: the next instruction."""
        return self.entry.pc

    @property
    def why(self) -> str:
        """What asked for it; of an operation, what it is about to do."""
        return self.entry.why

    @property
    def where(self) -> str:
        """The place in the kernel: ``tc_init at kern_tc.c:1184``."""
        return self.entry.where

    async def registers(self) -> Mapping[str, int]:
        """The registers of the vCPU that stopped, by name."""
        self._require_now()
        return await self.stops.client.registers()

    async def see(self, look: Callable[[View], T], name: Hashable = None) -> T:
        """What a pure function of a `View` says: it may be run several times, or not at all.

        ``name`` is as in `Stops.see`. Raises what the function raises, `UsageError` when the guest
        has gone on.
        """
        self._require_now()
        return await self.stops.see(look, name)

    async def text(self, expression: str) -> str:
        """A C expression's value as a debugger prints it; kept in the recording.

        Raises `ExpressionError`. A value that cannot be read is said to be so in the text.
        """
        text = await self.see(
            lambda view: view.value(expression).format(DEPTH, ELEMENTS), ("text", expression)
        )
        self.entry.values[expression] = text
        return text

    async def text_or_why(self, expression: str) -> str:
        """The same, or in words why it has none."""
        try:
            return await self.text(expression)
        except (TimehandsError, Unreadable) as error:
            self.entry.values[expression] = f"<{why_not(error)}>"
            return self.entry.values[expression]

    async def number(self, expression: str) -> int:
        """A C expression as a number. Raises `ExpressionError`, `ValueUnreadable`."""
        return await self.see(lambda view: int(view.value(expression)), ("number", expression))

    async def backtrace(self, most: int = 32) -> Backtrace:
        """Who called what is under way; kept in the recording."""
        found = await self.see(lambda view: view.backtrace(most), ("backtrace", most))
        self.entry.backtrace = found.names
        return found

    def _require_now(self) -> None:
        if self.over:
            raise UsageError(
                f"stop s{self.index} is over: the guest has gone on",
                advice="Ask while it lasts: before the guest is let go on.",
            )


def why_not(error: Exception) -> str:
    """Why an expression has no value, on one line."""
    reason = getattr(error, "reason", "") or getattr(error, "message", "") or str(error)
    advice = getattr(error, "advice", "")
    return f"{reason}: {advice[:1].lower()}{advice[1:].rstrip('.')}" if advice else reason


def place_name(kernel: Kernel, pc: int) -> str:
    """``tc_init at kern_tc.c:1184``, ``tc_init+0x12`` without source lines.

    The function is the one that the code is of, with its own line, also where the instruction is
    one of another that was inlined there: a backtrace names that one before it.
    """
    place = kernel.symbols.find(pc)
    if place is None:
        return f"{pc:#x}"
    frame = in_source(kernel, Frame(pc, place.name, place.offset, How.REGISTER), pc)[-1]
    if frame.file is not None and frame.line:
        return f"{frame.name} at {PurePosixPath(frame.file).name}:{frame.line}"
    return f"{place.name}+{place.offset:#x}" if place.offset else place.name
