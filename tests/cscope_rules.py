"""Why cscope's answer and ours differ: rules, each a predicate on the source where they do.

A rule speaks of what stands there, read by `c_text`, which is neither's parser. What no rule
explains is unexplained.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from c_text import CText
from cscope_answers import ASSIGNMENTS, CALLEES, CALLERS, DEFINITION, SYMBOL, Difference

#: Whose answer is the worse one; or neither's: they were asked different things.
THEIRS, OURS, NEITHER = "cscope's", "ours", "neither's"
_ATTRIBUTE = r"__\w+(?:\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?"
_SUBSCRIPT = r"\s*\[(?:[^][;]|\[(?:[^][;]|\[[^][;]*\])*\])*\]"
_WRITES = r"\s*(?:=(?!=)|(?:[-+*/%&|^]|<<|>>)=|\+\+|--)"


@dataclass(frozen=True)
class Spot:
    """A difference, and one of the places of its name on the line."""

    one: Difference
    text: CText
    at: int

    def is_near(self, pattern: str) -> bool:
        """Whether the code around matches; ``@`` is where the name is, whose blanks are one."""
        pattern = pattern.replace("@", f"\0{re.escape(self.one.name)}\\b")
        return bool(re.search(pattern, self._around))

    @cached_property
    def _around(self) -> str:
        return f"{self.text.before(self.at)}\0{self.text.after(self.at)}"

    @cached_property
    def braces(self) -> list[str]:
        """What the open braces hold, from outside."""
        return self.text.braces(self.at)

    @property
    def inside(self) -> str:
        """What the innermost brace holds; empty: the file."""
        return self.braces[-1] if self.braces else ""

    @property
    def in_function(self) -> bool:
        """Whether statements stand around it."""
        return self.inside in ("function", "block")

    @property
    def in_file(self) -> bool:
        """Whether declarations of the file's scope stand around it."""
        return not {"function", "=", "block"} & set(self.braces) and not self.parentheses

    @cached_property
    def parentheses(self) -> int:
        """How many are open."""
        return self.text.parentheses(self.at)

    @cached_property
    def directive(self) -> tuple[str, str]:
        """The word and the text of the directive around it."""
        return self.text.directive(self.one.line.line)

    @cached_property
    def header(self) -> str:
        """What stands before the braces in the first column around it."""
        return self.text.header(self.one.line.line)

    def said(self, *lists: str) -> bool:
        """Whether the index has it in one of these lists."""
        return any(what.list in lists for what in self.one.whats)

    def what(self, *words: str) -> bool:
        """Whether the index says one of these words of it."""
        return any(what.what in words for what in self.one.whats)

    @property
    def ours(self) -> set[str]:
        """The functions that we name."""
        if self.one.field == CALLEES:
            return {self.one.asked}
        return {what.function for what in self.one.whats if what.function}

    def is_prototype(self) -> bool:
        """``name(...)`` and then no body, where no statements are."""
        arguments = r"\s?\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
        return self.is_near(rf"@{arguments}[\w\s(),]*[;,]")

    def in_ours(self) -> bool:
        """By the braces in the first column, in the function that we name."""
        return any(re.search(rf"\b{re.escape(name)}\b", self.header) for name in self.ours)

    def in_theirs(self) -> bool:
        """By the braces in the first column, in the function that cscope names."""
        wanted = self.one.asked if self.one.field == CALLEES else self.one.line.function
        first = re.search(r"(\w+)\s*\(", self.header.rpartition("}")[2])
        return bool(first and first[1] == wanted)

    def is_dead(self) -> bool:
        """Within ``#if 0``, as the index says, too."""
        doubts = {what.doubt for what in self.one.whats}
        return "within #if 0" in doubts and self.text.is_dead(self.one.line.line)

    def in_our_macro(self) -> bool:
        """In the definition of the macro that we name."""
        return any(self.defines(name) for name in self.ours)

    def defines(self, name: str) -> bool:
        """Whether the directive defines that macro."""
        return bool(re.match(rf"\s*#\s*define\s+{re.escape(name)}\b", self.directive[1]))

    def is_cplusplus(self) -> bool:
        """Whether the file has words that only C++ has."""
        words = r"^\s*(template\s*<|class\s+\w+|namespace\s+\w+|using\s+\w+|public:|private:)"
        return bool(re.search(words, self.text.text, re.M))


@dataclass(frozen=True)
class Rule:
    """``whose`` answer is the worse one, and ``why``."""

    name: str
    fields: tuple[int, ...]
    only_cscope: bool
    whose: str
    why: str
    test: Callable[[Spot], bool]


def explain(difference: Difference, text: CText) -> Rule | None:
    """The first rule that holds at one of the name's places on the line."""
    places = text.places(difference.line.line, difference.name)
    if not places and difference.only_cscope:
        return _ELSEWHERE
    start = text.starts[difference.line.line - 1]
    spots = [Spot(difference, text, at) for at in places or [start]]
    kind = (difference.field, difference.only_cscope)
    rules = (rule for rule in RULES if kind in [(one, rule.only_cscope) for one in rule.fields])
    return next((rule for rule in rules if any(map(rule.test, spots))), None)


def _next_line_writes(spot: Spot) -> bool:
    line = spot.one.line.line
    return bool(re.search(rf"\b{spot.one.name}\s*\Z", spot.text.code(line))) and bool(
        re.match(_WRITES, spot.text.code(line + 1))
    )


def _another_name(spot: Spot) -> bool:
    body = rf"\s*#\s*define\s+{spot.one.asked}(?:\([^)]*\))?\s+\(*{re.escape(spot.one.name)}\)*"
    return bool(re.fullmatch(rf"{body}[^(]*", spot.directive[1], re.S))


_ELSEWHERE = Rule(
    "not on that line", (), True, THEIRS,
    "the line has no such name, or the file no such line: cscope reads on in the next file",
    lambda _spot: True,
)  # fmt: skip
_FIRST = r"[\w*),}]@"  #: what stands before a declarator

_EVERY = (SYMBOL,)
_DEFINED = (DEFINITION,)
_CALLERS = (CALLERS,)
_CALLEES = (CALLEES,)
_CALLS = (CALLERS, CALLEES)
_ASSIGNED = (ASSIGNMENTS,)
CSCOPE, INDEX = True, False

#: In the order in which they are tried.
RULES = (
    # ---- every line
    Rule("words of a directive", _EVERY, CSCOPE, THEIRS,
         "the words of an #error, a #pragma, a #warning are no names",
         lambda spot: spot.directive[0] in ("error", "warning", "pragma", "include")),
    Rule("an attribute's argument", _EVERY, CSCOPE, OURS,
         "attributes are blanked with their arguments",
         lambda spot: spot.is_near(r"__\w+\s?\([^;]*@") and not spot.one.whats),
    Rule("an attribute", (SYMBOL, CALLEES, CALLERS), CSCOPE, NEITHER,
         "attributes are blanked, so that the names beside them are understood",
         lambda spot: not spot.one.whats
         and (spot.one.name.startswith("__") or spot.is_near(r"__\w+\s?\([^;]*@"))),
    Rule("#x", _EVERY, INDEX, THEIRS, "#x in a macro's body names x",
         lambda spot: spot.directive[0] == "define"
         and bool(re.search(rf"#\s*{spot.one.name}\b", spot.text.code(spot.one.line.line)))),
    Rule("x", _EVERY, INDEX, THEIRS,
         "the name stands there: cscope loses some, and which depends on its folder's name",
         lambda spot: bool(spot.text.places(spot.one.line.line, spot.one.name))),
    # ---- definitions that only cscope has
    Rule("#if 0", (DEFINITION, CALLERS, CALLEES), CSCOPE, NEITHER,
         "within #if 0: the index says so, and takes nothing there for a function", Spot.is_dead),
    Rule("#if 0", _CALLS, INDEX, NEITHER,
         "within #if 0: the index says so, and takes nothing there for a function", Spot.is_dead),
    Rule("no C", _DEFINED, CSCOPE, THEIRS, "a table in a comment that another comment ends",
         lambda spot: bool(re.match(r"\s*\[\w+( +\w+)*\]", spot.text.code(spot.one.line.line)))),
    Rule("no C", _DEFINED, INDEX, OURS, "a table in a comment that another comment ends",
         lambda spot: bool(re.match(r"\s*\[\w+( +\w+)*\]", spot.text.code(spot.one.line.line)))),
    Rule("a macro at the margin", _DEFINED, CSCOPE, THEIRS, "it is used, and defines other names",
         lambda spot: spot.said("callers") and spot.in_file
         and bool(re.match(rf"{spot.one.name}\s?\(", spot.text.code(spot.one.line.line)))),
    Rule("x; in a structure", _DEFINED, CSCOPE, THEIRS,
         "a macro that is members, or the type of bits without a name",
         lambda spot: spot.said("readers") and spot.inside == "struct"
         and spot.is_near(r"(^|[;{,])@ ?[;:]")),
    Rule("T x MACRO;", _DEFINED, CSCOPE, THEIRS, "a macro behind what is declared",
         lambda spot: spot.said("readers") and spot.is_near(
             rf"\b(?!struct|union|enum|class)\w+ \**\w+({_SUBSCRIPT})*@ ?[;,]")),
    Rule("typedef macro struct x", _DEFINED, CSCOPE, OURS, "a macro stands before struct",
         lambda spot: spot.is_near(r"typedef \w+ (struct|union|enum)@ ?\{")),
    Rule("struct x;", _DEFINED, CSCOPE, THEIRS, "a forward declaration",
         lambda spot: spot.is_near(r"\b(struct|union|enum|class)@\s?;")),
    Rule("struct x *", _DEFINED, CSCOPE, THEIRS, "a type's use",
         lambda spot: spot.is_near(r"\b(struct|union|enum|class)@(?!\s?(:[^:]*)?\{)")),
    Rule(".x = y", _DEFINED, CSCOPE, THEIRS, "a member in an initialiser",
         lambda spot: spot.is_near(r"\.@") and spot.said("initialisers", "readers", "writers")),
    Rule("#if x", _DEFINED, CSCOPE, THEIRS, "a word of a condition",
         lambda spot: spot.directive[0] in ("if", "elif")),
    Rule("a macro's body", _DEFINED, CSCOPE, NEITHER,
         "a declaration in a macro's body: we have it under macros",
         lambda spot: spot.directive[0] == "define" and not spot.defines(spot.one.name)),
    Rule("x_t f;", _DEFINED, CSCOPE, THEIRS,
         "a declaration by a type's name: the function is defined elsewhere",
         lambda spot: spot.said("declarations") and "function" in spot.one.kinds
         and spot.in_file and spot.is_near(r"[\w,]@\s?[;,]")),
    Rule("prototype", _DEFINED, CSCOPE, THEIRS, "a declaration",
         lambda spot: spot.said("declarations") and spot.is_prototype()),
    Rule("a value in an initialiser", _DEFINED, CSCOPE, THEIRS, "it is used there",
         lambda spot: spot.said("initialisers", "readers") and spot.inside == "="),
    Rule("parameter", _DEFINED, CSCOPE, THEIRS, "in the parentheses of a declaration",
         lambda spot: spot.parentheses > 0 and not spot.in_function),
    Rule("assembly", _DEFINED, CSCOPE, THEIRS, "an assembler's directive",
         lambda spot: bool(re.match(r"\s*\.\w+", spot.text.code(spot.one.line.line)))),
    Rule("statement", _DEFINED, CSCOPE, THEIRS,
         "a statement or a local variable of a function whose head is a macro to cscope",
         lambda spot: spot.in_function and spot.said("readers", "writers", "callers", "locals")),
    # ---- definitions that only we have
    Rule("function", _DEFINED, INDEX, THEIRS, "a function with its body, in the file's scope",
         lambda spot: spot.what("function") and spot.in_file
         and spot.is_near(r"(^|[\w*);}])@\s?\([^;{}]*\)[^(){};=]*\{")),
    Rule("function of old", _DEFINED, INDEX, THEIRS, "a function with its parameters declared",
         lambda spot: spot.what("function") and spot.in_file
         and spot.is_near(r"(^|[\w*;}])@\s?\([\w ,]*\)\s?\w[^(){}=]*;\s?\{")),
    Rule("MACRO(x)(...)", _DEFINED, INDEX, NEITHER, "a macro makes a function's name of it",
         lambda spot: spot.what("function") and spot.parentheses == 1
         and spot.is_near(r"\w ?\((\w+, ?)*@ ?\) ?\([^;{}]*\)[^(){};=]*\{")),
    Rule("type", _DEFINED, INDEX, THEIRS, "a structure's name, or a typedef's",
         lambda spot: spot.what("type") and (
             spot.is_near(rf"\b(struct|union|enum)( {_ATTRIBUTE})*@ ?\{{")
             or spot.is_near(rf"\}} ?({_ATTRIBUTE})* ?\**@ ?[;,]")
             or spot.is_near(r"\btypedef [^;]*@"))),
    Rule("enumerator", _DEFINED, INDEX, THEIRS, "an enumerator",
         lambda spot: spot.what("enumerator") and spot.inside == "enum"),
    Rule("member", _DEFINED, INDEX, THEIRS, "a member of a structure",
         lambda spot: spot.what("member") and spot.inside == "struct"
         and spot.is_near(rf"@\s?({_ATTRIBUTE}\s?)*[\[;:,)]")),
    Rule("piece of a function", _DEFINED, INDEX, OURS,
         "the file is included within a function: its braces are in none",
         lambda spot: spot.what("variable") and spot.in_function and not spot.header),
    Rule("a macro's members", _DEFINED, INDEX, OURS,
         "MACRO type member; in a structure: the type is taken for the member",
         lambda spot: spot.what("member") and spot.inside == "struct" and spot.is_near(r"\w@ \w")),
    Rule("pointer to a function", _DEFINED, INDEX, THEIRS, "a variable of the file",
         lambda spot: spot.what("variable") and spot.parentheses == 1
         and spot.is_near(rf"\w ?\( ?\*+ ?(const|volatile)?@({_SUBSCRIPT})*\s?\)\s?\(")),
    Rule("variable", _DEFINED, INDEX, THEIRS, "a variable of the file, declared with its type",
         lambda spot: spot.what("variable") and spot.in_file
         and not spot.is_near(r"\b(struct|union|enum|class|typedef \w+)@\s?;")
         and spot.is_near(rf"{_FIRST}({_SUBSCRIPT})*\s?({_ATTRIBUTE}\s?)*[;=,]")),
    # ---- callers and callees
    Rule("prototype", _CALLERS, CSCOPE, THEIRS, "a declaration, taken for a call",
         lambda spot: spot.said("declarations") and spot.is_prototype()),
    Rule("definition", _CALLERS, CSCOPE, THEIRS, "a function's definition, taken for a call",
         lambda spot: spot.what("function") and spot.in_file),
    Rule("in a macro", _CALLS, INDEX, THEIRS, "in the body of that macro",
         lambda spot: spot.in_our_macro() and not _another_name(spot)),
    Rule("in a macro", _CALLS, CSCOPE, THEIRS, "in the body of a macro, and not of that function",
         lambda spot: bool(spot.one.others) and spot.in_our_macro()),
    Rule("#define a b", _CALLEES, INDEX, NEITHER, "b is called through a",
         _another_name),
    Rule("in our function", _CALLS, INDEX, THEIRS,
         "the braces in the first column say that the line is in that function",
         lambda spot: spot.said("callers") and spot.in_ours()),
    Rule("in MACRO(x)(...)", _CALLERS, CSCOPE, NEITHER,
         "a macro makes the function's name of x: cscope names the macro, the index x",
         lambda spot: any(
             re.search(rf"\b{spot.one.line.function}\s*\((\w+,\s*)*{name}\s*\)\s*\(", spot.header)
             for name in spot.ours)),
    Rule("in another function", _CALLS, CSCOPE, THEIRS,
         "the braces in the first column say that the line is not in that function",
         lambda spot: not spot.in_theirs() and not spot.defines(spot.one.asked)
         and (spot.one.field == CALLEES or (bool(spot.one.others) and spot.in_ours()))),
    Rule("defined()", _CALLEES, CSCOPE, THEIRS, "defined() is no call",
         lambda spot: spot.one.name == "defined" and spot.directive[0] in ("if", "elif")),
    Rule("in no function", _CALLERS, INDEX, NEITHER,
         "looks like a call in the file's scope: cscope has calls of functions alone",
         lambda spot: not spot.one.line.function and not spot.in_function
         and (spot.inside == "=" or not spot.header)),
    Rule("in no function", _CALLERS, CSCOPE, THEIRS,
         "in the file's scope: cscope takes a macro before it for a function",
         lambda spot: spot.one.others == ("",) and not spot.in_function and not spot.header
         and not spot.directive[0]),
    # ---- assignments
    Rule("an enumerator's value", _ASSIGNED, CSCOPE, NEITHER, "we have it under definitions",
         lambda spot: spot.what("enumerator") and spot.is_near(r"@\s?=(?!=)")),
    Rule("T x = y;", _ASSIGNED, CSCOPE, NEITHER,
         "a declaration with a value: we have it under definitions or locals",
         lambda spot: spot.said("definitions", "locals")
         and spot.is_near(rf"{_FIRST}\s?({_ATTRIBUTE}\s?)*=(?!=)")),
    Rule(".x = y", _ASSIGNED, CSCOPE, NEITHER, "we have it under initialisers",
         lambda spot: spot.said("initialisers") and spot.is_near(r"\.@\s?=(?!=)")),
    Rule("&x", _ASSIGNED, INDEX, NEITHER, "who gets the address may write; cscope does not ask",
         lambda spot: spot.what("its address is taken")
         and spot.is_near(r"& ?\(*(?:[\w.\[\]()+-]|-> ?)*@")),
    Rule("x++", _ASSIGNED, INDEX, THEIRS, "++ and -- write",
         lambda spot: spot.what("changed in place")
         and (spot.is_near(r"@\s?(\+\+|--)") or spot.is_near(r"(\+\+|--) ?\(*(?:[\w.]|-> ?)*@"))),
    Rule("an atomic's &x", _ASSIGNED, INDEX, NEITHER, "an atomic function writes it",
         lambda spot: spot.what("changed in place", "a part of it is written")
         and spot.is_near(r"\b_*atomic_\w+ ?\( ?& ?\(*(?:[\w.\[\]()+-]|-> ?)*@")),
    Rule("WRITE_ONCE(x", _ASSIGNED, INDEX, NEITHER, "the macro writes it",
         lambda spot: spot.what("=") and spot.is_near(r"\bWRITE_ONCE\((?:[\w.]|-> ?)*@")),
    Rule("asm(... : \"=r\" (x))", _ASSIGNED, INDEX, NEITHER, "assembly writes it",
         lambda spot: spot.what("written by assembly")
         and spot.is_near(r"\" *\" ?\( ?(?:[\w.]|-> ?)*@")),
    Rule("(x) = y", _ASSIGNED, INDEX, NEITHER, "the name is in parentheses",
         lambda spot: spot.what("=", "changed in place", "what it points to is written")
         and spot.is_near(rf"@\s?\){_WRITES}")),
    Rule("x.y = z", _ASSIGNED, INDEX, NEITHER, "cscope has the last name alone",
         lambda spot: spot.what("a part of it is written")
         and (spot.is_near(rf"@({_SUBSCRIPT}|\s?\.\s?\w+)+{_WRITES}")
              or spot.is_near(rf"(\+\+|--) ?\(*(?:[\w.]|-> ?)*@({_SUBSCRIPT}|\s?\.)"))),
    Rule("x = y, the second", _ASSIGNED, INDEX, THEIRS,
         "the name stands twice on the line, and cscope looks at the first",
         lambda spot: len(spot.text.places(spot.one.line.line, spot.one.name)) > 1
         and spot.is_near(rf"@{_WRITES}")),
    Rule("x", _ASSIGNED, INDEX, THEIRS, "the operator is on the next line", _next_line_writes),
    # ---- C++
    Rule("C++", (DEFINITION, CALLERS, CALLEES), INDEX, OURS, "C++ in a header: read as C",
         Spot.is_cplusplus),
    Rule("C++", (DEFINITION, CALLERS, CALLEES, ASSIGNMENTS), CSCOPE, NEITHER,
         "C++ in a header: read as C",
         lambda spot: spot.is_cplusplus() and not spot.directive[0]),
)  # fmt: skip
