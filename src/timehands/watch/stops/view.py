"""What can be seen of a guest that stands still: values, arguments, callers, the source line.

Everything here is pure and reads from a `Memory` (see `timehands.kernels.memory`); who fetches that
memory is somebody else's matter.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, cast
from weakref import WeakKeyDictionary

from timehands.errors import UsageError
from timehands.kernels.dwarf.locations import Spot
from timehands.kernels.dwarf.scopes import Scopes, entry_place
from timehands.kernels.expressions import Environment, SetMemory, SetRegister, assign, evaluate
from timehands.kernels.expressions.parser import parse
from timehands.kernels.expressions.tree import Node
from timehands.kernels.kernel import Kernel
from timehands.kernels.lines import Source
from timehands.kernels.memory import Memory
from timehands.kernels.places import ARGUMENTS, raw_argument
from timehands.kernels.types import UNSIGNED_LONG
from timehands.kernels.unwind import Backtrace, backtrace
from timehands.kernels.values import Reading, Value

#: The registers that can be known in a caller too.
GENERAL: Final = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11",
                  "r12", "r13", "r14", "r15", "rip")  # fmt: skip
#: Those of them that unwinding mostly needs, and with those that a call preserves.
FRAME: Final = ("rbp", "rsp", "rip")
PRESERVED: Final = (*FRAME, "rbx", "r12", "r13", "r14", "r15")
MAX_TREES: Final = 1024
_scopes: WeakKeyDictionary[Kernel, Scopes] = WeakKeyDictionary()
#: Expressions that were parsed, by their text and where the guest stood.
_trees: WeakKeyDictionary[Kernel, dict[tuple[str, int], Node]] = WeakKeyDictionary()


class Noting(Mapping[str, int]):
    """Registers that note what is asked of them (again.py)."""

    @abstractmethod
    def for_unwinding(self) -> Mapping[str, int]:
        """All of them, to be taken along."""


@dataclass(frozen=True)
class View:
    """A guest as it stands.

    Attributes:
        kernel: what runs in it.
        registers: of the vCPU looked at, by name.
        memory: of the guest, by virtual address.
        constants: named numbers for expressions.
        cfa: what ``rsp`` was before the call of the function looked at; None: it is found out.
        unwinds: the registers that are taken along to the callers.
    """

    kernel: Kernel
    registers: Mapping[str, int]
    memory: Memory
    constants: Mapping[str, int] = field(default_factory=dict)
    cfa: int | None = None
    unwinds: tuple[str, ...] = GENERAL

    @property
    def pc(self) -> int:
        """The instruction pointer."""
        return self.registers.get("rip", 0)

    def value(self, expression: str) -> Value:
        """The value of a C expression. Raises `ExpressionError`; see `Value` for what is read."""
        trees, key = _trees.setdefault(self.kernel, {}), (expression, self.pc)
        tree = trees.get(key)
        if tree is None:  # which names are types depends on the kernel and the place only
            if len(trees) >= MAX_TREES:
                trees.clear()
            tree = trees[key] = parse(expression, self.environment.is_type)
        return evaluate(expression, self.environment, tree)

    def change(self, assignment: str) -> SetMemory | SetRegister:
        """What to write for ``tsc_freq = 1``. Raises `ExpressionError`."""
        return assign(assignment, self.environment)

    def arg(self, which: str | int) -> Value:
        """An argument of the function where the guest stands, by its name or its number from 0.

        A number needs no types: without them the argument is a plain integer, right at a
        function's first instruction. Raises `UsageError` when there is none such.
        """
        named = self.arguments
        if isinstance(which, str):
            if which in named:
                return named[which]
            raise UsageError(self._no_argument(which))
        if 0 <= which < len(named):
            return list(named.values())[which]
        if named or not 0 <= which < len(ARGUMENTS):
            raise UsageError(self._no_argument(which))
        return Value(UNSIGNED_LONG, self.reading, raw_argument(which))

    @cached_property
    def arguments(self) -> dict[str, Value]:
        """The arguments whose names are known, in order."""
        dwarf = self.kernel.dwarf
        if dwarf is not None:
            return _scopes_of(self.kernel).arguments(self._spot)
        place, types = self.kernel.symbols.find(self.pc), self.kernel.type_source
        function = types.function(place.name.split(".")[0]) if place and types else None
        if function is None or place is None or place.offset:
            return {}
        return {
            name: Value(kind, self.reading, entry_place(function, name, self._spot))
            for name, kind in function.parameters
        }

    def backtrace(self, most: int = 32) -> Backtrace:
        """Who called what is under way, innermost first."""
        return backtrace(self.kernel, self._general, self.memory, most)

    @cached_property
    def _general(self) -> Mapping[str, int]:
        """The registers that unwinding is about: a stub tells of seventy."""
        known = self.registers
        held = known.for_unwinding() if isinstance(known, Noting) else known
        return {name: value for name in self.unwinds if (value := held.get(name)) is not None}

    def caller(self, number: int) -> View:
        """The guest as it was in a caller: 0 is this, 1 who called it, and so on.

        Only the registers that the stack tells are known there. Raises `UsageError` when there are
        not so many callers.
        """
        if not number:
            return self
        frames = self.backtrace(number + 1)
        if len(frames) <= number:
            raise UsageError(f"there is no frame {number}: {frames.ended}")
        frame, inner = frames[number], frames[number - 1]
        known = {"rip": frame.pc - 1}
        if inner.cfa is not None:
            known["rsp"] = inner.cfa
        return View(self.kernel, known, self.memory, self.constants, frame.cfa)

    @property
    def source(self) -> Source | None:
        """The source line, None where it is not known."""
        return self.kernel.lines.place(self.pc) if self.kernel.lines else None

    @cached_property
    def reading(self) -> Reading:
        """What values are read from."""
        return Reading(self.memory, self.registers, self.kernel.symbols)

    @cached_property
    def environment(self) -> Environment:
        """What the names in an expression stand for here."""
        return Environment(
            self.reading,
            types=self.kernel.type_source,
            constants=self.constants,
            locals=self._local,
            sizes=self.kernel.symbol_sizes.get,
        )

    def _local(self, name: str) -> Value | None:
        if "rip" not in self.registers:
            return None
        if self.kernel.dwarf is None:
            return self.arguments.get(name)
        if name not in self._locals:
            scopes = _scopes_of(self.kernel)
            known = scopes.knows(name, self.pc)
            self._locals[name] = scopes.lookup(name, self._spot) if known else None
        return self._locals[name]

    @cached_property
    def _locals(self) -> dict[str, Value | None]:
        """Those that were asked for: an expression asks several times."""
        return {}

    @cached_property
    def _spot(self) -> Spot:
        return cast("Spot", _Here(self))

    @cached_property
    def _found_cfa(self) -> int | None:
        if self.cfa is not None or "rsp" not in self.registers:
            return self.cfa
        frames = backtrace(self.kernel, self._general, self.memory, 1, source=False)
        return frames[0].cfa if frames else None

    def _no_argument(self, which: str | int) -> str:
        place = self.kernel.symbols.find(self.pc)
        function = place.name if place else f"{self.pc:#x}"
        if self.arguments:
            return f"{function} has no argument {which}: it takes {', '.join(self.arguments)}"
        if isinstance(which, str):
            return (
                f"the names of the arguments of {function} are not known (no types here): "
                "give the number, from 0"
            )
        return f"{function}: arguments are numbered from 0 to {len(ARGUMENTS) - 1}"


class _Here:
    """A `Spot` whose frame is looked for when something in it is asked for: most arguments are in
    registers where a function begins."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.reading = view.reading
        self.pc = view.pc

    @property
    def cfa(self) -> int | None:
        return self._view._found_cfa


def _scopes_of(kernel: Kernel) -> Scopes:
    """Kept with the kernel: it reads debug information once."""
    found = _scopes.get(kernel)
    if found is None:
        assert kernel.dwarf is not None
        found = _scopes[kernel] = Scopes(kernel.dwarf)
    return found
