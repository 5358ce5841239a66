"""The value of an expression, with C's semantics.

An operand that C does not evaluate (of ``sizeof``, the arm of ``?:`` not taken) is gone through
for its type only: nothing is read for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from timehands.errors import ExpressionError, TimehandsError, UsageError
from timehands.kernels.expressions.arithmetic import (
    COMPARISONS,
    OPERATORS,
    balanced,
    constant_type,
    divided,
    promoted,
    wrapped,
)
from timehands.kernels.expressions.environment import Environment, Untyped
from timehands.kernels.expressions.parser import parse
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
from timehands.kernels.places import InMemory
from timehands.kernels.types import (
    INT,
    LONG,
    UNSIGNED_LONG,
    VOID,
    Array,
    Float,
    Func,
    Int,
    Pointer,
    Struct,
    Type,
    Void,
    builtin,
    pointer_to,
    strip,
)
from timehands.kernels.values import Value, literal

_POINTER_LIKE: Final = (Pointer, Array, Func)
_MASK: Final = (1 << 64) - 1


def evaluate(text: str | Node, environment: Environment, parsed: Node | None = None) -> Value:
    """The value of an expression, given as text or as the tree that `parse` made, or both.

    Raises:
        ExpressionError: the text is no expression, a name stands for nothing, or C gives it no
            value (a division by zero, a null pointer followed). What cannot be read in the guest
            is an error only when the expression needs it as a number.
    """
    source = text if isinstance(text, str) else ""
    tree = parsed if isinstance(text, str) else text
    if tree is None:
        tree = parse(source, environment.is_type)
    value = Evaluator(environment, source).value(tree)
    if isinstance(value.type, Untyped):
        value = Evaluator(environment, source).number_in(value, tree)
    return value


class Evaluator:
    """Evaluates one expression. ``text`` is for messages."""

    def __init__(self, environment: Environment, text: str = "") -> None:
        self._environment = environment
        self._reading = environment.reading
        self._text = text
        self._dry = False
        self._addressing = False

    def error(self, node: Node | TypeName, message: str, advice: str = "") -> ExpressionError:
        """An error that points at a node."""
        return ExpressionError(message, text=self._text, position=node.position, advice=advice)

    def value(self, node: Node) -> Value:
        """The value of a node, perhaps in memory and not read yet."""
        match node:
            case Number():
                kind = constant_type(node.value, node.decimal, node.unsigned, node.long)
                return self._literal(kind, node.value)
            case Name():
                return self._name(node)
            case Register():
                return self._register(node)
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
            case Conditional():
                return self._conditional(node)
            case MemberOf():
                return self._member(node)
            case Index():
                return self._index(node)
            case Cast():
                return self._cast(node)
            case SizeOf():
                return self._literal(UNSIGNED_LONG, self.type_named(node.of).size)

    def _literal(self, kind: Type, number: int) -> Value:
        return literal(kind, number, self._reading)

    # ---- names

    def _name(self, node: Name) -> Value:
        found = self._environment.lookup(node.name)
        if found is None:
            near = self._environment.symbols.nearest(node.name)
            advice = f"Perhaps {', '.join(near)}." if near else ""
            raise self.error(node, f"nothing is called {node.name}", advice)
        return found

    def _register(self, node: Register) -> Value:
        found = self._environment.register(node.name)
        if found is None:
            raise self.error(node, f"no register ${node.name} is known here")
        return found

    def type_named(self, name: TypeName) -> Type:
        """The type that was written. Raises `ExpressionError` when there is none."""
        found = self._base_type(name)
        if found is None:
            raise self.error(name, f"no type {' '.join(name.words)} is known")
        for _ in range(name.pointers):
            found = pointer_to(found)
        for count in reversed(name.counts):
            found = _array_of(found, count)
        return found

    def _base_type(self, name: TypeName) -> Type | None:
        words, types = list(name.words), self._environment.types
        if words[0] in ("struct", "union", "enum"):
            if len(words) != 2 or types is None:
                return None
            found = types.enum(words[1]) if words[0] == "enum" else types.struct(words[1])
            if isinstance(found, Struct) and found.union != (words[0] == "union"):
                return None
            if found is None and name.pointers and words[0] != "enum":
                return VOID
            return found
        return builtin(words) or (
            self._environment.named_type(words[0]) if len(words) == 1 else None
        )

    # ---- numbers

    def number_in(self, value: Value, node: Node) -> Value:
        """A value that is a number: an untyped symbol of 8 bytes is read as one."""
        kind = value.type
        if not isinstance(kind, Untyped):
            return value
        if kind.bytes != 8:
            raise self.error(
                node,
                f"the type of {kind.name} is not known",
                f"Give a cast, such as (uint32_t){kind.name}.",
            )
        return Value(UNSIGNED_LONG, self._reading, value.place)

    def _number(self, value: Value, node: Node) -> int:
        """A value as a number; 0 where nothing is evaluated."""
        if self._dry:
            return 0
        try:
            return int(value)
        except TimehandsError as error:
            message = getattr(error, "message", str(error))
            raise self.error(node, f"this has no value: {message}") from error

    def _operand(self, node: Node) -> Value:
        """A node's value as an operand of arithmetic."""
        return self._checked(self.value(node), node)

    def _checked(self, value: Value, node: Node) -> Value:
        value = self.number_in(value, node)
        kind = strip(value.type)
        if isinstance(kind, Struct | Void):
            raise self.error(node, f"a value of type {value.type} is no number")
        if isinstance(kind, Float):
            raise self.error(node, "floating point numbers can be shown, not computed with")
        return value

    def _integer(self, node: Node) -> tuple[Int, int]:
        """A node's value promoted: its type and number."""
        return self._promoted(self._operand(node), node)

    def _promoted(self, value: Value, node: Node) -> tuple[Int, int]:
        kind = promoted(value.type, value.bits[1] if value.bits else 0)
        if kind is None:
            raise self.error(node, f"an integer is expected, not a value of type {value.type}")
        return kind, self._number(value, node)

    def truth(self, node: Node) -> bool:
        """Whether a node's value is not zero."""
        return self._number(self._operand(node), node) != 0

    @contextmanager
    def _unevaluated(self) -> Iterator[None]:
        before, self._dry = self._dry, True
        try:
            yield
        finally:
            self._dry = before

    # ---- operators

    def _unary(self, node: Unary) -> Value:
        if node.operator == "&":
            return self._address_of(node)
        if node.operator == "*":
            return self._followed(self.value(node.operand), node)
        if node.operator == "sizeof":
            with self._unevaluated():
                value = self.value(node.operand)
            return self._literal(UNSIGNED_LONG, value.type.size)
        if node.operator == "!":
            return self._literal(INT, not self.truth(node.operand))
        kind, number = self._integer(node.operand)
        changed = {"-": -number, "+": number, "~": ~number}[node.operator]
        return self._literal(kind, changed)

    def _address_of(self, node: Unary) -> Value:
        before, self._addressing = self._addressing, True
        try:
            value = self.value(node.operand)
        finally:
            self._addressing = before
        kind = VOID if isinstance(value.type, Untyped) else value.type
        if value.bits is not None:
            raise self.error(node, "a bit field has no address")
        if value.address is None:
            if self._dry:
                return self._literal(pointer_to(kind), 0)
            raise self.error(node, "this is not in memory: it has no address")
        return self._literal(pointer_to(kind), value.address)

    def _followed(self, value: Value, node: Node, index: int = 0) -> Value:
        """``value[index]`` of a pointer or an array, ``*value`` with 0."""
        value = self.number_in(value, node)
        kind = strip(value.type)
        if isinstance(kind, Func):
            return value
        if isinstance(kind, Array):
            return value.element(index)
        if not isinstance(kind, Pointer):
            raise self.error(
                node,
                f"a value of type {value.type} is no pointer",
                "Give a cast, such as *(uint32_t *)ADDRESS.",
            )
        target = kind.target
        start = self._number(value, node)
        if not start and not self._dry and not self._addressing:
            raise self.error(node, "a null pointer is followed here")
        address = start + index * max(target.size, 1)
        return Value(target, self._reading, InMemory(address & _MASK))

    def _member(self, node: MemberOf) -> Value:
        owner = self.value(node.owner)
        kind = strip(owner.type)
        if isinstance(kind, Pointer | Array):
            owner = self._followed(owner, node)
            kind = strip(owner.type)
        if isinstance(kind, Untyped):
            raise self.error(
                node,
                f"the type of {kind.name} is not known",
                "Give a cast: (struct NAME *)&SYMBOL.",
            )
        try:
            return owner.member(node.name)
        except UsageError as error:
            raise self.error(node, error.message, error.advice) from error

    def _index(self, node: Index) -> Value:
        owner, index = self.value(node.owner), self._integer(node.index)[1]
        before, self._addressing = self._addressing, False
        try:
            return self._followed(owner, node, index)
        finally:
            self._addressing = before

    def _cast(self, node: Cast) -> Value:
        to, value = self.type_named(node.to), self.value(node.operand)
        if isinstance(value.type, Untyped):  # the cast says what it is
            return Value(to, self._reading, value.place)
        if isinstance(strip(to), Struct | Array | Void):
            raise self.error(node, f"nothing can be cast to {to}")
        if self._dry:
            return self._literal(to, 0)
        value = self._checked(value, node.operand)
        try:
            return value.cast(to)
        except TimehandsError as error:
            raise self.error(node, f"this has no value: {error.message}") from error

    def _conditional(self, node: Conditional) -> Value:
        taken, other = (node.yes, node.no) if self.truth(node.test) else (node.no, node.yes)
        value = self.value(taken)
        with self._unevaluated():
            unused = self.value(other)
        one, two = _kind(value), _kind(unused)
        if one is None or two is None:
            return value
        return self._literal(balanced(one, two), self._number(value, taken))

    def _binary(self, node: Binary) -> Value:
        if node.operator in ("&&", "||"):
            return self._literal(INT, self._logical(node))
        left, right = self._operand(node.left), self._operand(node.right)
        pointers = [isinstance(strip(one.type), _POINTER_LIKE) for one in (left, right)]
        if any(pointers):
            return self._on_pointers(node, left, right, pointers)
        one, first = self._promoted(left, node.left)
        two, second = self._promoted(right, node.right)
        if node.operator in ("<<", ">>"):
            return self._shift(node, one, first, second)
        kind = balanced(one, two)
        first, second = wrapped(first, kind), wrapped(second, kind)
        if node.operator in COMPARISONS:
            return self._literal(INT, COMPARISONS[node.operator](first, second))
        if node.operator in ("/", "%"):
            return self._literal(kind, self._divide(node, first, second))
        return self._literal(kind, OPERATORS[node.operator](first, second))

    def _logical(self, node: Binary) -> bool:
        first = self.truth(node.left)
        if not self._dry and first == (node.operator == "||"):
            with self._unevaluated():
                self.value(node.right)
            return first
        return self.truth(node.right)

    def _divide(self, node: Binary, first: int, second: int) -> int:
        if not second:
            if self._dry:
                return 0
            raise self.error(node, "a division by zero")
        quotient = divided(first, second)
        return quotient if node.operator == "/" else first - second * quotient

    def _shift(self, node: Binary, kind: Int, number: int, count: int) -> Value:
        if not 0 <= count < 8 * kind.bytes:
            raise self.error(node, f"a shift of {8 * kind.bytes} bits by {count}")
        shifted = number << count if node.operator == "<<" else number >> count
        return self._literal(kind, shifted)

    def _on_pointers(self, node: Binary, left: Value, right: Value, pointers: list[bool]) -> Value:
        first, second = self._number(left, node.left), self._number(right, node.right)
        if node.operator in COMPARISONS:
            return self._literal(INT, COMPARISONS[node.operator](first & _MASK, second & _MASK))
        if node.operator == "-" and all(pointers):
            return self._literal(LONG, divided(first - second, _step(left)))
        if node.operator == "-" and pointers[0]:
            return self._literal(_decayed(left), first - second * _step(left))
        if node.operator == "+" and not all(pointers):
            pointer, start, count = (left, first, second) if pointers[0] else (right, second, first)
            return self._literal(_decayed(pointer), start + count * _step(pointer))
        raise self.error(node, f"pointers cannot be operands of {node.operator}: give a cast")


def _kind(value: Value) -> Int | None:
    return promoted(value.type, value.bits[1] if value.bits else 0)


def _decayed(value: Value) -> Type:
    """The pointer that an array or a function counts as."""
    kind = strip(value.type)
    if isinstance(kind, Array):
        return pointer_to(kind.element)
    return pointer_to(value.type) if isinstance(kind, Func) else value.type


def _step(value: Value) -> int:
    """Bytes that a pointer moves by 1."""
    kind = strip(_decayed(value))
    return max(kind.target.size, 1) if isinstance(kind, Pointer) else 1


def _array_of(element: Type, count: int) -> Array:
    return Array(lambda: element, count)
