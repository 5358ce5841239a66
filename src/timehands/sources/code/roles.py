"""What an identifier does where it stands: the numbers that the index keeps."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Role(IntEnum):
    """What one occurrence of a name is."""

    READ = 0  #: used, and nothing more special is known
    CALL = 1  #: ``name(...)``
    CALL_THROUGH = 2  #: ``x->name(...)``, ``(*name)(...)``: what it points to is called
    WRITE = 3  #: ``name = ...``
    MODIFY = 4  #: ``name += ...``, ``name++``
    WRITE_PART = 5  #: ``name[i] = ...``, ``name.member = ...``
    ADDRESS = 6  #: ``&name``: who gets the address may write
    DESIGNATOR = 7  #: ``.name = ...`` in an initialiser
    INITIAL = 8  #: a value in an initialiser of the file's scope
    MACRO_BODY = 9  #: in the body of a macro
    CONDITION = 10  #: in ``#if``, ``#ifdef``, ``#elif``
    FUNCTION = 11  #: a function's definition
    VARIABLE = 12  #: a definition of the file's scope
    DECLARATION = 13  #: ``extern``, or a prototype
    LOCAL = 14  #: a parameter's or a local variable's declaration
    MACRO = 15  #: ``#define name``
    TYPE = 16  #: a structure's, union's or enumeration's definition, or a typedef
    MEMBER = 17  #: a member's declaration
    ENUMERATOR = 18
    UNDEFINED = 20  #: ``#undef name``
    WRITE_THROUGH = 21  #: ``*name = ...``: what it points to is written
    OUTPUT = 22  #: ``asm("..." : "=a" (name))``


#: Added to a role where the line stands within ``#if 0``.
DEAD: Final = 0x20
#: Added to a role where ``->`` or ``.`` stands before the name.
MEMBER_OF: Final = 0x40
ROLE_MASK: Final = 0x1F

DEFINITIONS: Final = frozenset(
    {Role.FUNCTION, Role.VARIABLE, Role.TYPE, Role.MEMBER, Role.ENUMERATOR, Role.MACRO}
)
WRITERS: Final = frozenset(
    {
        Role.WRITE, Role.MODIFY, Role.WRITE_PART, Role.ADDRESS, Role.WRITE_THROUGH, Role.OUTPUT,
    }
)  # fmt: skip

KEYWORDS: Final = frozenset(
    b"auto break case char const continue default do double else enum extern float for goto if "
    b"inline int long register restrict return short signed sizeof static struct switch typedef "
    b"union unsigned void volatile while _Bool __inline __inline__ __restrict __volatile "
    b"__volatile__ __const __signed __extension__ asm __asm __asm__ typeof __typeof "
    b"__typeof__".split()
)
#: After these words stands a value, so that ``word name(...)`` is a call.
BEFORE_VALUES: Final = frozenset(b"return else do case goto sizeof".split())
