"""Where in a tree the functions are that a recording speaks of.

The kernel's own line tables (DWARF) tell; a kernel without them leaves names, whose definitions the
cross reference may know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from timehands.errors import KernelDamaged, KernelError, SourceUnknown
from timehands.kernels.kernel import Kernel
from timehands.kernels.lines import Source
from timehands.kernels.types import FunctionInfo
from timehands.kernels.unwind.frames import Frame as Unwound
from timehands.kernels.unwind.frames import How
from timehands.kernels.unwind.image import Image
from timehands.kernels.unwind.source import in_source
from timehands.reports.sourced.model import Frame
from timehands.reports.sourced.paths import Paths
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where
from timehands.watch.recording import Recording
from timehands.watch.records import Kind

#: Finds where a function is defined, without debug information; None: it does not know.
Definition = Callable[[str], Where | None]
#: Between a function and the one that it ran inlined in, in the name of an address.
INLINED_IN: Final = " < "
_TOP: Final = 1 << 64


class Places:
    """The places of a recording's functions.

    Args:
        kernel: the recording's kernel, opened; None: only names are known.
        definition: where a function is defined, asked when the kernel does not say.
    """

    def __init__(
        self,
        recording: Recording,
        tree: SourceTree,
        kernel: Kernel | None,
        definition: Definition | None = None,
    ) -> None:
        self._recording, self._kernel, self._definition = recording, kernel, definition
        self.paths = Paths(tree)
        moved = (event.values[0] for event in recording.events if event.kind is Kind.SLIDE)
        self.slide = next(moved, 0)
        self._image = Image(kernel, self.slide) if kernel else None
        self._by_name = _addresses(recording)
        self._frames: dict[str, Frame] = {}

    def at(self, address: int) -> tuple[Frame, ...]:
        """The place of an address of the guest, as it ran, within what was inlined there.

        Innermost first. Of a return address the call before it is meant. Empty: it has no name.
        """
        name = self._recording.symbols.get(address)
        if name is None:
            return ()
        outer = name.split(INLINED_IN)[-1].split("+")[0]
        if self._image is None or self._kernel is None:
            return (self.function(outer),)
        returns = self._image.after_call(address)
        unwound = Unwound(address, outer, 0, How.CODE)
        rows = in_source(self._kernel, unwound, (address - self.slide - returns) % _TOP)
        return tuple(
            self._frame(row.name, row.file, row.line, True) if row.file and row.line
            else self._begins(row.name)
            for row in rows
        )  # fmt: skip

    def inlined_at(self, address: int) -> list[tuple[str, str]]:
        """What was inlined at an address of the guest: files and names.

        Where the kernel's lines tell nothing, the recording's own names do, without the files.
        """
        if self._kernel is not None and self._kernel.lines is not None:
            inner = self.at(address)[:-1]
            if inner:
                return [(one.where.file if one.where else "", one.function) for one in inner]
        name = self._recording.symbols.get(address, "")
        return [("", one) for one in name.split(INLINED_IN)[:-1]]

    def _frame(self, function: str, path: str, line: int, exact: bool) -> Frame:
        file = self.paths.find(path)
        return Frame(function, Where(file, line) if file and line else None, exact, path)

    def function(self, name: str, near: frozenset[int] = frozenset()) -> Frame:
        """A function by its name: the line where it was, or else where it begins.

        ``near`` are the addresses that came with what is told, of which one may be within it.
        """
        seen = [address for address in self._by_name.get(name, ()) if address in near]
        return self._seen(name, seen) or self._begins(name)

    def _seen(self, name: str, addresses: Sequence[int]) -> Frame | None:
        """By the only line of these addresses."""
        found = {
            frame for address in addresses for frame in self.at(address) if frame.function == name
        }
        return found.pop() if len(found) == 1 else None

    def _begins(self, name: str) -> Frame:
        if name not in self._frames:
            self._frames[name] = self._defined(name)
        return self._frames[name]

    def _defined(self, name: str) -> Frame:
        info = self.info(name)
        if info is not None and info.file:
            return self._frame(name, info.file, info.line, False)
        source = self._assembled(name)
        if source is not None:
            return self._frame(name, source.path, source.line, False)
        return Frame(name, self._definition(name) if self._definition else None)

    def _assembled(self, name: str) -> Source | None:
        """By the line of its address: of what was written in assembly nothing else tells."""
        lines = self._kernel.lines if self._kernel else None
        addresses = self._kernel.symbols.lookup(name) if self._kernel else ()
        try:
            return lines.place(addresses[0]) if lines and len(addresses) == 1 else None
        except KernelDamaged:
            return None

    def info(self, name: str) -> FunctionInfo | None:
        """What debug information says of a function."""
        dwarf = self._kernel.dwarf if self._kernel else None
        try:
            return dwarf.function(name) if dwarf else None
        except KernelDamaged:
            return None

    def functions_of(self, path: str) -> list[FunctionInfo]:
        """The functions with code that a file of the tree defines.

        Raises `SourceUnknown` when the kernel has no code from it, or no line tables.
        """
        lines = self._kernel.lines if self._kernel else None
        if lines is None:
            raise SourceUnknown("the kernel has no line tables (DWARF)")
        return lines.functions_of(path)

    def spans(self, name: str) -> list[tuple[int, int]] | None:
        """Where the kernel's functions of a name begin and end, as linked, by its symbols.

        None: its symbols are not at hand.
        """
        if self._kernel is None or self._image is None or not len(self._kernel.symbols):
            return None
        symbols = self._kernel.symbols
        return [
            (start, start + symbols.size_of(start)) for start in symbols.lookup(name)
            if self._image.in_text((start + self.slide) % _TOP)
        ]  # fmt: skip

    def known(self, name: str) -> bool:
        """Whether the kernel has a function of that name."""
        if name in self._by_name:
            return True
        if self._kernel is None or self._image is None:
            return False
        found = self._kernel.symbols.lookup(name)
        return any(self._image.in_text((one + self.slide) % _TOP) for one in found)


def _addresses(recording: Recording) -> dict[str, list[int]]:
    """The addresses within functions, by the names of all that were inlined there."""
    found: dict[str, list[int]] = {}
    for address, name in recording.symbols.items():
        if "+" in name:
            for one in name.split(INLINED_IN):
                found.setdefault(one.split("+")[0], []).append(address)
    return found


def kernel_of(recording: Recording, path: Path | None = None) -> tuple[Kernel | None, str]:
    """The kernel that was recorded, if its file is still there; else why not.

    ``path`` names it where it was moved to. A file of another content is not taken.
    """
    identity = recording.header.kernel
    file = path or Path(identity.path)
    try:
        kernel = Kernel.open(file)
    except KernelError as error:
        return None, f"the recorded kernel cannot be read ({error.message}): name it with --kernel"
    if kernel.sha256 != identity.sha256:
        return None, f"{file} is not the recorded kernel any more: its content is another"
    if kernel.lines is None:
        return kernel, f"{file} has no line tables (DWARF): of its functions only names are known"
    return kernel, ""
