"""What to watch in a kernel: which functions, and what to read when they are entered and left.

A plan is made by the knowledge of an operating system (`timehands.guests`) from a kernel's symbols,
and given to the watcher as a small text file (payloads/watch_functions.c reads it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

MAX_READS = 8
MAX_FUNCTIONS = 4096
#: As payloads/watch_stops.c.
MAX_STOPS = 1 << 16
#: A read starts from one of the six argument registers (0 to 5), or from an address.
_FROM_ADDRESS = 6
_WALK = "w"


@dataclass(frozen=True, slots=True)
class Read:
    """A value to read from guest memory at a function's entry or return.

    It starts from argument number ``argument`` or from ``address`` (a global variable), follows
    ``path``: each offset but the last leads to a pointer, the last one to ``length`` bytes (at most
    80), or to a string of at most that length.

    ``walk`` instead follows the chain of frame pointers from rbp: the result is up to
    ``length / 8`` return addresses, the caller's caller first (every ENTER event has the caller).
    """

    name: str
    length: int
    path: tuple[int, ...] = (0,)
    argument: int | None = None
    address: int = 0
    string: bool = False
    at_return: bool = False
    walk: bool = False

    def line(self, function: int) -> str:
        """The read as the plugin takes it."""
        base = self.argument if self.argument is not None else _FROM_ADDRESS
        form = _WALK if self.walk else "s" if self.string else "b"
        words = [f"R {function} {int(self.at_return)} {base} {form}"]
        words += [f"{self.length} {self.address:x} {len(self.path) - 1}"]
        return " ".join([*words, *map(str, self.path)])


@dataclass(frozen=True, slots=True)
class Function:
    """A function to watch, from ``start`` to before ``end`` (guest virtual addresses).

    ``parts`` are the ranges that the compiler split off it (``.cold``, ``.part.0``).
    ``device``: every access of the function to a clock device's memory is an event.
    ``anchor``: its first bytes ``code`` show by how much KASLR has moved the kernel.
    """

    name: str
    start: int
    end: int
    enter: bool = True
    leave: bool = True
    device: bool = False
    anchor: bool = False
    code: bytes = b""
    reads: tuple[Read, ...] = ()
    parts: tuple[tuple[int, int], ...] = ()

    def lines(self, number: int) -> Iterator[str]:
        """The function as the plugin takes it, then its parts, from which it may return too."""
        flags = self.enter | self.leave << 1 | self.device << 2 | self.anchor << 3
        code = self.code[:8].ljust(8, b"\0").hex()
        yield f"F {number} {self.start:x} {self.end:x} {flags:x} {code}"
        yield from self._read_lines(number)
        for start, end in self.parts:
            yield f"F {number} {start:x} {end:x} {self.leave << 1 | self.device << 2:x} {'00' * 8}"
            yield from self._read_lines(number)

    def _read_lines(self, number: int) -> Iterator[str]:
        return (read.line(number) for read in self.reads[:MAX_READS])


@dataclass(frozen=True, slots=True)
class Plan:
    """The functions to watch. Their numbers in events are their positions here.

    ``stops`` are addresses, each once, at which the plugin lets the owner of its socket look
    (`timehands.watch.stops.inside`): of one guest, and so no part of the plan's JSON.
    """

    functions: tuple[Function, ...] = ()
    return_thunk: int | None = None
    #: Code out of line that jumps back to where it came from (Linux: .altinstr_aux).
    detour: tuple[int, int] | None = None
    stops: tuple[int, ...] = ()

    def text(self) -> str:
        """The file that the plugin reads."""
        lines = [f"T {self.return_thunk:x}"] if self.return_thunk else []
        if self.detour:
            lines.append(f"D {self.detour[0]:x} {self.detour[1]:x}")
        for number, function in enumerate(self.functions[:MAX_FUNCTIONS]):
            lines += function.lines(number)
        lines += [f"S {address:x}" for address in self.stops[:MAX_STOPS]]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON types; `from_json` is the way back."""
        functions = [{**asdict(f), "code": f.code.hex()} for f in self.functions]
        return {"functions": functions, "return_thunk": self.return_thunk, "detour": self.detour}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The plan that `to_json` wrote. Raises KeyError, TypeError, ValueError when it is none."""
        detour = data["detour"]
        return cls(
            tuple(_function(row) for row in data["functions"]),
            data["return_thunk"],
            (int(detour[0]), int(detour[1])) if detour else None,
        )

    @property
    def finds_slide(self) -> bool:
        """Whether the plan can tell by how much the kernel was moved."""
        return any(function.anchor for function in self.functions)


def _function(row: Mapping[str, Any]) -> Function:
    known = {
        **row,
        "code": bytes.fromhex(row["code"]),
        "reads": tuple(Read(**{**read, "path": tuple(read["path"])}) for read in row["reads"]),
        "parts": tuple((int(start), int(end)) for start, end in row["parts"]),
    }
    return Function(**known)
