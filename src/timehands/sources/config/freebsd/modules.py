"""Which kernel modules of FreeBSD's tree a file belongs to, by the makefiles below sys/modules.

What they say is read once and kept (`cache.Kept`). Whether a module's folder is entered for a
machine (``SUBDIR`` of the makefiles above) is not worked out, nor what ``.for`` makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from timehands.sources.config import coding
from timehands.sources.config.cache import Kept, Seen, Tables
from timehands.sources.config.freebsd.make import Makefile, Word
from timehands.sources.config.model import Chain, Step
from timehands.sources.config.reading import Place, Reader, joined

#: What bsd.kmod.mk compiles: SRCS, and of each option that is set SRCS.OPTION.
_LIST = re.compile(r"SRCS(\.[A-Z0-9_]+)?")
_SOURCES = (".c", ".S", ".s", ".m", ".cc")
_MOST_FOLDERS = 5000
_DEEPEST = 12


class Modules:
    """The modules by the files that they are made of."""

    def __init__(self, reader: Reader, machine: str) -> None:
        self._reader, self._machine = reader, machine
        key = ("freebsd modules", str(reader.tree.root), machine)
        self._kept = Kept(reader.cache, key, self._read)

    def of(self, file: str) -> Chain:
        """For each module that has the file, the line of its makefile that says so."""
        found = self._kept.decoded("files", file, lambda rows: tuple(map(coding.read_step, rows)))
        return found or ()

    def _read(self, seen: Seen) -> Tables:
        reader = self._reader.again(seen)
        found: dict[str, dict[Step, None]] = {}
        for folder in _folders(reader, reader.tree.below_sys("modules")):
            if reader.late():
                break
            makefile = Makefile(reader, self._machine)
            makefile.read(Place(f"{folder}/Makefile"))
            # bsd.init.mk takes this in, at the end.
            makefile.read(Place(joined(folder.rpartition("/")[0], "Makefile.inc")))
            for file, step in _files(reader, makefile, folder):
                found.setdefault(file, {})[step] = None
        return {"files": {file: list(map(coding.step, steps)) for file, steps in found.items()}}


def _folders(reader: Reader, top: str) -> Iterator[str]:
    """The folders with a makefile."""
    waiting, left = [(top, 0)], _MOST_FOLDERS
    while waiting and left:
        folder, depth = waiting.pop()
        left -= 1
        names = reader.names(folder)
        if "Makefile" in names:
            yield folder
        if depth < _DEEPEST:
            below = sorted((name for name in names if "." not in name), reverse=True)
            waiting += [(f"{folder}/{name}", depth + 1) for name in below if name != "Makefile"]


def _files(reader: Reader, makefile: Makefile, folder: str) -> Iterator[tuple[str, Step]]:
    """The files of a module, each with the line that names it."""
    module = next((word.text for word in makefile.words("KMOD", folder)), "")
    lists = [name for name in makefile.variables if _LIST.fullmatch(name)]
    if not module or not lists:
        return
    paths = list(_paths(makefile, folder))
    for name in lists:
        option = name.partition(".")[2]
        for word in makefile.words(name, folder):
            if word.text.endswith(_SOURCES):
                step = Step(word.where, _told(module, word, option))
                yield _found(reader, makefile.path(word.text, folder), word.text, paths), step


def _told(module: str, word: Word, option: str) -> str:
    under = " and ".join(part for part in (option and f"options {option}", word.under) if part)
    return f"{module}.ko has {word.text}{f', under {under}' if under else ''}"


def _paths(makefile: Makefile, folder: str) -> Iterator[str]:
    """Where make looks for files: beside the makefile, then on its path."""
    yield folder
    for word in makefile.paths:
        path = makefile.text(word.text, folder)
        if "$" not in path:
            yield makefile.path(path, folder)


def _found(reader: Reader, beside: str, name: str, paths: list[str]) -> str:
    for path in paths if not name.startswith("/") else ():
        file = joined(path, name)
        if file.rpartition("/")[2] in reader.names(file.rpartition("/")[0]):
            return file
    return beside
