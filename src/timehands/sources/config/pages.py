"""Answers about configurations as pages (`timehands.sources.document`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from timehands.sources.config.comparing import Difference, Pair
from timehands.sources.config.equivalents import Meant
from timehands.sources.config.model import (
    Chain,
    Complaint,
    Configuration,
    Setting,
    Verdict,
    Why,
)
from timehands.sources.document import Block, Cell, Document, Heading, Part, Table, Words

_MOST_CHANGES = 6
_MOST_COMPLAINTS = 12
_MOST_DEPENDENTS = 20
#: So many settings are shown with all that depends on them.
_FEW = 3
_WIDEST = 48
#: So many steps of a chain are too many for a table of differences.
_LONG = 3


def kernel(configuration: Configuration) -> str:
    """A configuration by its name: ``FIRECRACKER (FreeBSD, amd64)``."""
    return f"{configuration.name} ({configuration.system}, {configuration.arch})"


def chain_blocks(chain: Chain, indent: int = 2) -> Iterator[Words]:
    """A chain, a line for each step, the words under each other."""
    widths = [len(str(step.where)) for step in chain if step.where]
    width = min(max(widths, default=0), _WIDEST)
    for step in chain:
        if step.where is None:
            yield Words(f"{'':<{width}}  {step.words}", "doubt", indent)
            continue
        gap = " " * (max(0, width - len(str(step.where))) + 2)
        yield Words((step.where, gap, step.words), "", indent)


def why_page(configuration: Configuration, why: Why) -> Document:
    """Why one file is compiled, or what would have to change."""
    verb = "is compiled into" if why.compiled else "is not compiled into"
    if not why.known:
        verb = "is not decided by the configuration of"
    title = f"{why.file} {verb} {kernel(configuration)}"
    blocks: list[Block] = [Words(_note(why), "doubt", 2)] if why.note else []
    several = len(why.verdicts) > 1
    for verdict in why.verdicts:
        if several:
            holds = "this line holds" if verdict.holds else "this line does not hold"
            blocks.append(Heading(str(verdict.rule.where), holds))
        blocks += chain_blocks(verdict.chain)
        blocks += _change_blocks(verdict)
    if why.modules:
        blocks.append(Words("As a module it is built by:"))
        blocks += chain_blocks(why.modules)
    return Document(title, (*blocks, *complaint_blocks(configuration.complaints)))


def _note(why: Why) -> Cell:
    """The note, with the place in it as one."""
    before, _, after = why.note.partition(str(why.noted))
    return (before, why.noted, after) if why.noted is not None else why.note


def _change_blocks(verdict: Verdict) -> Iterator[Block]:
    if verdict.holds:
        return
    if not verdict.changes:
        yield Words("No change of the configuration was found that would put it there.", "doubt")
        return
    yield Words("It would be, with:" if len(verdict.changes) == 1 else "It would be, with one of:")
    for change in verdict.changes[:_MOST_CHANGES]:
        parts: list[Part] = []
        for step in change.steps:
            parts += [" and ", step.words] if parts else [step.words]
            if step.where:
                parts += [" (", step.where, ")"]
        yield Words(tuple(parts), "good", 2)
    more = len(verdict.changes) - _MOST_CHANGES
    if more > 0:
        yield Words(f"{more:,} more ways", "dim", 2)


def files_page(configuration: Configuration, folder: str, whys: Sequence[Why]) -> Document:
    """Which files of a folder are compiled, and by which lines."""
    compiled = sum(why.compiled for why in whys)
    title = f"{folder}: {compiled:,} of {len(whys):,} files are compiled into "
    rows = []
    for why in whys:
        verdict = next((one for one in why.verdicts if one.holds), None)
        verdict = verdict or (why.verdicts[0] if why.verdicts else None)
        where: Cell = verdict.rule.where if verdict else ""
        condition = str(verdict.rule.condition) if verdict else why.note
        if why.modules and verdict is None:
            where, condition = why.modules[0].where or "", f"module: {why.modules[0].words}"
        rows.append((why.file, "yes" if why.compiled else "no", where, condition))
    table = Table(("file", "compiled", "line", "if"), tuple(rows))
    blocks = (table, *complaint_blocks(configuration.complaints))
    return Document(title + kernel(configuration), blocks)


def configuration_page(configuration: Configuration, words: Sequence[str] = ()) -> Document:
    """All settings, or those whose names have one of the words, with where each came from."""
    shown = [one for one in configuration.settings.values() if matches(one, words)]
    blocks: list[Block] = []
    order = list(dict.fromkeys(one.kind for one in shown))
    shown.sort(key=lambda one: order.index(one.kind))
    for kind, found in groupby(shown, key=lambda one: one.kind):
        settings = list(found)
        off = sum(not one.on for one in settings)
        count = f"{len(settings) - off:,}" + (f", and {off:,} that are off" if off else "")
        blocks.append(Heading(kind, count))
        rows = tuple((one.spelled, str(one.state), _told(one.chain)) for one in settings)
        blocks.append(Table(("name", "state", "where"), rows))
    if words and len(shown) <= _FEW:
        for one in shown:
            blocks += _dependents(configuration, one)
    if words and not shown:
        blocks.append(Words(f"No setting has {' or '.join(words)} in its name.", "doubt"))
    files = "" if words else f": {len(configuration.files):,} files compiled"
    title = f"{kernel(configuration)}{files}, from {configuration.source}"
    return Document(title, (*blocks, *complaint_blocks(configuration.complaints)))


def _dependents(configuration: Configuration, setting: Setting) -> Iterator[Block]:
    """What depends on a setting: lines of files, and of other settings."""
    found = configuration.explainer.dependents(configuration, setting)
    yield Heading(f"depends on {setting.kind} {setting.name}", f"{len(found):,}")
    yield from chain_blocks(tuple(found[:_MOST_DEPENDENTS]))
    more = len(found) - _MOST_DEPENDENTS
    if more > 0:
        yield Words(f"{more:,} more lines", "dim", 2)


def matches(setting: Setting, words: Sequence[str]) -> bool:
    """Whether a setting is one of those asked for; without words, all are."""
    return not words or any(word.lower() in setting.name.lower() for word in words)


def _told(chain: Chain) -> Cell:
    """A chain within a cell: where it was set; if more was said, each line with its words."""
    steps = [step for step in chain if not step.words.startswith(("include ", "machine "))]
    steps = steps or list(chain[-1:])
    if len(steps) == 1:
        return steps[0].where or steps[0].words
    parts: list[Part] = []
    for step in steps:
        parts += ["; "] if parts else []
        parts += [step.where, " "] if step.where else []
        parts.append(step.words)
    return tuple(parts)


def difference_page(difference: Difference) -> Document:
    """How two configurations differ."""
    a, b = difference.a, difference.b
    if difference.across:
        return _across_page(difference)
    blocks: list[Block] = []
    for where, who in (("a", a), ("b", b), ("both", None)):
        pairs = [pair for pair in difference.pairs if pair.where == where]
        if not pairs:
            continue
        heading = f"only in {who.name}" if who else "with another value"
        blocks.append(Heading(heading, f"{len(pairs):,}"))
        blocks.append(_pairs_table(pairs, difference))
    for name, only in ((a.name, difference.only_a), (b.name, difference.only_b)):
        blocks.append(Heading(f"files compiled only into {name}", f"{len(only):,}"))
        blocks.append(Words(_folders(only), "dim", 2))
    count, same = len(difference.pairs), difference.same
    differ = "1 setting differs" if count == 1 else f"{count:,} settings differ"
    title = f"{kernel(a)} and {kernel(b)}: {differ}, {same:,} are the same"
    complaints = complaint_blocks((*a.complaints, *b.complaints))
    return Document(title, (*blocks, *complaints))


def _pairs_table(pairs: Sequence[Pair], difference: Difference) -> Table:
    rows = []
    for pair in pairs:
        cells: list[Cell] = [f"{pair.kind} {pair.name}"]
        for setting in (pair.a, pair.b):
            cells.append(_standing(setting))
        rows.append(tuple(cells))
    return Table(("setting", difference.a.name, difference.b.name), tuple(rows))


def _standing(setting: Setting | None) -> Cell:
    if setting is None:
        return "-"
    told = _in_short(setting.chain) or _told(setting.chain)
    parts = told if isinstance(told, tuple) else (told,)
    if not setting.on:
        return (f"{setting.state}: ", *parts)
    return (f"{setting.value}  ", *parts) if setting.value is not None else told


def _in_short(chain: Chain) -> tuple[Part, ...]:
    """Where a long story begins and ends: all of it is for `config` itself."""
    steps = [step for step in chain if not step.words.startswith("include ")]
    places = [step.where for step in steps if step.where]
    if len(places) < _LONG:
        return ()
    return (places[0], " ... ", places[-1])


def _folders(files: Iterable[str], most: int = 12) -> str:
    """How many files of each folder: ``sys/dev/usb (31), sys/dev/ata (12), ...``."""
    counts: dict[str, int] = {}
    for file in files:
        folder = file.rpartition("/")[0] or "made by the build"
        counts[folder] = counts.get(folder, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{folder} ({count:,})" for folder, count in ranked[:most])
    return told + (f", and {len(ranked) - most:,} more folders" if len(ranked) > most else "")


def _across_page(difference: Difference) -> Document:
    sides = (difference.a, difference.b)
    names = [side.name for side in sides]
    if names[0] == names[1]:
        names = [f"{side.system} {side.name}" for side in sides]
    width = max(map(len, names))
    widest = max(len(meant.words) for row in difference.meanings for meant in row[1:])
    blocks: list[Block] = []
    for subject, *meanings in difference.meanings:
        blocks.append(Words(subject, "bold"))
        for name, meant in zip(names, meanings, strict=True):
            blocks.append(Words(_meant(f"{name:<{width}}", meant, widest), "", 2))
    title = f"{kernel(difference.a)} and {kernel(difference.b)}, by what their settings mean"
    complaints = complaint_blocks((*difference.a.complaints, *difference.b.complaints))
    return Document(title, (*blocks, *complaints))


def _meant(name: str, meant: Meant, widest: int) -> Cell:
    if not meant.known:
        return f"{name}  has nothing of the kind"
    where = next((step.where for step in reversed(meant.chain) if step.where), None)
    value = f"={meant.value}" if meant.on and meant.value and len(meant.value) < 12 else ""
    words = f"{name}  {'yes' if meant.on else 'no '}  {meant.words}{value}"
    if where is None:
        return words
    return (f"{words:<{len(name) + 7 + widest}}  ", where)


def complaint_blocks(complaints: Sequence[Complaint]) -> Iterator[Block]:
    """What could not be read or understood."""
    if not complaints:
        return
    yield Heading("Not understood, and left out", f"{len(complaints):,}")
    for complaint in complaints[:_MOST_COMPLAINTS]:
        where: tuple[Part, ...] = (complaint.where, "  ") if complaint.where else ()
        yield Words((*where, complaint.text), "doubt", 2)
    more = len(complaints) - _MOST_COMPLAINTS
    if more > 0:
        yield Words(f"{more:,} more; --json has them all", "dim", 2)
