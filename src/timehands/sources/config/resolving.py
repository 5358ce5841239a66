"""Finding a kernel's configuration in a tree by its name, and the language that it is written in.

Each system's language is a package beside this file with ``folder(arch)``, where its configurations
are, and ``resolve(reader, file, name, arch)``.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from pathlib import Path

from timehands.errors import ConfigurationUnknown
from timehands.sources.config.cache import Seen, uncollected
from timehands.sources.config.model import Configuration
from timehands.sources.config.reading import Reader, joined
from timehands.sources.tree import SourceTree

_LANGUAGES = {
    "freebsd": "timehands.sources.config.freebsd.configuration",
    "netbsd": "timehands.sources.config.netbsd.configuration",
    "openbsd": "timehands.sources.config.netbsd.openbsd",
    "linux": "timehands.sources.config.linux.configuration",
}
_MOST_NAMES = 40
#: A text may have an odd byte in it.
_TEXT_PER_NUL = 20


def resolve(
    tree: SourceTree, name: str, arch: str = "amd64", *, cache: Path | None = None
) -> Configuration:
    """The configuration of that name for an architecture (``amd64``, ``i386``, ``arm64``).

    ``name`` is a configuration's name (``GENERIC``), or the path of one in the tree or outside of
    it (for Linux: of a ``.config``). ``cache`` is a folder for what is worth keeping.
    Raises `ConfigurationUnknown`.
    """
    module = _LANGUAGES.get(tree.kind)
    if module is None:
        raise ConfigurationUnknown(
            f"the tree at {tree.root} is in no configuration language that is known", name=name
        )
    language = importlib.import_module(module)
    reader = Reader(tree, cache=cache)
    below: str = language.folder(arch)
    file = _file(reader, name, below)
    if file is None:
        raise ConfigurationUnknown(
            f"there is no configuration {name!r} for {arch} in {tree.root}",
            name=name,
            advice=_advice(name, list(configurations(tree, arch))),
        )
    text = reader.again(Seen()).text(file) or ""
    if text.count("\0") * _TEXT_PER_NUL > len(text):
        raise ConfigurationUnknown(
            f"{name} is no text, so no configuration", name=name, advice="Name one, as GENERIC."
        )
    with uncollected():
        resolved: Configuration = language.resolve(reader, file, name.rsplit("/", 1)[-1], arch)
    return resolved


def _advice(name: str, known: list[str]) -> str:
    """The names that may be meant: those like it first."""
    if not known:
        return "Name its file."
    words = f"Known are: {', '.join(known[:_MOST_NAMES])}"
    near = difflib.get_close_matches(name.upper(), known, 3)
    return f"Perhaps {' or '.join(near)}. {words}" if near else words


def configurations(tree: SourceTree, arch: str = "amd64") -> Iterator[str]:
    """The names of the configurations that the tree has for an architecture."""
    module = _LANGUAGES.get(tree.kind)
    if module is None:
        return
    folder = tree.below_sys(importlib.import_module(module).folder(arch))
    for file in tree.files(folder) if tree.path(folder).is_dir() else ():
        name = file.removeprefix(f"{folder}/")
        suffix = name.partition(".")[2]
        if "/" not in name and name[0].isupper() and suffix == suffix.upper():
            yield name


def _file(reader: Reader, name: str, below: str) -> str | None:
    tree = reader.tree
    for file in (tree.below_sys(joined(below, name)), tree.below_sys(name), name):
        if not file.startswith(("/", "..")) and reader.has(file):
            return file
    path = Path(name)
    try:
        inside = path.resolve().relative_to(tree.root).as_posix()
        if path.is_absolute() and reader.has(inside):
            return inside
    except (ValueError, OSError, RuntimeError):
        pass
    return reader.take(path) if "/" in name or path.is_file() else None
