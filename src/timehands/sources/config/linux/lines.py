"""What a line of Linux's makefiles builds: a file, alone or as a part of an object of several."""

from __future__ import annotations

from dataclasses import dataclass

from timehands.sources.config.conditions import All, Condition
from timehands.sources.where import Where


@dataclass(frozen=True, slots=True)
class Line:
    """A word of a list: an object or a folder, what it is under, and its line."""

    folder: str
    word: str
    condition: Condition
    where: Where
    text: str


@dataclass(frozen=True, slots=True)
class Built:
    """A source file that a line builds, alone or as a member of an object of several files.

    ``apart`` names a list of the makefile's own that no list of the kernel's takes in: that of a
    program of its own (the vDSO), or one that is taken in with another configuration only.
    """

    source: str
    line: Line
    member: Line | None = None
    apart: str = ""

    @property
    def condition(self) -> Condition:
        """What both lines are under."""
        parts = [one.condition for one in (self.line, self.member) if one is not None]
        flat = [part for one in parts for part in (one.parts if isinstance(one, All) else (one,))]
        return flat[0] if len(flat) == 1 else All(tuple(flat))

    @property
    def nearest(self) -> Line:
        """The line that names the file's own object."""
        return self.member or self.line

    @property
    def module(self) -> str:
        """The name of the object that it goes into: the module's, if it becomes one."""
        return self.line.word[:-2].rpartition("/")[2]
