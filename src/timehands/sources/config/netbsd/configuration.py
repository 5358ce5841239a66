"""A NetBSD kernel configuration, resolved as config(1) resolves it."""

from __future__ import annotations

from dataclasses import replace

from timehands.sources.config.model import Configuration, Reasons, Setting, State, Step
from timehands.sources.config.netbsd.dialect import NETBSD, Dialect
from timehands.sources.config.netbsd.explain import Names
from timehands.sources.config.netbsd.made import add_made
from timehands.sources.config.netbsd.scanner import Malformed
from timehands.sources.config.netbsd.selection import Selection
from timehands.sources.config.reading import Place, Reader


def folder(arch: str) -> str:
    """Where the configurations of an architecture are, below the kernel's folder."""
    return f"arch/{arch}/conf"


def resolve(
    reader: Reader, file: str, name: str, arch: str, dialect: Dialect = NETBSD
) -> Configuration:
    """The configuration in a file of the tree (or outside of it), resolved."""
    selection = Selection(reader, dialect)
    selection.read(Place(file))
    if not selection.machine:
        reader.complaints.add(None, "no machine directive: nothing is defined")
    _attach(selection)
    _imply(selection)
    add_made(selection, dialect)
    names = Names(selection, dialect.option)
    return Configuration(
        name=name,
        system=dialect.system,
        arch=selection.machine or arch,
        source=file,
        settings=_settings(selection),
        rules=selection.definitions.tables.files,
        files=_compiled(selection, names),
        noted=reader.complaints,
        explainer=names,
    )


def _settings(selection: Selection) -> dict[tuple[str, str], Setting]:
    """All that was set, by the words that the system has for it."""
    words = {"options": selection.dialect.option}
    found = {}
    for (kind, name), one in selection.ledger.settings().items():
        own = words.get(kind, kind)
        found[own, name] = one if own == kind else replace(one, kind=own)
    return found


def _attach(selection: Selection) -> None:
    """Select each device that has something to attach to, its attachment, and their attributes."""
    tables, selected = selection.definitions.tables, selection.selected
    parted, orphans = selection.instances.activate()
    for orphan in (*parted, *orphans):
        where, words = orphan.chain[-1].where, f"there is no {orphan.at} for it to attach to"
        selection.ledger.remove("device", orphan.name, (Step(where, f"left out: {words}"),))
        if orphan in orphans:
            selection.reader.complaints.add(where, f"{orphan.name} is left out: {words}")
    for one in selection.instances.all:
        if one.active:
            _select_device(selection, one.device.name, one.chain)
            selected.attribute(one.attachment.name, (*one.attachment.steps, *one.chain))
            for name in one.attachment.attributes:
                selected.attribute(name, one.attachment.steps, one.attachment.name)
    for name, chain in selection.instances.pseudo.items():
        _select_device(selection, name, chain)
    tables.firm()


def _select_device(selection: Selection, name: str, chain: tuple[Step, ...]) -> None:
    tables, selected = selection.definitions.tables, selection.selected
    device = tables.device(name)
    selected.add(name, chain)
    for attribute in (*device.attributes, *tables.attribute(name).needs):
        selected.attribute(attribute, device.steps, name)


def _imply(selection: Selection) -> None:
    """Set the options that options and file systems need, and those that they need in turn."""
    tables, ledger = selection.definitions.tables, selection.ledger
    waiting = [*ledger.names("options"), *ledger.names("file-system")]
    done: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        declared = tables.options.get(name)
        for need in declared.needs if declared and name not in done else ():
            assert declared is not None
            if need in tables.attributes:
                selection.selected.attribute(need, declared.steps, name.lower())
                continue
            if not ledger.on("options", need):
                chain = (*declared.steps, *ledger.chain("options", name))
                try:
                    selection.option(need, None, chain, name.lower())
                    ledger.set("options", need, None, (), State.IMPLIED)
                except Malformed as error:
                    selection.reader.complaints.add(declared.steps[-1].where, str(error))
            waiting.append(need)
        done.add(name)


def _compiled(selection: Selection, names: Names) -> Reasons:
    """The files whose conditions hold; of two that make the same object, the later one."""
    tables, by_object = selection.definitions.tables, dict[str, str]()
    wanted: dict[str, str] = {}
    for file in tables.files.wanted(tables.units, selection.selected.causes):
        base = file.rpartition("/")[2]
        name = wanted[file] = base.rpartition(".")[0] or base
        by_object[name] = file
    names.displaced = {
        file: by_object[name] for file, name in wanted.items() if by_object[name] != file
    }
    kept = (file for file in wanted if file not in names.displaced)
    return Reasons(tables.files.only(kept), names.chain)
