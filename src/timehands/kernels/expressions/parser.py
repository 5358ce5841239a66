"""From the text of a C expression to its tree: a Pratt parser.

Whether ``(x) - y`` is a cast depends on what ``x`` is; so the parser asks which names are types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from timehands.errors import ExpressionError
from timehands.kernels.expressions.tokens import Token, char_of, number_of, tokens_of
from timehands.kernels.expressions.tree import (
    Binary,
    Cast,
    Conditional,
    Index,
    MemberOf,
    Name,
    Node,
    Number,
    Register,
    SizeOf,
    TypeName,
    Unary,
)
from timehands.kernels.types import is_keyword

#: Parentheses, operators and members within each other.
MAX_NESTING: Final = 64
#: In all, for each may make the tree deeper.
MAX_OPERATORS: Final = 128
_MAX_POINTERS: Final = 8
_TAGS: Final = frozenset(("struct", "union", "enum"))
_QUALIFIERS: Final = frozenset(("const", "volatile", "restrict"))
_PREFIX: Final = frozenset("-+*&!~")
#: How tightly each operator binds (C11, 6.5.5 to 6.5.15).
_POWER: Final = {
    "?": 1, "||": 2, "&&": 3, "|": 4, "^": 5, "&": 6, "==": 7, "!=": 7,
    "<": 8, ">": 8, "<=": 8, ">=": 8, "<<": 9, ">>": 9, "+": 10, "-": 10,
    "*": 11, "/": 11, "%": 11,
}  # fmt: skip
_ASSIGNMENTS: Final = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="))

IsType = Callable[[str], bool]


@dataclass(frozen=True)
class Assignment:
    """``target = value``, of which both are whole expressions."""

    target: Node
    value: Node


def parse(text: str, is_type: IsType = is_keyword) -> Node:
    """The tree of an expression.

    Args:
        is_type: whether a name is a type, C's own keywords among them.

    Raises:
        ExpressionError: it is none of those that are understood; says where.
    """
    parser = _Parser(text, is_type)
    tree = parser.expression()
    parser.finish()
    return tree


def parse_assignment(text: str, is_type: IsType = is_keyword) -> Assignment:
    """The tree of ``tsc_freq = 1`` or ``flags |= 4``. Raises `ExpressionError`."""
    parser = _Parser(text, is_type)
    target = parser.expression()
    token = parser.take()
    if token.kind != "operator" or token.text not in _ASSIGNMENTS:
        raise parser.error(token, "an assignment is expected: NAME = VALUE")
    value = parser.expression()
    parser.finish()
    if token.text != "=":
        value = Binary(token.position, token.text[:-1], target, value)
    return Assignment(target, value)


class _Parser:
    def __init__(self, text: str, is_type: IsType) -> None:
        self._text, self._is_type = text, is_type
        self._tokens = tokens_of(text)
        self._at, self._nesting, self._operators = 0, 0, 0

    def error(self, token: Token, message: str) -> ExpressionError:
        return ExpressionError(message, text=self._text, position=token.position)

    def peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self.peek()
        self._at += 1
        return token

    def finish(self) -> None:
        token = self.peek()
        if token.kind != "end":
            what = "only --set may assign" if token.text in _ASSIGNMENTS else "nothing is expected"
            raise self.error(token, f"{what} here")

    def _is(self, text: str) -> bool:
        return self.peek().kind == "operator" and self.peek().text == text

    def _expect(self, text: str) -> Token:
        if not self._is(text):
            raise self.error(self.peek(), f"{text} is expected here")
        return self.take()

    def expression(self, power: int = 0) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self.error(self.peek(), "the expression is nested too deeply")
        left = self._postfix(self._prefix())
        while (binds := self._binds()) > power:
            left = self._infix(left, self._operator(), binds)
        self._nesting -= 1
        return left

    def _binds(self) -> int:
        token = self.peek()
        return _POWER.get(token.text, 0) if token.kind == "operator" else 0

    def _operator(self) -> Token:
        """Take an operator that makes the tree deeper."""
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            raise self.error(self.peek(), f"an expression of more than {MAX_OPERATORS} operators")
        return self.take()

    def _infix(self, left: Node, token: Token, binds: int) -> Node:
        if token.text != "?":
            return Binary(token.position, token.text, left, self.expression(binds))
        yes = self.expression()
        self._expect(":")
        return Conditional(token.position, left, yes, self.expression(0))

    def _prefix(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return Number(token.position, *number_of(token, self._text))
        if token.kind == "char":
            return Number(token.position, char_of(token))
        if token.kind == "register":
            return Register(token.position, token.text[1:])
        if token.kind == "name":
            return self._sizeof(token) if token.text == "sizeof" else self._name(token)
        if token.text in _PREFIX and token.kind == "operator":
            return Unary(token.position, token.text, self._operand())
        if token.text == "(" and token.kind == "operator":
            return self._parenthesis(token)
        raise self.error(token, "a value is expected here")

    def _name(self, token: Token) -> Node:
        if token.text in _TAGS or is_keyword(token.text):
            raise self.error(token, "a type stands here: put it in parentheses for a cast")
        return Name(token.position, token.text)

    def _operand(self) -> Node:
        """What a prefix operator applies to: binds tighter than anything between operands."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self.error(self.peek(), "the expression is nested too deeply")
        found = self._postfix(self._prefix())
        self._nesting -= 1
        return found

    def _parenthesis(self, token: Token) -> Node:
        if self._type_follows():
            to = self._type()
            self._expect(")")
            return Cast(token.position, to, self._operand())
        inner = self.expression()
        self._expect(")")
        return inner

    def _sizeof(self, token: Token) -> Node:
        if self._is("(") and self._type_follows(1):
            self.take()
            of = self._type()
            self._expect(")")
            return SizeOf(token.position, of)
        return Unary(token.position, "sizeof", self._operand())

    def _postfix(self, node: Node) -> Node:
        while self._is("[") or self._is(".") or self._is("->"):
            token = self._operator()
            if token.text == "[":
                index = self.expression()
                self._expect("]")
                node = Index(token.position, node, index)
                continue
            name = self.take()
            if name.kind != "name":
                raise self.error(name, "a member's name is expected here")
            node = MemberOf(name.position, node, name.text, token.text == "->")
        return node

    # ---- types

    def _type_follows(self, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        if token.kind != "name":
            return False
        return token.text in _TAGS | _QUALIFIERS or self._is_type(token.text)

    def _type(self) -> TypeName:
        start, words = self.peek().position, list[str]()
        while self.peek().kind == "name" and self._goes_on(words):
            words.append(self.take().text)
            if words[-1] in _QUALIFIERS:
                words.pop()
        pointers = 0
        while self._is("*") or self.peek().text in _QUALIFIERS:
            pointers += self.take().text == "*"
        if not words or pointers > _MAX_POINTERS:
            raise self.error(self.peek(), "a type is expected here")
        return TypeName(start, tuple(words), pointers, self._counts())

    def _goes_on(self, words: list[str]) -> bool:
        """Whether the next name belongs to the type."""
        text = self.peek().text
        if not words or text in _QUALIFIERS:
            return True
        if len(words) == 1 and words[0] in _TAGS:
            return True
        return is_keyword(words[0]) and is_keyword(text)

    def _counts(self) -> tuple[int, ...]:
        counts: list[int] = []
        while self._is("[") and len(counts) < _MAX_POINTERS:
            self.take()
            token = self.take()
            if token.kind != "number":
                raise self.error(token, "the number of elements is expected here")
            counts.append(number_of(token, self._text)[0])
            self._expect("]")
        return tuple(counts)
