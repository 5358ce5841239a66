"""What each identifier of a text does: called, read, written, declared; by its neighbours.

tree-sitter says what the structure is; this pass says what the names do in it, also in functions,
which the parser does not see from within, and where the structure could not be parsed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.brackets import behind_subscripts
from timehands.sources.code.roles import Role
from timehands.sources.code.statements import declare
from timehands.sources.code.tokens import (
    IS_WORD,
    Bools,
    Bytes,
    Ints,
    Names,
    Words,
    is_member,
    table_of,
)

#: Chains of ``a.b.c`` are followed this far.
_CHAIN: Final = 6
_OPERATORS: Final = table_of(b"+-*/%&|^")
_AFTER_VALUE: Final = table_of(b";,)}")
_BEFORE_DESIGNATOR: Final = table_of(b"{,")
_VALUE_END: Final = IS_WORD | table_of(b")]")


def roles(found: Words, names: Names, known: Bytes, inside: Bools, table: Bools) -> Bytes:
    """What each identifier does.

    ``known``: what the parser says of it (0: nothing); ``inside``: whether it is in a function;
    ``table``: whether it is in an initialiser of the file's scope.
    """
    a1, a2, a3 = found.after
    b1, b2, _ = found.before
    member = is_member(found)
    role = np.zeros(len(found.name), np.uint8)
    role[_modified(a1, a2, a3)] = Role.MODIFY
    role[_assigned(a1, a2)] = Role.WRITE
    _prefixes(found, role)
    _parts(found, role)
    called = a1 == ord("(")
    through = (a1 == ord(")")) & (a2 == ord("("))
    starred = (b1 == ord("*")) & (b2 == ord("("))
    role[called] = Role.CALL
    role[(called & member) | (through & (starred | member))] = Role.CALL_THROUGH
    role[called & _declared(found, names, inside)] = Role.DECLARATION
    designator = (b1 == ord(".")) & _BEFORE_DESIGNATOR[b2] & _assigned(a1, a2)
    quiet = table & (role != Role.CALL) & (role != Role.CALL_THROUGH)
    role[quiet] = Role.INITIAL
    role[designator] = Role.DESIGNATOR
    declare(found, names, inside, role)
    return np.where(known > 0, known, role).astype(np.uint8)


def _assigned(a1: Bytes, a2: Bytes) -> Bools:
    return np.asarray((a1 == ord("=")) & (a2 != ord("=")), np.bool_)


def _modified(a1: Bytes, a2: Bytes, a3: Bytes) -> Bools:
    operator = _OPERATORS[a1] & (a2 == ord("="))
    twice = (a1 == a2) & ((a1 == ord("+")) | (a1 == ord("-")))
    shift = (a1 == a2) & ((a1 == ord("<")) | (a1 == ord(">"))) & (a3 == ord("="))
    return np.asarray(operator | twice | shift, np.bool_)


def _prefixes(found: Words, role: Bytes) -> None:
    """``++x->y`` and ``&x.y``: what is meant is the last name of the chain."""
    b1, b2, b3 = found.before
    counted = (b1 == b2) & ((b1 == ord("+")) | (b1 == ord("-"))) & ~_VALUE_END[b3]
    address = (b1 == ord("&")) & ~_VALUE_END[b2] & (b2 != ord("&"))
    a1, a2, _ = found.after
    linked = (a1 == ord(".")) | ((a1 == ord("-")) & (a2 == ord(">")))
    member = is_member(found)
    for flags, what in ((counted, Role.MODIFY), (address, Role.ADDRESS)):
        places = np.flatnonzero(flags)
        for _ in range(_CHAIN):
            moves = linked[places]
            role[places[~moves & (role[places] == Role.READ)]] = what
            places = places[moves] + 1
            places = places[places < len(role)]
            places = places[member[places]]


def _parts(found: Words, role: Bytes) -> None:
    """``a.b = 1``, ``a[i] = 1`` and ``a[i].b = 1`` write a part of ``a``."""
    dots = np.flatnonzero((found.after[0][:-1] == ord(".")) & (found.before[0][1:] == ord(".")))
    indexed, end = behind_subscripts(found)
    a1, a2, a3 = (found.solids[end + place] for place in range(3))
    changed = _assigned(a1, a2) | _modified(a1, a2, a3)
    changed &= found.before[0][indexed] != ord("*")
    changed |= role[indexed] == Role.MODIFY
    _written(role, indexed[changed])
    after_dot = np.searchsorted(found.first, end + 1)
    dotted = (a1 == ord(".")) & (after_dot < len(role))
    whole = np.concatenate((dots, indexed[dotted]))
    part = np.concatenate((dots + 1, after_dot[dotted]))
    for _ in range(_CHAIN):
        _written(role, whole[(role[part] >= Role.WRITE) & (role[part] <= Role.WRITE_PART)])


def _written(role: Bytes, places: NDArray[np.int64]) -> None:
    role[places[(role[places] == Role.READ) | (role[places] == Role.MODIFY)]] = Role.WRITE_PART


def _declared(found: Words, names: Names, inside: Bools) -> Bools:
    """Whether a type stands before ``name(``, so that this is no call."""
    previous = np.concatenate((np.zeros(1, np.int32), found.name[:-1]))
    typed = found.follows & ~names.before_values[np.minimum(previous, names.keywords)]
    starred = (found.before[0] == ord("*")) & ~inside
    return np.asarray(typed | starred, np.bool_)


def assigned(found: Words, role: Bytes) -> Ints:
    """Which identifiers are alone on the right of ``name = ...``: the one before is written."""
    b1, b2, _ = found.before
    direct = (b1 == ord("=")) & ~_OPERATORS[b2]
    behind = (b1 == ord("&")) & (b2 == ord("="))
    alone = _AFTER_VALUE[found.after[0]] & (direct | behind)
    alone[1:] &= role[:-1] == Role.WRITE
    alone[:1] = False
    return np.flatnonzero(alone).astype(np.int32)
