"""Questions about files as people put them: a path in any form, or a folder."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from timehands.errors import FileUnusable
from timehands.sources.config.model import Configuration, Why
from timehands.sources.config.reading import joined
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where

_SOURCES = (".c", ".S", ".s", ".m", ".cc", ".rs")
_MOST_MAKEFILES = 40
_MOST_LISTS = 500
#: How much of a file's name has to be right.
_LIKE = 0.7
_UNNAMED = "no line that is read for this kernel names it"


def path_in_tree(tree: SourceTree, configuration: Configuration, asked: str) -> str:
    """The path that is meant, relative to the tree's root.

    Understood are paths in the tree, below its kernel's folder (``kern/kern_tc.c``), absolute ones,
    and the bare name of a file if only one of that name is known. What is not found stays as it is.
    """
    if asked.startswith("/"):
        resolved = Path(asked).resolve()
        if resolved.is_relative_to(tree.root):
            asked = resolved.relative_to(tree.root).as_posix()
    asked = joined("", asked.rstrip("/") or ".")
    below = tree.below_sys(asked)
    for candidate in (asked, below):
        if tree.has(candidate) or candidate in configuration.rules:
            return candidate
    named = [file for file in configuration.rules if file.endswith(f"/{asked}")]
    return named[0] if len(named) == 1 else asked


def why(tree: SourceTree, configuration: Configuration, asked: str) -> tuple[str, list[Why]]:
    """The answers for a file, or for each file of a folder, and the path that they are about."""
    file = path_in_tree(tree, configuration, asked)
    if tree.has(file) and tree.path(file).is_dir():
        return file, list(_folder(tree, configuration, file))
    return file, [one(tree, configuration, file)]


def one(tree: SourceTree, configuration: Configuration, file: str) -> Why:
    """The answer for a file; one that no rule names gets a note on what is known of it."""
    answer = configuration.why(file)
    if answer.verdicts or answer.note:
        return answer
    if answer.modules:
        return replace(answer, note=_UNNAMED)
    if not tree.has(file):
        near = "".join(f"; perhaps {one}" for one in _near(configuration, file)[:1])
        return replace(answer, note=f"{_UNNAMED}, and the tree has no such file{near}")
    return _unnamed(tree, answer)


def _near(configuration: Configuration, file: str) -> list[str]:
    """Files that rules name whose names are like this one's; those of its folder first."""
    folder, _, name = file.rpartition("/")
    known = {one: one.rpartition("/") for one in configuration.rules}
    like = difflib.get_close_matches(name, {parts[2] for parts in known.values()}, 3, _LIKE)
    found = [one for one, parts in known.items() if parts[2] in like]
    return sorted(found, key=lambda one: (known[one][0] != folder, like.index(known[one][2]), one))


def _folder(tree: SourceTree, configuration: Configuration, folder: str) -> Iterator[Why]:
    prefix = "" if folder == "." else f"{folder}/"
    known = [file for file in configuration.rules if file.startswith(prefix)]
    there = [file for file in tree.files(folder) if file.endswith(_SOURCES)]
    for file in sorted({*known, *there}):
        answer = configuration.why(file)
        yield answer if answer.verdicts or answer.note else replace(answer, note=_UNNAMED)


def _unnamed(tree: SourceTree, answer: Why) -> Why:
    """The answer for a file that no line names: what is known of it all the same."""
    file = answer.file
    if (other := _other_list(tree, file)) is not None:
        words = f"but {other} does: another machine's list, or one that is not taken in"
        return replace(answer, note=f"{_UNNAMED}, {words}", noted=other)
    if file.endswith((".h", ".inc")):
        note = "a header is not compiled by itself, but with the files that include it"
    elif (mention := _mention(tree, file)) is not None:
        note = f"{_UNNAMED}, but {mention} does: it is that makefile's matter"
        answer = replace(answer, noted=mention)
    else:
        note = f"{_UNNAMED}: it may be included by another file, or unused"
    return replace(answer, note=note, known=False)


def _other_list(tree: SourceTree, file: str) -> Where | None:
    """The first line of the BSDs' lists of files that names it, though this kernel has not."""
    name = file.removeprefix(f"{tree.sys}/") if tree.sys else file
    word = re.compile(rf"^\s*(?:file\s+)?{re.escape(name)}\s", re.MULTILINE)
    for number, listed in enumerate(_lists(tree, file)):
        if number >= _MOST_LISTS:
            break
        text = "\n".join(_lines(tree, listed))
        if match := word.search(text):
            return Where(listed, text.count("\n", 0, match.end() - 1) + 1)
    return None


def _lists(tree: SourceTree, file: str) -> Iterator[str]:
    """``files*`` beside the file and above it, of sys/conf and of each architecture's conf."""
    folder = file.rpartition("/")[0]
    while folder and folder != tree.sys:
        yield from (one for one in _named(tree, folder, "files") if one != file)
        folder = folder.rpartition("/")[0]
    yield from _named(tree, tree.below_sys("conf"), "files")
    for machine in _named(tree, tree.below_sys("arch"), ""):
        yield from _named(tree, f"{machine}/conf", "files")


def _mention(tree: SourceTree, file: str) -> Where | None:
    """The first makefile of its folder or of those above that has the file's name.

    Its object serves as well, by its path from there: others have objects of the same name.
    """
    folder, _, name = file.rpartition("/")
    left = _MOST_MAKEFILES
    while folder and left > 0:
        word = _word(name, file[len(folder) + 1 :])
        for makefile in _named(tree, folder, "Makefile", "Kbuild")[:left]:
            left -= 1
            for number, line in enumerate(_lines(tree, makefile), 1):
                if not line.lstrip().startswith("#") and word.search(line):
                    return Where(makefile, number)
        folder = folder.rpartition("/")[0]
    return None


def _word(name: str, path: str) -> re.Pattern[str]:
    base = path.rpartition(".")[0] or path
    return re.compile(rf"(?<![\w.-])(?:{re.escape(name)}|{re.escape(base)}\.o)(?![\w.-])")


def _named(tree: SourceTree, folder: str, *starts: str) -> list[str]:
    """What a folder has whose name begins so, in order."""
    try:
        names = sorted(path.name for path in tree.path(folder).iterdir())
    except (FileUnusable, OSError):
        return []
    return [f"{folder}/{name}" for name in names if name.startswith(starts)]


def _lines(tree: SourceTree, file: str) -> list[str]:
    try:
        return tree.text(file).split("\n")
    except FileUnusable:
        return []
