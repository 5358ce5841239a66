"""In what NetBSD's config(1) and OpenBSD's config(8) differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Dialect:
    """A system's own ways with the language.

    ``option`` is its word for options; with ``once`` an option may not be set again.
    """

    system: str
    option: str
    once: bool


NETBSD: Final = Dialect("NetBSD", "options", once=False)
OPENBSD: Final = Dialect("OpenBSD", "option", once=True)
