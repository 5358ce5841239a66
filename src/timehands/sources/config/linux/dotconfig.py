"""A .config: what each symbol is, and the line that says so."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"CONFIG_(\w+)=(.*)$|#\s*CONFIG_(\w+) is not set\s*$")


@dataclass(slots=True)
class DotConfig:
    """Values without quotes, and lines, by symbol. A symbol that is not in it is off.

    ``complete`` is False for what does not name all symbols (a defconfig, a fragment).
    """

    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    odd: list[tuple[int, str]] = field(default_factory=list)
    complete: bool = False

    def value(self, name: str) -> str:
        """A symbol's value; ``n`` for what is off or unknown."""
        return self.values.get(name, "n")

    def made(self, name: str) -> str:
        """The same for makefiles, in which an empty text is as good as none."""
        return self.values.get(name) or "n"


def read(text: str) -> DotConfig:
    """The .config in a text; what is no line of one is told in ``odd``."""
    found = DotConfig()
    unset = 0
    for number, line in enumerate(text.split("\n"), 1):
        if (match := _LINE.match(line)) is None:
            if line.strip() and not line.startswith("#"):
                found.odd.append((number, f"{line[:80]!r} sets nothing"))
            continue
        name, value, off = match.groups()
        if off is not None:
            name, value = off, "n"
            unset += 1
        elif value[:1] == '"':
            value = value[1:-1].replace('\\"', '"')
        found.values[name] = value
        found.lines[name], found.texts[name] = number, line.strip()
    found.complete = unset > 10 and "Automatically generated file" in text[:500]
    return found
