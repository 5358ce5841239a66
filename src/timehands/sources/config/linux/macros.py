"""The macros of a Linux kernel: CONFIG_ of each symbol (include/linux/kconfig.h)."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import cast

from timehands.sources.config.model import Configuration

_SYMBOL = re.compile(r"\s*(CONFIG_\w+)\s*$")


class _Symbols(Mapping[str, str]):
    """CONFIG_X of each symbol that is on, worked out when it is asked for."""

    def __init__(self, configuration: Configuration) -> None:
        self._settings = configuration.settings

    def __getitem__(self, name: str) -> str:
        bare = name.removeprefix("CONFIG_")
        asked = [(bare, False)] if bare != name else []
        if asked and bare.endswith("_MODULE"):
            asked.append((bare.removesuffix("_MODULE"), True))
        for one, module in asked:
            if ("symbol", one) in self._settings:
                value = self._settings["symbol", one].value or "n"
                if value != "n" and (value == "m") == module:
                    return "1" if value in ("y", "m") else value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for _, name in self._settings:
            yield from (one for one in (f"CONFIG_{name}", f"CONFIG_{name}_MODULE") if one in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def given(configuration: Configuration) -> Mapping[str, str]:
    """Its macros with their values."""
    always = {"__KERNEL__": "1", "__linux__": "1"}
    return ChainMap(always, cast("MutableMapping[str, str]", _Symbols(configuration)))


def absent(name: str) -> bool:
    """Whether a name that was not given is no macro: so it is with symbols that are off."""
    return name.startswith("CONFIG_") or name in ("MODULE", "__FreeBSD__", "__NetBSD__")


def called(values: Mapping[str, str]) -> Callable[[str, str], int | None]:
    """How IS_ENABLED() and its like come out."""

    def asked(name: str, argument: str) -> int | None:
        match = _SYMBOL.match(argument)
        if match is None or name not in ("IS_ENABLED", "IS_BUILTIN", "IS_MODULE", "IS_REACHABLE"):
            return None
        built, module = match[1] in values, f"{match[1]}_MODULE" in values
        wanted = {"IS_ENABLED": built or module, "IS_MODULE": module}
        return int(wanted.get(name, built))

    return asked
