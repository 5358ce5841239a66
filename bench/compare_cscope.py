#!/usr/bin/env python3
"""Our index of C against cscope's on a whole tree: every difference, and the rule that explains it.

    bench/compare_cscope.py TREE [--arch amd64] [--names 200] [--seed 1] [--keep FOLDER] [--show N]

Draws names of each kind (functions, variables, macros, types, members, enumerators) from the index,
asks cscope's line mode of each for its lines (0), definitions (1), callees (2), callers (3) and
assignments (9), and compares. The rules are those that the tests use (``tests/cscope_rules.py``).
What none explains is printed; the exit status is then 1. ``--keep`` names a folder in which both
indexes are kept for the next time; the tree itself is not touched.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from c_text import CText
from cscope_answers import Comparison, Cscope, Difference, drawn
from cscope_rules import Rule, explain
from timehands.sources.code import Index
from timehands.sources.code.files import files_of
from timehands.sources.tree import SourceTree

_QUESTIONS = {
    0: "-0 every line", 1: "-1 definitions", 2: "-2 callees", 3: "-3 callers", 9: "-9 assignments",
}  # fmt: skip


class Tally:
    """What was found so far."""

    def __init__(self, root: Path, show: int) -> None:
        self.both: Counter[int] = Counter()
        self.only: Counter[tuple[int, bool]] = Counter()
        self.rules: Counter[tuple[int, bool, Rule]] = Counter()
        self.unexplained: list[Difference] = []
        self._root, self._show = root, show
        self._examples: defaultdict[Rule, list[str]] = defaultdict(list)
        self._text = lru_cache(200)(self._read)

    def _read(self, file: str) -> CText:
        return CText((self._root / file).read_bytes())

    def take(self, one: Difference) -> None:
        """Count a difference and look for its rule."""
        self.only[one.field, one.only_cscope] += 1
        rule = explain(one, self._text(one.line.file))
        if rule is None:
            self.unexplained.append(one)
            return
        self.rules[one.field, one.only_cscope, rule] += 1
        if len(self._examples[rule]) < self._show:
            self._examples[rule].append(self.words(one))

    def words(self, one: Difference) -> str:
        """A difference on a line."""
        where = f"{one.line.file}:{one.line.line}"
        lines = self._text(one.line.file).lines[one.line.line - 1 : one.line.line]
        line = " ".join("".join(lines).split())[:110]
        said = ", ".join(sorted({f"{w.list}: {w.what} {w.function}" for w in one.whats}))
        who = "cscope" if one.only_cscope else "ours"
        of = f"{one.asked} {one.line.function}".strip()
        head = f"    -{one.field} {of} only {who}: {where}"
        return f"{head}\n        {line}\n        [{said}] {' '.join(one.others)}"

    def report(self) -> str:
        """The tables."""
        lines = [f"{'':18}{'both':>10}{'only cscope':>14}{'only ours':>12}"]
        for field, words in _QUESTIONS.items():
            theirs, mine = self.only[field, True], self.only[field, False]
            lines.append(f"{words:18}{self.both[field]:>10,}{theirs:>14,}{mine:>12,}")
        lines.append("")
        for (field, only_cscope, rule), many in sorted(
            self.rules.items(), key=lambda item: (item[0][0], not item[0][1], -item[1])
        ):
            who = "only cscope" if only_cscope else "only ours"
            lines.append(f"-{field} {who:12} {many:>7,}  {rule.name} ({rule.whose}): {rule.why}")
            lines += self._examples.pop(rule, [])
        lines.append(f"unexplained: {len(self.unexplained)}")
        lines += [self.words(one) for one in self.unexplained]
        return "\n".join(lines)


def compare(tree: SourceTree, options: argparse.Namespace, folder: Path) -> int:
    """Compare, print; how many differences are unexplained."""
    index = Index.open(tree, cache=folder / "cache", arch=options.arch)
    files = sorted(path for path, _, _ in files_of(tree, tree.sys, options.arch))
    names = options.name or drawn(folder / "cache", options.names, options.seed)
    tally = Tally(tree.root, options.show)
    with Cscope(tree.root, files, folder) as cscope:
        cscope.ask_assignments(names)
        comparison = Comparison(index, cscope)
        for name in names:
            for field, both, found in comparison.of(name):
                tally.both[field] += both
                for one in found:
                    tally.take(one)
    index.close()
    print(f"{tree.root}: {len(files):,} files, {len(names):,} names (seed {options.seed})")
    print(tally.report())
    return len(tally.unexplained)


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tree")
    parser.add_argument("--arch", default="amd64")
    parser.add_argument("--names", type=int, default=200, help="of each kind (default 200)")
    parser.add_argument("--name", action="append", help="this name; none is drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--show", type=int, default=0, help="examples of each rule")
    options = parser.parse_args()
    tree = SourceTree.open(options.tree)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        return 1 if compare(tree, options, options.keep) else 0
    with tempfile.TemporaryDirectory() as name:
        return 1 if compare(tree, options, Path(name)) else 0


if __name__ == "__main__":
    sys.exit(main())
