"""Abbreviations: how the entries of a unit are laid out, and how to pass over one quickly.

A kernel has millions of entries; all but a few are only passed over. pyelftools makes an object of
each, which takes some 40 us; this takes about 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from timehands.errors import KernelDamaged
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.sections import sleb, uleb

_MAX_ABBREVIATIONS: Final = 1 << 16
_MAX_ATTRIBUTES: Final = 256


class Spec(NamedTuple):
    """One attribute of an abbreviation; ``constant`` is for DW_FORM_implicit_const."""

    attribute: int
    form: int
    constant: int


class Widths(NamedTuple):
    """What a unit's header says of sizes, in bytes."""

    offset: int
    address: int
    version: int


# A step passes over ``fixed`` bytes and then over one form; ``notes`` is the attribute to note.
Step = tuple[int, int, int]


@dataclass(slots=True)
class Abbreviation:
    """How entries of one code look."""

    code: bytes
    tag: int
    children: bool
    specs: tuple[Spec, ...]
    steps: tuple[Step, ...] = ()
    tail: int = 0

    def form(self, attribute: int) -> int | None:
        """The form of an attribute, None when there is none."""
        return next((one.form for one in self.specs if one.attribute == attribute), None)


class Abbreviations:
    """The table that begins at an offset of ``.debug_abbrev``, read as far as it was asked for."""

    def __init__(self, data: bytes, at: int, widths: Widths) -> None:
        self._widths = widths
        self._found: dict[int, Abbreviation] = {}
        self._more = _declarations(data, at)

    def get(self, code: int) -> Abbreviation | None:
        """How entries of a code look, None when the table does not say."""
        found = self._found.get(code)
        return found or next((one for number, one in self._rest() if number == code), None)

    def all(self) -> list[Abbreviation]:
        """The whole table."""
        for _ in self._rest():
            pass
        return list(self._found.values())

    def _rest(self) -> Iterator[tuple[int, Abbreviation]]:
        try:
            for one, code in self._more:
                one.steps, one.tail = _steps(one.specs, self._widths)
                yield code, self._found.setdefault(code, one)
        except IndexError as error:
            raise KernelDamaged("a table of abbreviations has no end") from error


def _declarations(data: bytes, at: int) -> Iterator[tuple[Abbreviation, int]]:
    for _ in range(_MAX_ABBREVIATIONS):
        start = at
        code, at = uleb(data, at)
        if not code:
            return
        encoded = data[start:at]
        tag, at = uleb(data, at)
        children = data[at] != 0
        specs, at = _specs(data, at + 1)
        yield Abbreviation(encoded, tag, children, specs), code


def _specs(data: bytes, at: int) -> tuple[tuple[Spec, ...], int]:
    specs: list[Spec] = []
    for _ in range(_MAX_ATTRIBUTES):
        attribute, at = uleb(data, at)
        form, at = uleb(data, at)
        constant = 0
        if form == n.FORM_IMPLICIT_CONST:
            constant, at = sleb(data, at)
        if not attribute and not form:
            return tuple(specs), at
        specs.append(Spec(attribute, form, constant))
    raise KernelDamaged("an abbreviation has no end")


def fixed_size(form: int, widths: Widths) -> int | None:
    """Bytes that a form always takes; None when that differs from entry to entry."""
    if form in n.FIXED:
        return n.FIXED[form]
    if form == n.FORM_ADDR or (form == n.FORM_REF_ADDR and widths.version == 2):
        return widths.address
    return widths.offset if form in n.BY_FORMAT else None


def _steps(specs: tuple[Spec, ...], widths: Widths) -> tuple[tuple[Step, ...], int]:
    steps: list[Step] = []
    fixed = 0
    for attribute, form, _ in specs:
        size = fixed_size(form, widths)
        if size is None or attribute in (n.AT_NAME, n.AT_SIBLING):
            steps.append((fixed, form, attribute))
            fixed = 0
        else:
            fixed += size
    return tuple(steps), fixed


def pass_over(data: bytes, at: int, form: int, widths: Widths) -> int:
    """Where a value of a form ends."""
    size = fixed_size(form, widths)
    if size is not None:
        return at + size
    if form in n.LEB:
        while data[at] >= 0x80:
            at += 1
        return at + 1
    if form == n.FORM_STRING:
        end = data.find(b"\0", at)
        return end + 1 if end >= 0 else len(data) + 1
    if form in n.BLOCKS:
        width = n.BLOCKS[form]
        if not width:
            length, at = uleb(data, at)
            return at + length
        return at + width + int.from_bytes(data[at : at + width], "little")
    if form == n.FORM_INDIRECT:
        actual, at = uleb(data, at)
        if actual not in (n.FORM_INDIRECT, n.FORM_IMPLICIT_CONST):
            return pass_over(data, at, actual, widths)
    raise KernelDamaged(f"the debug information has a form that is not known ({form:#x})")
