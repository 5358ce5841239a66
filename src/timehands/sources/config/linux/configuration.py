"""A Linux kernel's configuration: a .config, explained by Kconfig, carried out by Kbuild."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from timehands.sources.config.linux import dotconfig
from timehands.sources.config.linux.explain import Symbols
from timehands.sources.config.linux.known import Known
from timehands.sources.config.linux.objects import Objects
from timehands.sources.config.model import Configuration, Reason
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
    objects = Objects(reader, dot, file, variables)
    symbols = Symbols(dot, file, Known(reader, variables), objects)
    return Configuration(
        name=name,
        system="Linux",
        arch=arch,
        source=file,
        settings=_Lazy(
            lambda: [("symbol", one) for one in dot.values], lambda key: symbols.setting(key[1])
        ),
        rules=_Lazy(objects.files, lambda file: tuple(map(objects.rule, objects.ways(file)))),
        files=_Lazy(objects.compiled, lambda file: _reason(objects, symbols, file)),
        noted=reader.complaints,
        explainer=symbols,
    )


def _reason(objects: Objects, symbols: Symbols, file: str) -> Reason:
    rule = objects.rule(objects.ways(file)[0])
    return Reason(rule, symbols.chain(rule))


class _Lazy(Mapping[K, V], Generic[K, V]):
    """A mapping whose values are made when they are asked for, and whose keys when needed."""

    def __init__(self, keys: Callable[[], Iterable[K]], make: Callable[[K], V]) -> None:
        self._found, self._make = keys, make

    @cached_property
    def _keys(self) -> dict[K, None]:
        return dict.fromkeys(self._found())

    def __getitem__(self, key: K) -> V:
        if key not in self._keys:
            raise KeyError(key)
        return self._make(key)

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys
