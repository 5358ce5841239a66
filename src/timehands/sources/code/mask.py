"""A C file made fit for parsing, byte for byte in place: offsets and lines stay what they were.

Comments and the insides of strings become blanks. What the preprocessor would take away (its
lines, attributes that are macros, ``#else`` branches that would leave braces open) becomes blanks,
too, in the copy for the parser. Of that, what it gets to see is made C by `parsable`. No macro is
expanded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_TO_BLANK: Final = bytes(c if c in b"\n" else 0x20 for c in range(256))
#: Of a string's first character only that stays by which assembly says what it writes.
_OUTPUTS: Final = bytes(c if c in b"=+" else 0x20 for c in range(256))

# No pattern here may go back over what it took: a file is as large as its writer likes.
#: Taken whole, so that what looks like code in one is none; unterminated ones go to the end.
COMMENT_OR_STRING: Final = re.compile(
    rb"/\*[^*]*(?:\*(?!/)[^*]*)*(?:\*/)?|//[^\n]*"
    rb"|\"[^\"\\\n]*(?:\\.[^\"\\\n]*)*\"?|'[^'\\\n]*(?:\\.[^'\\\n]*)*'?",
    re.DOTALL,
)
_DIRECTIVE: Final = re.compile(
    rb"\n[ \t]*#[ \t]*(\w*)[^\\\n]*(?:\\(?:\r?\n|.)[^\\\n]*)*", re.DOTALL
)
_BARE: Final = (
    b"unused|diagused|debugused|dead2?|packed|read_mostly|read_frequently|pure2?|noinline|"
    b"always_inline|exclusive_cache_line|cacheline_aligned|cold|hot|used|init|exit|initdata|"
    b"initconst|ro_after_init|maybe_unused|user|iomem|percpu|rcu|force|must_check|returns_twice|"
    b"noprofile|nosanitize\\w{2,20}|hidden|noasan|weak|"
    b"weak_symbol|visible|sched|kprobes|"
    b"net_init|net_exit|meminit|latent_entropy|noreturn|result_use_check|BEGIN_DECLS|END_DECLS|"
    b"noubsan|nodebug|cpuinit|devinit|nostackprotector|refdata|ref|exitdata|dso_public"
)
_CALLED: Final = (
    b"attribute|attribute__|aligned|section|printflike|printf0like|scanflike|strftimelike|nonnull|"
    b"alloc_size|alloc_size2|alloc_align|FBSDID|KERNEL_RCSID|RCSID|COPYRIGHT|locks_exclusive|"
    b"locks_shared|unlocks|requires_exclusive|acquires|releases|must_hold|bounded__|counted_by|"
    b"syslog_attribute__|format_arg|asm__|predict_likely|declared_aligned|malloc_like|printf|"
    b"link_set_add_data|link_set_add_text|link_set_add_rodata|USER_RCSID"
)
_WITHIN: Final = rb"[^()]{0,300}+(?:%s[^()]{0,300}+){0,20}+"
_NESTED = rb"[^()]{0,300}+"
for _ in range(4):
    _NESTED = _WITHIN % (rb"\(" + _NESTED + rb"\)")
_ATTRIBUTE: Final = re.compile(
    rb"__(?:(?:" + _BARE + rb")\b(?![ \t]*\()|(?:" + _CALLED + rb")[ \t]*"
    rb"\(" + _NESTED + rb"\))"
)
#: Another name for a function: no C, but the names in it count.
_ALIAS: Final = re.compile(
    rb"__(?:strong_alias|weak_alias|weak_reference|strong_reference|sym_compat|warn_references)"
    rb"[ \t]*\(" + _NESTED + rb"\)"
)
_TYPE_ARGUMENT: Final = re.compile(
    rb",[ \t\n]{0,80}(?:const[ \t]+)?(?:(?:struct|union|enum)[ \t]+\w+[ \t]*[* \t]*"
    rb"|\w+[ \t]*\*[* \t]*)(?=[,)])"
)
#: ``TAILQ_HEAD(, type) name``: a type that a macro makes.
_QUEUE: Final = re.compile(
    rb"\b(?:SLIST|STAILQ|LIST|TAILQ|SIMPLEQ|CIRCLEQ|RB|RBT|SPLAY|CK_\w{4,6})_(?:HEAD|ENTRY)"
    rb"[ \t]*\([^(){};]{0,200}+\)"
)
#: A macro that declares, alone at the margin: ``static SYSCTL_NODE(...);``
_AT_MARGIN: Final = re.compile(
    rb"\n(?:static[ \t\n]+)?[A-Z][A-Z0-9_]{2,60}+[ \t]?\("
    + _NESTED
    + rb"\)(?![ \t\n]{0,80}\{|[ \t]*[\w(])[ \t]*(?:=[^;{}]{0,200};|;)?"
)
#: One in small letters: ``check_syscall_args(sys_exit)``, and the next declaration at the margin.
_AT_MARGIN_SMALL: Final = re.compile(
    rb"(?<![\w*])\n[a-z_]\w{2,60}+\([\w, \t]{0,200}+\)(?=\n[A-Za-z_])"
)
_LAST_AT_MARGIN: Final = re.compile(rb"(?:\n|\A)[A-Z][A-Z0-9_]{2,60}\([\w, \t]{0,200}\)\Z")
_DEPTH: Final = 48
_CONDITIONS: Final = frozenset((b"if", b"ifdef", b"ifndef", b"elif", b"else", b"endif"))
#: After these an expression goes on.
_OPEN: Final = tuple(bytes((c,)) for c in b"=(|&+-*/?<>!")


class Directive(NamedTuple):
    """One line of the preprocessor (with its continuations): ``text[start:end]``."""

    word: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Masked:
    """``text``: comments and strings blanked; ``plain``: directives, too; ``code``: fit to parse.

    All are as long as the file.
    """

    text: bytes
    plain: bytes
    code: bytes
    directives: list[Directive]
    dead: list[tuple[int, int]]


def mask(data: bytes) -> Masked:
    """A file's bytes, masked."""
    text = COMMENT_OR_STRING.sub(_blank, data.replace(b"\0", b" "))
    if b"__" in text:
        text = _ATTRIBUTE.sub(_spaces, text)
    directives = [_directive(match) for match in _DIRECTIVE.finditer(b"\n" + text)]
    plain = _without(directives, text)
    conditions = _Conditions(bytearray(plain))
    for directive in directives:
        if directive.word in _CONDITIONS:
            conditions.take(directive, text)
    return Masked(text, plain, bytes(conditions.code), directives, conditions.dead)


def _without(directives: list[Directive], text: bytes) -> bytes:
    plain = bytearray(text)
    for directive in directives:
        start, end = directive.start, directive.end
        plain[start:end] = text[start:end].translate(_TO_BLANK)
    return bytes(plain)


def _directive(match: re.Match[bytes]) -> Directive:
    """The text has a line's end before it: a directive is looked for behind one."""
    return Directive(match[1], match.start(), match.end() - 1)


def _blank(match: re.Match[bytes]) -> bytes:
    found = match[0]
    first = found[:1]
    if first == b"/":
        if b"\\\n" in found:  # a macro goes on behind a comment in it
            return b"\\\n".join(part.translate(_TO_BLANK) for part in found.split(b"\\\n"))
        return found.translate(_TO_BLANK)
    if len(found) < 2 or b"\n" in found:
        return found.translate(_TO_BLANK)
    if first == b'"':
        return b'"' + found[1:-1][:1].translate(_OUTPUTS) + b" " * (len(found) - 3) + b'"'
    return b"0" + b" " * (len(found) - 1)


def _spaces(match: re.Match[bytes]) -> bytes:
    return match[0].translate(_TO_BLANK)


def parsable(code: bytes) -> bytes:
    """C whose macros read as C, as long as before: what stands outside of functions."""
    if b"_alias" in code or b"_reference" in code or b"__sym_compat" in code:
        code = _ALIAS.sub(_spaces, code)
    if b"_HEAD(" in code or b"_ENTRY(" in code:
        code = _QUEUE.sub(_type, code)
    code = _AT_MARGIN_SMALL.sub(_spaces, _AT_MARGIN.sub(_spaces, b"\n" + code))
    return _TYPE_ARGUMENT.sub(_spaces, code[1:])


def _type(match: re.Match[bytes]) -> bytes:
    return b"int" + match[0][3:].translate(_TO_BLANK)


@dataclass(slots=True)
class _Group:
    """An ``#if`` that is open: where its branches start and end so far."""

    condition: bytes
    first: int
    start: int
    branches: list[tuple[int, int]] = field(default_factory=list)


class _Conditions:
    """Takes away those branches that do not fit beside the others."""

    def __init__(self, code: bytearray) -> None:
        self.code = code
        self.dead: list[tuple[int, int]] = []
        self._open: list[_Group] = []

    def take(self, directive: Directive, text: bytes) -> None:
        start, end = directive.start, directive.end
        word = directive.word
        if word in (b"if", b"ifdef", b"ifndef"):
            condition = text[start : min(end, start + 80)].partition(word)[2].strip()
            self._open.append(_Group(condition, start, end))
        elif word in (b"else", b"elif") and self._open:
            group = self._open[-1]
            group.branches.append((group.start, start))
            group.start = end
        elif word == b"endif" and self._open:
            group = self._open.pop()
            group.branches.append((group.start, start))
            if len(self._open) < _DEPTH:
                self._close(group)

    def _close(self, group: _Group) -> None:
        branches = group.branches
        if group.condition == b"0":
            self.dead.append(branches[0])
            self._take_away(branches.pop(0))
        elif b"__cplusplus" in group.condition:
            self._take_away(branches.pop(0))
        if len(branches) > 1 and not (self._complete(group) and all(map(self._fits, branches))):
            keep = next((b for b in branches if self.code[b[0] : b[1]].strip()), branches[0])
            for branch in branches:
                if branch != keep:
                    self._take_away(branch)

    def _complete(self, group: _Group) -> bool:
        """Whether no expression is open before it."""
        before = self.code[max(0, group.first - 300) : group.first].rstrip()
        return before[-1:] not in _OPEN

    def _fits(self, branch: tuple[int, int]) -> bool:
        """Whether statements or declarations stand in it, whole."""
        part = self.code[branch[0] : branch[1]].strip()
        return not part or (
            (part[-1:] in b";}," or bool(_LAST_AT_MARGIN.search(part)))
            and part.count(b"{") == part.count(b"}")
            and part.count(b"(") == part.count(b")")
            and not part.startswith((b"else", b"}"))
        )

    def _take_away(self, branch: tuple[int, int]) -> None:
        start, end = branch
        self.code[start:end] = self.code[start:end].translate(_TO_BLANK)
