"""The macros of a FreeBSD kernel: its options (opt_*.h), and one for each device (config(8))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from timehands.sources.config.model import Configuration

#: sys/conf/kern.pre.mk and the compiler. Modules have KLD_MODULE, a kernel has not.
_ALWAYS: Final = {"_KERNEL": "1", "HAVE_KERNEL_OPTION_HEADERS": "1", "__FreeBSD__": "14"}
_NEVER: Final = frozenset(("KLD_MODULE", "__NetBSD__", "__OpenBSD__", "__linux__", "__sun"))


def given(configuration: Configuration) -> dict[str, str]:
    """Its macros with their values."""
    return {**_ALWAYS, **dict(_given(configuration))}


def _given(configuration: Configuration) -> Iterator[tuple[str, str]]:
    for (kind, name), setting in configuration.settings.items():
        if setting.on and kind in ("options", "cpu"):
            yield name, setting.value or "1"
        elif setting.on and kind == "device":
            yield f"DEV_{name.upper()}", "1"


def absent(name: str) -> bool:
    """Whether a name that was not given is no macro: so it is with devices."""
    return name in _NEVER or name.startswith("DEV_")
