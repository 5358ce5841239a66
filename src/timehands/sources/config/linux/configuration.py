"""A Linux kernel's configuration: a .config, explained by Kconfig, carried out by Kbuild."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from timehands.sources.config.linux import dotconfig
from timehands.sources.config.linux.explain import Symbols
from timehands.sources.config.linux.kbuild import Built, Kbuild
from timehands.sources.config.model import Configuration, Reason, Rule
from timehands.sources.config.reading import Reader
from timehands.sources.where import Where

K = TypeVar("K")
V = TypeVar("V")
#: The kernel's names for architectures that others call otherwise.
_SOURCES = {"amd64": "x86", "x86_64": "x86", "i386": "x86", "aarch64": "arm64"}
_WORDS = {"amd64": "64", "x86_64": "64", "i386": "32"}


def folder(arch: str) -> str:
    """Where the configurations of an architecture are. They are not complete."""
    return f"arch/{_SOURCES.get(arch, arch)}/configs"


def resolve(reader: Reader, file: str, name: str, arch: str) -> Configuration:
    """The configuration in a .config, of the tree or outside of it."""
    dot = dotconfig.read(reader.text(file) or "")
    for line, words in dot.odd:
        reader.complaints.add(Where(file, line), words)
    if not dot.complete:
        words = "this is no complete .config: what it does not name is taken as off"
        reader.complaints.add(Where(file, 1), f"{words} (make one of it: make olddefconfig)")
    source = _SOURCES.get(arch, arch)
    wide = "64" if dot.value("64BIT") == "y" else _WORDS.get(arch, "64")
    variables = {"SRCARCH": source, "ARCH": source, "BITS": wide if dot.values else "64"}
    if "64BIT" in dot.values and dot.value("64BIT") != "y":
        variables["BITS"] = "32"
    kbuild = Kbuild(reader, dot, variables)
    symbols = Symbols(reader, dot, file, kbuild)
    objects = _Objects(kbuild)
    return Configuration(
        name=name,
        system="Linux",
        arch=arch,
        source=file,
        settings=_Lazy(
            lambda: dict.fromkeys(("symbol", one) for one in dot.values),
            lambda key: symbols.setting(key[1]),
        ),
        rules=_Lazy(lambda: objects.all, lambda file: tuple(map(kbuild.rule, objects.all[file]))),
        files=_Lazy(
            lambda: objects.compiled,
            lambda file: _reason(symbols, kbuild.rule(objects.compiled[file])),
        ),
        noted=reader.complaints,
        explainer=symbols,
    )


def _reason(symbols: Symbols, rule: Rule) -> Reason:
    return Reason(rule, symbols.chain(rule))


class _Objects:
    """What is built; the makefiles are read when it is first asked for."""

    def __init__(self, kbuild: Kbuild) -> None:
        self._kbuild = kbuild

    @cached_property
    def all(self) -> dict[str, list[Built]]:
        """All files that a line builds."""
        self._kbuild.visit()
        return self._kbuild.built

    @cached_property
    def compiled(self) -> dict[str, Built]:
        """Those that this configuration builds, each with the line that takes it furthest."""
        found = {}
        for file, ways in self.all.items():
            best = max(ways, key=self._kbuild.built_level)
            if self._kbuild.built_level(best):
                found[file] = best
        return found


class _Lazy(Mapping[K, V], Generic[K, V]):
    """A mapping whose values are made when they are asked for, and whose keys when needed."""

    def __init__(self, keys: Callable[[], Mapping[K, object]], make: Callable[[K], V]) -> None:
        self._keys, self._make = keys, make

    def __getitem__(self, key: K) -> V:
        if key not in self._keys():
            raise KeyError(key)
        return self._make(key)

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    def __contains__(self, key: object) -> bool:
        return key in self._keys()
