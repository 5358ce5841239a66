"""The part of a makefile that Kbuild's need: assignments with the conditionals around them.

Variables are expanded as far as that needs no shell: what a makefile asks another program is
unknown, and a word that has it is told, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from timehands.sources.config.conditions import All, Any, Condition, Name, Not

_ASSIGNMENT = re.compile(
    r"\s*((?:[^\s:+?=#$]|\$\(\w+:\w+=\w+\)|\$\([^=#]*?\)|\$\{[^=#]*?\})+)\s*"
    r"(\+=|::?=|\?=|=)\s*(.*)$"
)
_CONDITIONAL = re.compile(r"\s*(ifeq|ifneq|ifdef|ifndef|else|endif)\b\s*(.*)$")
_INCLUDE = re.compile(r"\s*[-s]?include\s+(.*)$")
CONFIG = re.compile(r"\$[({]CONFIG_(\w+)(?::[^)}]*)?[)}]")
_REFERENCE = re.compile(r"\$\(([\w.-]+)\)|\$\{([\w.-]+)\}")
_SUBSTITUTED = re.compile(r"\$[({]([\w.-]+):([^=$(){}]*)=([^$(){}]*)[)}]")
_COMPARED = re.compile(r"""\((.*),(.*)\)\s*$|"(.*)"\s+"(.*)"$|'(.*)'\s+'(.*)'$""")
_MOST_LINES = 20_000
_MOST_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """``NAME += VALUE`` with the conditionals that it stands in."""

    line: int
    name: str
    operator: str
    value: str
    guard: All
    text: str


@dataclass(frozen=True, slots=True)
class Include:
    """``include FILES`` with the conditionals that it stands in."""

    line: int
    files: str
    guard: All


@dataclass(slots=True)
class Makefile:
    """A makefile's assignments and what it includes, in order."""

    parts: list[Assignment | Include] = field(default_factory=list)
    odd: list[tuple[int, str]] = field(default_factory=list)


def read(text: str) -> Makefile:
    """The makefile in a text. Recipes are left out."""
    found, guards = Makefile(), list[tuple[Condition, Condition]]()
    for line, content in _logical_lines(text):
        if match := _CONDITIONAL.match(content):
            _conditional(match.group(1), match.group(2), guards, found, line)
        elif content.startswith("\t") and not _ASSIGNMENT.match(content):
            continue
        elif match := _INCLUDE.match(content):
            found.parts.append(Include(line, match.group(1), _guard(guards)))
        elif match := _ASSIGNMENT.match(content):
            name, operator, value = match.groups()
            shown = " ".join(content.split())
            found.parts.append(Assignment(line, name, operator, value, _guard(guards), shown))
    return found


def _guard(guards: list[tuple[Condition, Condition]]) -> All:
    return All(tuple(condition for condition, _ in guards))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    start, parts = 0, ""
    for number, line in enumerate(text.split("\n")[:_MOST_LINES], 1):
        if not parts:
            start = number
        if line.endswith("\\"):
            parts += line[:-1] + " "
            continue
        content = (parts + line).split("#", 1)[0]
        parts = ""
        if content.strip():
            yield start, content


def _conditional(
    keyword: str,
    rest: str,
    guards: list[tuple[Condition, Condition]],
    found: Makefile,
    line: int,
) -> None:
    """Keep the guards: what holds here, and what must have failed for an ``else`` to count."""
    if keyword == "endif":
        if guards:
            guards.pop()
        else:
            found.odd.append((line, "an endif without an if"))
        return
    if keyword != "else":
        condition = _test(keyword, rest)
        guards.append((condition, Not(condition)))
        return
    if not guards:
        found.odd.append((line, "an else without an if"))
        return
    _, failed = guards.pop()
    match = _CONDITIONAL.match(rest)
    if match:
        condition = _test(match.group(1), match.group(2))
        guards.append((All((failed, condition)), All((failed, Not(condition)))))
    else:
        guards.append((failed, Any()))


def _test(keyword: str, rest: str) -> Condition:
    """What a conditional asks: about CONFIG_ symbols, or something that is taken as written."""
    if keyword in ("ifdef", "ifndef"):
        name = rest.strip()
        symbol = name.removeprefix("CONFIG_")
        test: Condition = Name(f"$$({name})!=" if symbol == name else f"{symbol}!=n")
        return Not(test) if keyword == "ifndef" else test
    match = _COMPARED.match(rest.strip())
    sides = [side.strip() for side in match.groups() if side is not None] if match else []
    test = _equal(sides[0], sides[1]) if len(sides) == 2 else Name(f"${rest.strip()}")
    return Not(test) if keyword == "ifneq" else test


def _equal(left: str, right: str) -> Condition:
    if CONFIG.search(right) and not CONFIG.search(left):
        left, right = right, left
    found = CONFIG.findall(left)
    if not found:
        return Name(f"${left}={right}")
    if len(found) == 1 and CONFIG.fullmatch(left) and ":" not in left:
        name = found[0]
        if right == "y":
            return Name(f"{name}=y")
        if right in ("", "n"):
            return Not(Name(f"{name}!=n"))
        return Name(f"{name}={right}")
    tests = tuple(Name(f"{name}!=n") for name in found)
    if right in ("", "n"):
        return Not(Any(tests))
    return Any(tests) if set(right) <= {"y", "m"} else Name(f"${left}={right}")


def expand(text: str, variables: dict[str, str], *, empty: bool = False) -> str:
    """Expand references to variables that are known; others stay, or are ``empty`` as make's."""
    for _ in range(20 if "$" in text else 0):
        before = text
        text = _REFERENCE.sub(
            lambda match: variables.get(
                match.group(1) or match.group(2), "" if empty else match.group()
            ),
            text,
        )
        text = _SUBSTITUTED.sub(lambda match: _substituted(match, variables, empty), text)
        text = _CALL.sub(_called, text)
        if text == before or len(text) > _MOST_TEXT:
            break
    return text[:_MOST_TEXT]


def _substituted(match: re.Match[str], variables: dict[str, str], empty: bool) -> str:
    """``$(list:%=x-%.o)`` and ``$(list:.c=.o)``."""
    name, old, new = match.groups()
    if name not in variables:
        return "" if empty else match.group()
    pattern, replacement = (old, new) if "%" in old else (f"%{old}", f"%{new}")
    return " ".join(_patsubst(word, pattern, replacement) for word in variables[name].split())


def _called(match: re.Match[str]) -> str:
    """A function of make that needs nothing but its arguments."""
    arguments = [argument.strip() for argument in match.group(2).split(",")]
    function = _FUNCTIONS[match.group(1)]
    if len(arguments) != function.__code__.co_argcount:
        return match.group()
    return function(*arguments)


def _filter(patterns: str, words: str) -> str:
    wanted = patterns.split()
    return " ".join(w for w in words.split() if any(_fits(w, one) for one in wanted))


def _filter_out(patterns: str, words: str) -> str:
    wanted = patterns.split()
    return " ".join(w for w in words.split() if not any(_fits(w, one) for one in wanted))


def _fits(word: str, pattern: str) -> bool:
    head, percent, tail = pattern.partition("%")
    if not percent:
        return word == pattern
    long = len(word) >= len(head) + len(tail)
    return long and word.startswith(head) and word.endswith(tail)


def _patsubst(word: str, pattern: str, replacement: str) -> str:
    if not _fits(word, pattern):
        return word
    head, _, tail = pattern.partition("%")
    return replacement.replace("%", word[len(head) : len(word) - len(tail)])


_FUNCTIONS: dict[str, Callable[..., str]] = {
    "strip": lambda words: " ".join(words.split()),
    "sort": lambda words: " ".join(sorted(set(words.split()))),
    "firstword": lambda words: " ".join(words.split()[:1]),
    "words": lambda words: str(len(words.split())),
    "addprefix": lambda add, words: " ".join(add + word for word in words.split()),
    "addsuffix": lambda add, words: " ".join(word + add for word in words.split()),
    "filter": _filter,
    "filter-out": _filter_out,
    "findstring": lambda part, text: part if part in text else "",
    "subst": lambda old, new, text: text.replace(old, new) if old else text,
    "patsubst": lambda old, new, words: " ".join(_patsubst(w, old, new) for w in words.split()),
    "origin": lambda _name: "undefined",
}
_CALL = re.compile(rf"\$\(({'|'.join(_FUNCTIONS)})\s+([^$()]*)\)")
