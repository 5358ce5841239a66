"""Which headers a file sees, through those that it includes: by their paths' ends.

Where a compiler looks is not known here. Of several headers that fit, the nearest to who includes
is taken, and then the one that lies highest. ``machine/x.h`` is an architecture's ``include/x.h``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_INCLUDE: Final = re.compile(
    rb"^[ \t]*#[ \t]*include[ \t]*[<\"]([^>\"\n]{1,200})[>\"]", re.MULTILINE
)
_MOST: Final = 4000


class Includes:
    """The headers of an index. ``paths``: by number; ``read`` gives a file's bytes."""

    def __init__(self, paths: Mapping[int, str], read: Callable[[int], bytes]) -> None:
        self._paths, self._read = paths, read
        self._headers: dict[str, list[int]] = {}
        for number, path in paths.items():
            if path.endswith(".h"):
                self._headers.setdefault(path.rpartition("/")[2], []).append(number)
        self._direct: dict[int, tuple[int, ...]] = {}
        self._seen: dict[int, frozenset[int]] = {}

    def seen(self, file: int) -> frozenset[int]:
        """The headers that a file includes, and those that these include."""
        if file not in self._seen:
            found: set[int] = set()
            waiting = [file]
            while waiting and len(found) < _MOST:
                for header in self._of(waiting.pop()):
                    if header not in found:
                        found.add(header)
                        waiting.append(header)
            self._seen[file] = frozenset(found)
        return self._seen[file]

    def _of(self, file: int) -> tuple[int, ...]:
        if file not in self._direct:
            names = {
                match[1].decode(errors="replace") for match in _INCLUDE.finditer(self._read(file))
            }
            self._direct[file] = tuple(one for name in names for one in self._meant(name, file))
        return self._direct[file]

    def _meant(self, name: str, file: int) -> list[int]:
        known = self._headers.get(name.rpartition("/")[2], ())
        fitting = [one for one in known if fits(self._paths[one], name)]
        if len(fitting) < 2:
            return fitting
        here = self._paths[file]
        rank = {
            one: (-shared(self._paths[one], here), self._paths[one].count("/")) for one in fitting
        }
        best = min(rank.values())
        return [one for one in fitting if rank[one] == best]


def fits(path: str, name: str) -> bool:
    """Whether a header at this path may be meant by ``#include <name>``."""
    if path == name or path.endswith(f"/{name}"):
        return True
    first, _, rest = name.partition("/")
    if not rest:
        return False
    tail = f"/include/{rest}"
    return path.endswith(tail) if first == "machine" else path.endswith(f"/{first}{tail}")


def shared(one: str, other: str) -> int:
    """How many folders two paths begin with in common."""
    count = 0
    for a, b in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if a != b:
            break
        count += 1
    return count
