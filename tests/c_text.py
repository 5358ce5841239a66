"""C read by hand and by nobody's parser: what stands around a place of a file.

Ours and cscope's answers are judged by this. It knows blanked comments and strings, directives,
braces (the branches of an ``#if`` count as one) and parentheses, and nothing of grammar.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

_SKIP = re.compile(
    r"/\*.*?(?:\*/|\Z)|//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?", re.DOTALL
)
_DIRECTIVE = re.compile(
    r"^[ \t]*(?:#|\?\?=)[ \t]*(\w*)[^\\\n]*(?:\\(?:\r?\n|.)[^\\\n]*)*", re.M | re.S
)
_EVENT = re.compile(r"[{}()]|\n#(if|el|en)")
_HEADER = 1500


class CText:
    """One file."""

    def __init__(self, data: bytes) -> None:
        self.raw = data.decode("latin-1")
        self.lines = self.raw.split("\n")
        self.text = _SKIP.sub(_blank, self.raw)
        self.starts = [0, *(match.end() for match in re.finditer("\n", self.text))]

    # ---- lines

    def line_of(self, at: int) -> int:
        """The line (from 1) of an offset."""
        return bisect_right(self.starts, at)

    def code(self, line: int) -> str:
        """A line without comments and strings."""
        return self.text[self.starts[line - 1] :].split("\n", 1)[0]

    def places(self, line: int, name: str) -> list[int]:
        """The offsets at which a name stands on a line."""
        if line > len(self.starts):
            return []
        start = self.starts[line - 1]
        return [start + m.start() for m in re.finditer(rf"\b{re.escape(name)}\b", self.code(line))]

    def before(self, at: int, many: int = 300) -> str:
        """The code before an offset, its blanks as one."""
        return " ".join(self._around(at)[max(0, at - many) : at].split())

    def after(self, at: int, many: int = 1200) -> str:
        """The code from an offset on, its blanks as one."""
        return " ".join(self._around(at)[at : at + many].split())

    def _around(self, at: int) -> str:
        """The code in which that offset is to be read: of directives or without them."""
        return self._joined if self.directive(self.line_of(at))[0] else self.plain

    # ---- directives

    @cached_property
    def directives(self) -> list[tuple[int, int, str, str]]:
        """First and last line, word and text of each."""
        found = []
        for match in _DIRECTIVE.finditer(self.text):
            first = self.line_of(match.start())
            last = self.line_of(max(match.start(), match.end() - 1))
            found.append((first, last, match[1], match[0]))
        return found

    @cached_property
    def _first_lines(self) -> list[int]:
        return [first for first, *_ in self.directives]

    def directive(self, line: int) -> tuple[str, str]:
        """The word and the text of the directive that a line belongs to, or two empty ones."""
        at = bisect_right(self._first_lines, line) - 1
        if at >= 0 and line <= self.directives[at][1]:
            return self.directives[at][2], self.directives[at][3]
        return "", ""

    @cached_property
    def _dead(self) -> list[tuple[int, int]]:
        """The lines from each ``#if 0`` to its end."""
        found, open_now = [], []
        for first, last, word, text in self.directives:
            if word in ("if", "ifdef", "ifndef"):
                open_now.append((last, bool(re.match(r"\s*#\s*if\s+0\s*\Z", text))))
            elif word in ("else", "elif", "endif") and open_now:
                start, dead = open_now.pop()
                if dead:
                    found.append((start, first))
                if word != "endif":
                    open_now.append((last, False))
        return found

    def is_dead(self, line: int) -> bool:
        """Whether a line stands within ``#if 0``."""
        return any(start < line < end for start, end in self._dead)

    @cached_property
    def plain(self) -> str:
        """The code without directives, as long as the file."""
        return _DIRECTIVE.sub(_blank_all, self.text)

    @cached_property
    def _joined(self) -> str:
        """The code with directives, whose lines go on without a backslash."""
        return self.text.replace("\\\n", " \n")

    @cached_property
    def _structure(self) -> str:
        """The code in which a directive is its first three characters."""
        return _DIRECTIVE.sub(_mark, self.text)

    # ---- braces

    @cached_property
    def _events(self) -> tuple[list[int], list[tuple[int, ...]]]:
        """Offsets, and from each on the offsets of the brackets that are open."""
        offsets = [0]
        open_now: list[tuple[int, ...]] = [()]
        stack: tuple[int, ...] = ()
        groups: list[tuple[int, ...]] = []
        for match in _EVENT.finditer("\n" + self._structure):
            at, what = match.start() - 1, match[1]
            if what == "if":
                groups.append(stack)
            elif what == "el" and groups:
                stack = groups[-1]
            elif what == "en" and groups:
                groups.pop()
            elif match[0] in "{(":
                stack = (*stack[-60:], at)
            else:
                stack = self._closed(stack, match[0])
            offsets.append(at + 1)
            open_now.append(stack)
        return offsets, open_now

    def _closed(self, stack: tuple[int, ...], bracket: str) -> tuple[int, ...]:
        """Without the innermost; a brace also closes parentheses, never one a brace."""
        if bracket == ")":
            return stack[:-1] if stack and self.text[stack[-1]] == "(" else stack
        while stack and self.text[stack[-1]] == "(":
            stack = stack[:-1]
        return stack[:-1]

    def open_at(self, at: int) -> tuple[int, ...]:
        """The offsets of the brackets that are open before an offset."""
        offsets, open_now = self._events
        return open_now[bisect_right(offsets, at) - 1]

    def braces(self, at: int) -> list[str]:
        """What each open brace holds, from outside: ``enum``, ``struct``, ``=`` (an initialiser),
        ``function`` or ``block``."""
        kinds: list[str] = []
        for one in self.open_at(at):
            if self.text[one] == "{":
                kinds.append("=" if kinds[-1:] == ["="] else self._kind(one))
        return kinds

    def parentheses(self, at: int) -> int:
        """How many parentheses are open since the innermost brace."""
        many = 0
        for one in reversed(self.open_at(at)):
            if self.text[one] == "{":
                break
            many += 1
        return many

    def _kind(self, brace: int) -> str:
        before = self.plain[max(0, brace - _HEADER) : brace].rstrip()
        head = re.split(r"[;{}]", before)[-1]
        if re.search(r"\benum\b[^()=]*$", head):
            return "enum"
        if re.search(r"\b(struct|union|class|namespace)\b[^()=]*$", _no_attributes(head)):
            return "struct"
        if not head.strip():
            return "block"
        if re.fullmatch(r"\s*extern\s*\"[ ]*\"\s*", head):
            return "extern"
        if head.rstrip().endswith(("=", ",", "(", "return")):
            return "="
        return "function"

    # ---- functions, as the BSDs write them

    @cached_property
    def _margins(self) -> tuple[list[int], list[str]]:
        """Lines with a brace in the first column, and which."""
        found = [(at, line[:1]) for at, line in enumerate(self.plain.split("\n"), 1)
                 if line[:1] in ("{", "}")]  # fmt: skip
        return [at for at, _ in found], [brace for _, brace in found]

    def header(self, line: int) -> str:
        """What stands before the function that a line is in by braces in the first column."""
        lines, braces = self._margins
        at = bisect_right(lines, line) - 1
        if at < 0 or braces[at] != "{":
            return ""
        end = self.starts[lines[at] - 1]
        start = self.starts[lines[at - 1] - 1] + 1 if at else 0
        return self.plain[max(start, end - _HEADER) : end]


def _no_attributes(head: str) -> str:
    return re.sub(r"__\w+\s*(\([^()]*(\([^()]*\)[^()]*)*\))?", "", head)


def _blank(match: re.Match[str]) -> str:
    found = match[0]
    blank = re.sub(r"(?!\\\n)[^\n]", " ", found)
    if found[:1] in "\"'" and len(found) > 1 and found[-1] == found[0] and "\n" not in found:
        return found[0] + blank[1:-1] + found[0]
    return blank


def _blank_all(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _mark(match: re.Match[str]) -> str:
    word = match[1][:2] if match[1][:2] in ("if", "el", "en") else "--"
    blank = re.sub(r"[^\n]", " ", match[0])
    return ("#" + word + blank[3:]) if len(blank) >= 3 and "\n" not in blank[:3] else blank
