"""What each identifier of a text does: called, read, written, declared; by its neighbours.

tree-sitter says what the structure is; this pass says what the names do in it, also in functions,
which the parser does not see from within, and where the structure could not be parsed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.brackets import behind_subscripts
from timehands.sources.code.prefixes import prefixes
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
_BEFORE_DESIGNATOR: Final = table_of(b"{,(")
_IS_SMALL: Final = table_of(b"abcdefghijklmnopqrstuvwxyz")
_VALUE_END: Final = IS_WORD | table_of(b")]")


def roles(found: Words, names: Names, known: Bytes, inside: Bools, table: Bools) -> Bytes:
    """What each identifier does.

    ``known``: what the parser says of it (0: nothing); ``inside``: whether it is in a function;
    ``table``: whether it is in an initialiser of the file's scope.
    """
    a1, a2, _ = found.after
    b1, b2, _ = found.before
    member = is_member(found)
    role = writes(found, names)
    called = a1 == ord("(")
    through = (a1 == ord(")")) & (a2 == ord("("))
    starred = (b1 == ord("*")) & (b2 == ord("("))
    role[called] = Role.CALL
    role[(called & member) | (through & (starred | member))] = Role.CALL_THROUGH
    role[called & _declared(found, names, inside)] = Role.DECLARATION
    role[:-1][_before_pointer(found, known)] = Role.READ
    designator = _designates(found) & ((role == Role.WRITE) | (role == Role.WRITE_PART))
    quiet = table & (role != Role.CALL) & (role != Role.CALL_THROUGH)
    role[quiet] = Role.INITIAL
    role[designator] = Role.DESIGNATOR
    declare(found, names, inside, role)
    return np.where((known > 0) & ~_is_type(found, known), known, role).astype(np.uint8)


def writes(found: Words, names: Names) -> Bytes:
    """Which identifiers are written, and how; of all others, that they are read."""
    a1, a2, a3 = found.after
    role = np.zeros(len(found.name), np.uint8)
    role[_modified(a1, a2, a3)] = Role.MODIFY
    role[_assigned(a1, a2)] = Role.WRITE
    _parenthesised(found, role)
    for flags, what in prefixes(found, names):
        _set_last(found, role, flags, what)
    _through(found, role)
    _parts(found, role)
    return role


def _before_pointer(found: Words, known: Bytes) -> Bools:
    """``type (*name)(...)`` of a parameter, a member, a variable: no call of ``type``."""
    declared = np.isin(known[1:], (Role.LOCAL, Role.MEMBER, Role.VARIABLE))
    pointer = (found.after[0] == ord("(")) & (found.after[1] == ord("*"))
    return np.asarray(declared & pointer[:-1] & (found.before[1][1:] == ord("(")), np.bool_)


def _is_type(found: Words, known: Bytes) -> Bools:
    """``ZEXTERN z_size_t ZEXPORT f(...)``: what the parser takes for a variable is a type."""
    declared = (known == Role.VARIABLE) | (known == Role.MEMBER)
    ends = found.solids[found.last - 1] == ord("_")
    ends &= found.solids[found.last] == ord("t")
    after = found.after[0]
    return np.asarray(declared & ((ends & IS_WORD[after]) | _IS_SMALL[after]), np.bool_)


def _designates(found: Words) -> Bools:
    """``.a = 1`` and ``.a.b = 1`` in an initialiser."""
    b1, b2, _ = found.before
    designates = np.asarray((b1 == ord(".")) & _BEFORE_DESIGNATOR[b2], np.bool_)
    dotted = (b1[1:] == ord(".")) & (found.first[1:] == found.last[:-1] + 2)
    for _ in range(_CHAIN):
        designates[1:] |= dotted & designates[:-1]
    return designates


def _assigned(a1: Bytes, a2: Bytes) -> Bools:
    return np.asarray((a1 == ord("=")) & (a2 != ord("=")), np.bool_)


def _modified(a1: Bytes, a2: Bytes, a3: Bytes) -> Bools:
    operator = _OPERATORS[a1] & (a2 == ord("="))
    twice = (a1 == a2) & ((a1 == ord("+")) | (a1 == ord("-")))
    shift = (a1 == a2) & ((a1 == ord("<")) | (a1 == ord(">"))) & (a3 == ord("="))
    return np.asarray(operator | twice | shift, np.bool_)


def _parenthesised(found: Words, role: Bytes) -> None:
    """``(x) = 1`` and ``(x->y) |= 1``."""
    b1, b2, _ = found.before
    a2, a3, a4 = (found.solids[found.last + 1 + place] for place in (1, 2, 3))
    closed = found.after[0] == ord(")")
    closed &= is_member(found) | ((b1 == ord("(")) & ~_VALUE_END[b2])
    role[closed & _modified(a2, a3, a4) & (a2 != a3)] = Role.MODIFY
    role[closed & _assigned(a2, a3)] = Role.WRITE


def _set_last(found: Words, role: Bytes, flags: Bools, what: Role) -> None:
    """``++x->y`` and ``&x.y``: what is meant is the last name of the chain."""
    linked, member = _linked(found), is_member(found)
    places = np.flatnonzero(flags)
    for _ in range(_CHAIN):
        moves = linked[places]
        role[places[~moves & (role[places] == Role.READ)]] = what
        places = places[moves] + 1
        places = places[places < len(role)]
        places = places[member[places]]


def _linked(found: Words) -> Bools:
    a1, a2, _ = found.after
    return np.asarray((a1 == ord(".")) | ((a1 == ord("-")) & (a2 == ord(">"))), np.bool_)


def _through(found: Words, role: Bytes) -> None:
    """``*x = 1``, ``*x->y = 1`` and ``(*x)++`` write what the last name points to."""
    linked, member = _linked(found), is_member(found)
    a1, a2, _ = found.after
    b1, b2, b3 = found.before
    held = (b1 == ord("*")) & (b2 == ord("(")) & ~_VALUE_END[b3] & (a1 == ord(")"))
    one, two, three = (found.solids[found.last + 1 + place] for place in (1, 2, 3))
    role[held & (_modified(one, two, three) | _assigned(one, two))] = Role.WRITE_THROUGH
    places = np.flatnonzero(found.before[0] == ord("*"))
    for _ in range(_CHAIN):
        last = places[~linked[places]]
        written = (role[last] == Role.WRITE) | ((role[last] == Role.MODIFY) & (a1 != a2)[last])
        role[last[written]] = Role.WRITE_THROUGH
        places = places[linked[places]] + 1
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
    alone[1:] &= (role[:-1] == Role.WRITE) | (role[:-1] == Role.WRITE_THROUGH)
    alone[:1] = False
    return np.flatnonzero(alone).astype(np.int32)
