"""The files of a kernel that no list names: config makes them, or the makefile compiles them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from timehands.sources.config.model import Chain, Rule
from timehands.sources.config.netbsd.dialect import NETBSD, Dialect
from timehands.sources.config.netbsd.selection import Selection
from timehands.sources.where import Where

_MADE = ("devsw.c", "ioconf.c")
_LINKED = re.compile(r"^SYSTEM_(?:HEAD|OBJ)[+?]?=\s*(.*)", re.MULTILINE)
_MAKES = re.compile(r"^(\w+)\.[oc]:\s*\$(?:S|\{_(mach|arch)dir\})/(\S+\.[cSs])(?!\S)")
_SWAP_GENERIC = re.compile(r"\bswap\s+(?:on\s+)?generic\b")
_MOST_WORDS = 200


def add_made(selection: Selection, dialect: Dialect) -> None:
    """Add them, each with the line that it comes from."""
    rules = _of_netbsd(selection) if dialect is NETBSD else _of_openbsd(selection)
    for rule in rules:
        selection.definitions.tables.files.add(rule)


def _of_netbsd(selection: Selection) -> Iterator[Rule]:
    ledger = selection.ledger
    for name in _MADE:
        yield from _made(name, ledger.chain("machine", selection.machine))
    for name in ledger.names("config"):
        yield from _made(f"swap{name}.c", ledger.chain("config", name))
    makefile = selection.reader.tree.below_sys("conf/Makefile.kern.inc")
    for number, line in enumerate(_lines(selection, makefile), 1):
        if line.startswith("vers."):
            yield Rule("vers.c", Where(makefile, number), line[:_MOST_WORDS])


def _of_openbsd(selection: Selection) -> Iterator[Rule]:
    ledger, tree = selection.ledger, selection.reader.tree
    yield from _made("ioconf.c", ledger.chain("machine", selection.machine))
    for name in ledger.names("config"):
        generic = _SWAP_GENERIC.search(ledger.value("config", name) or "")
        file = tree.below_sys("conf/swapgeneric.c") if generic else f"swap{name}.c"
        yield from _made(file, ledger.chain("config", name), "compiles" if generic else "makes")
    machine, *families = selection.machines or [""]
    makefile = tree.below_sys(f"arch/{machine}/conf/Makefile.{machine}")
    yield from _linked(selection, makefile, {"mach": machine, "arch": (*families, machine)[0]})


def _made(file: str, chain: Chain, verb: str = "makes") -> Iterator[Rule]:
    if chain and chain[-1].where:
        text = f"config {verb} it: {chain[-1].words}"
        yield Rule(file, chain[-1].where, text, route=chain[:-1])


def _linked(selection: Selection, makefile: str, names: dict[str, str]) -> Iterator[Rule]:
    """What a makefile links into each kernel by itself: ``locore0.o``, ``param.o``, the version."""
    lines = _lines(selection, makefile)
    objects = " ".join(_LINKED.findall("\n".join(lines))).split()
    for number, line in enumerate(lines, 1):
        where, text = Where(makefile, number), line.strip()[:_MOST_WORDS]
        if "conf/newvers.sh" in line:
            yield Rule("vers.c", where, text)
        elif (match := _MAKES.match(line)) and f"{match[1]}.o" in objects:
            folder = f"arch/{names[match[2]]}/" if match[2] else ""
            below = folder + match[3].replace("${_mach}", names["mach"])
            below = posixpath.normpath(below.replace("${_arch}", names["arch"]))
            yield Rule(selection.reader.tree.below_sys(below), where, text)


def _lines(selection: Selection, file: str) -> list[str]:
    """A file's lines; none if there is no such file."""
    text = selection.reader.text(file) if selection.reader.has(file) else None
    return text.split("\n") if text else []
