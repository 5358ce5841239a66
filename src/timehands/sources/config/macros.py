"""The macros that a configuration gives to a kernel's C, and those that its compiler gives.

Each system's language is a package beside this file with ``macros.py``: ``given(configuration)``,
the macros with their values, and ``absent(name)``, whether a name that was not given is no macro.
"""

from __future__ import annotations

import importlib
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Final

from timehands.sources.config.model import Configuration

#: What compilers define for an architecture (psABI; ``cc -dM -E - </dev/null``).
_ARCHITECTURES: Final[dict[str, tuple[str, ...]]] = {
    "amd64": ("__amd64__", "__amd64", "__x86_64__", "__x86_64", "__LP64__", "_LP64"),
    "i386": ("__i386__", "__i386", "i386", "__ILP32__", "_ILP32"),
    "arm64": ("__aarch64__", "__LP64__", "_LP64"),
    "arm": ("__arm__", "__ILP32__"),
    "powerpc": ("__powerpc__", "__powerpc64__", "__PPC__", "__POWERPC__"),
    "riscv": ("__riscv", "__riscv_xlen"),
    "mips": ("__mips__", "__mips", "mips"),
    "sparc": ("__sparc__", "__sparc64__", "sparc", "__sparc_v9__"),
    "others": (
        "__m68k__", "__m68010__", "__mc68020__", "__sh__", "__sh3__", "__hppa__", "__alpha__",
        "__ia64__", "__vax__", "__or1k__", "__s390__", "__loongarch__",
    ),
}  # fmt: skip
_OTHER_NAMES: Final = {"x86_64": "amd64", "x86": "amd64", "aarch64": "arm64"}
#: No kernel's C is compiled with these: they are for boot loaders, assemblers and checkers.
_NEVER: Final = frozenset(
    ("_STANDALONE", "_LOCORE", "LOCORE", "__ASSEMBLER__", "__ASSEMBLY__", "__cplusplus", "lint")
)
_BY_SYSTEM: Final = {"FreeBSD": "freebsd", "NetBSD": "netbsd", "OpenBSD": "netbsd"}


class ConfiguredMacros:
    """What a configuration says of macros. See `timehands.sources.code.deciding.Macros`."""

    def __init__(
        self,
        values: Mapping[str, str],
        absent: Callable[[str], bool],
        called: Callable[[str, str], int | None] | None = None,
    ) -> None:
        self._values, self._absent, self._called = values, absent, called

    def defined(self, name: str) -> bool | None:
        """Whether there is such a macro; None: the configuration does not say."""
        if name in self._values:
            return True
        return False if name in _NEVER or self._absent(name) else None

    def value(self, name: str) -> int | None:
        """Its value as a number; None: it is none, or the configuration does not say."""
        if name in self._values:
            try:
                return int(self._values[name].strip().rstrip("uUlL"), 0)
            except ValueError:
                return None
        return 0 if self.defined(name) is False else None

    def called(self, name: str, argument: str) -> int | None:
        """What ``name(argument)`` gives, where the language has such macros."""
        return self._called(name, argument) if self._called else None


def macros(configuration: Configuration) -> ConfiguredMacros:
    """The macros that a configuration gives."""
    system = configuration.system
    name = f"timehands.sources.config.{_BY_SYSTEM.get(system, system.lower())}.macros"
    language = importlib.import_module(name)
    mine = frozenset(_of_architecture(configuration.arch))
    others = {one for every in _ARCHITECTURES.values() for one in every} - mine
    values = ChainMap(dict.fromkeys(mine, "1"), language.given(configuration))

    def absent(one: str) -> bool:
        return one in others or language.absent(one)

    return ConfiguredMacros(values, absent, getattr(language, "called", lambda _: None)(values))


def _of_architecture(arch: str) -> tuple[str, ...]:
    return _ARCHITECTURES.get(_OTHER_NAMES.get(arch, arch), ())
