"""Macros that register a function, so that it is called without being called by name.

Each tells which of the macro's arguments are functions, and through what each is called: a name
that `timehands.sources.code.graph` connects with who calls through it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from timehands.sources.code.arguments import split

#: Who runs what a macro registered: FreeBSD's mi_startup walks SYSINITs, Linux's do_one_initcall
#: the initcalls.
RUNNERS: Final[dict[str, tuple[str, ...]]] = {
    "SYSINIT": ("mi_startup",),
    "SYSUNINIT": ("linker_file_sysuninit",),
    "initcall": ("do_one_initcall",),
    "early_param": ("do_early_param", "parse_early_param"),
    "TIMER_OF_DECLARE": ("timer_probe",),
}
#: What these register is called by a macro or function whose name is the pointer's in capitals.
IN_CAPITALS: Final = frozenset(("DEVMETHOD", "KOBJMETHOD"))
#: What these register is called where an event of that name is invoked, by one of the others.
EVENTS: Final = frozenset(("EVENTHANDLER_DEFINE", "EVENTHANDLER_REGISTER"))
INVOKERS: Final = (b"EVENTHANDLER_INVOKE", b"EVENTHANDLER_DIRECT_INVOKE")
_INITCALLS: Final = (
    "module_init", "early_initcall", "pure_initcall", "core_initcall", "postcore_initcall",
    "arch_initcall", "subsys_initcall", "fs_initcall", "rootfs_initcall", "device_initcall",
    "late_initcall", "core_initcall_sync", "console_initcall", "device_initcall_sync",
)  # fmt: skip
#: Macro: (which argument, from 0; through what it is called; empty: the first argument's name).
MACROS: Final[dict[str, tuple[tuple[int, str], ...]]] = {
    "SYSINIT": ((3, "SYSINIT"),),
    "C_SYSINIT": ((3, "SYSINIT"),),
    "VNET_SYSINIT": ((3, "SYSINIT"),),
    "SYSUNINIT": ((3, "SYSUNINIT"),),
    "EVENTHANDLER_DEFINE": ((1, ""),),
    "EVENTHANDLER_REGISTER": ((1, ""),),
    "DEVMETHOD": ((1, ""),),
    "KOBJMETHOD": ((1, ""),),
    "DRIVER_MODULE": ((3, "evhand"),),
    "DEV_MODULE": ((1, "evhand"),),
    "CFATTACH_DECL": ((2, "ca_match"), (3, "ca_attach"), (4, "ca_detach"), (5, "ca_activate")),
    "CFATTACH_DECL_NEW": ((2, "ca_match"), (3, "ca_attach"), (4, "ca_detach"), (5, "ca_activate")),
    "CFATTACH_DECL2_NEW": ((2, "ca_match"), (3, "ca_attach"), (4, "ca_detach"), (5, "ca_activate")),
    "CFATTACH_DECL3_NEW": ((2, "ca_match"), (3, "ca_attach"), (4, "ca_detach"), (5, "ca_activate")),
    "early_param": ((1, "early_param"),),
    "__setup": ((1, "early_param"),),
    "TIMER_OF_DECLARE": ((2, "TIMER_OF_DECLARE"),),
    **dict.fromkeys(_INITCALLS, ((0, "initcall"),)),
}
#: Macro: how the functions' names end that it makes of its first argument, and through what each
#: is called (FreeBSD's sys/cons.h).
PASTED: Final[dict[str, dict[str, str]]] = {
    "CONSOLE_DRIVER": {
        f"_cn{word}": f"cn_{word}"
        for word in ("probe", "init", "term", "getc", "putc", "grab", "ungrab")
    },
}
_CALL: Final = re.compile(
    rb"\b("
    + b"|".join(sorted((m.encode() for m in (*MACROS, *PASTED)), reverse=True))
    + rb")[ \t]*\("
    rb"([^;{}]{1,1000}?)\)[ \t\n]*[;,}]"
)
_NAME: Final = re.compile(rb"[ \t\n]*(?:\([\w \t*]{1,80}\)[ \t]*)?&?[ \t]*([A-Za-z_]\w*)[ \t\n]*")


class Hook(NamedTuple):
    """``function`` is called through ``through``, says the ``macro`` at offset ``at``."""

    at: int
    macro: str
    through: bytes
    function: bytes


def hooks(text: bytes, places: Iterable[int]) -> Iterator[Hook]:
    """The functions that macros register whose names stand at these offsets of a masked text."""
    for match in filter(None, (_CALL.match(text, place) for place in places)):
        arguments = split(match[2])
        macro = match[1].decode()
        first = _NAME.fullmatch(arguments[0])
        if first:
            for ending, through in PASTED.get(macro, {}).items():
                yield Hook(match.start(1), macro, through.encode(), first[1] + ending.encode())
        for place, through in MACROS.get(macro, ()):
            if place < len(arguments) and (name := _NAME.fullmatch(arguments[place])):
                target = through.encode() or (first[1] if first else b"")
                if target and name[1] != b"NULL":
                    yield Hook(match.start(1), macro, target, name[1])
