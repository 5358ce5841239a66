"""The macros of a NetBSD or OpenBSD kernel: its options, and how many there are of a device.

config(1) writes ``NLAPIC`` into lapic.h for what a ``needs-flag`` or ``needs-count`` names; whether
it is above zero is told by the files whose only condition is that name.
"""

from __future__ import annotations

from typing import Final

from timehands.sources.config.conditions import Name
from timehands.sources.config.model import Configuration
from timehands.sources.config.netbsd.dialect import NETBSD, OPENBSD

_SYSTEMS: Final = {"NetBSD": "__NetBSD__", "OpenBSD": "__OpenBSD__"}
#: What becomes a macro of its name: both systems' words for options.
_KINDS: Final = frozenset((NETBSD.option, OPENBSD.option, "file-system"))
#: That of the own system is given.
_NEVER: Final = frozenset(("_MODULE", "__FreeBSD__", "__linux__", "__sun", *_SYSTEMS.values()))


def given(configuration: Configuration) -> dict[str, str]:
    """Its macros with their values."""
    found = {"_KERNEL": "1", "_KERNEL_OPT": "1", _SYSTEMS.get(configuration.system, ""): "1"}
    for (kind, name), setting in configuration.settings.items():
        if setting.on and kind in _KINDS:
            found[name] = setting.value or "1"
    return {**_counts(configuration), **found}


def _counts(configuration: Configuration) -> dict[str, str]:
    """1 stands for any number above zero."""
    found: dict[str, str] = {}
    for file, rules in configuration.rules.items():
        for rule in rules:
            if isinstance(rule.condition, Name):
                name = f"N{rule.condition.name.upper()}"
                if file in configuration.files or name not in found:
                    found[name] = "1" if file in configuration.files else "0"
    return found


def absent(name: str) -> bool:
    """Whether a name that was not given is no macro; counts are given, or unknown."""
    return name in _NEVER
