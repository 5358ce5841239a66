"""tree-sitter's grammar of C, and questions to it, in bounds: what is parsed is untrusted.

::

    if not is_too_deep(code):
        nodes = captures(code, "(function_definition) @function").get("function", ())
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

import numpy as np
from tree_sitter import Language, Node, Parser, Query, QueryCursor
from tree_sitter_c import language

from timehands.sources.code.brackets import STEPS

#: Nodes are asked no deeper than this for the name in a declarator.
_MAX_DEPTH: Final = 12
_MAX_NESTED: Final = 400
#: So many matches may be open at once; without a limit the time grows with the square of a file.
_MAX_MATCHES: Final = 4096
_UNARY: Final = (b"*", b"!", b"-", b"+", b"&", b"~")
_MANY_UNARY: Final = 4000
_RUN: Final = re.compile(rb"[*&!~+-]{1000}")


@cache
def _asked(query: str) -> tuple[Parser, Query]:
    grammar = Language(language())
    return Parser(grammar), Query(grammar, query)


def captures(code: bytes, query: str) -> dict[str, list[Node]]:
    """The nodes of a text by the names that one of our queries gives them, in no order.

    Ask `is_too_deep` first.
    """
    parser, question = _asked(query)
    cursor = QueryCursor(question, match_limit=_MAX_MATCHES)
    return cursor.captures(parser.parse(code).root_node)


def in_order(nodes: Iterable[Node]) -> list[Node]:
    """Nodes as the text has them: their order from `captures` is another one each time."""
    return sorted(nodes, key=lambda node: node.start_byte)


def is_too_deep(code: bytes) -> bool:
    """Whether brackets or ``!!!`` nest deeper than anybody writes: the time grows with that."""
    if sum(map(code.count, _UNARY)) >= _MANY_UNARY and _RUN.search(code.translate(None, b" \t\n")):
        return True
    if code.count(b"{") + code.count(b"(") + code.count(b"[") < _MAX_NESTED:
        return False
    steps = np.frombuffer(code.translate(STEPS), np.int8)
    depth = np.cumsum(steps, dtype=np.int32)
    return bool((depth - np.minimum.accumulate(depth)).max() >= _MAX_NESTED)


def innermost(node: Node | None) -> Node | None:
    """The identifier that a declarator declares; None when it is hidden too deep."""
    for _ in range(_MAX_DEPTH):
        if node is None or node.type in ("identifier", "field_identifier", "type_identifier"):
            return node
        node = node.child_by_field_name("declarator") or (
            node.named_child(0) if node.type == "parenthesized_declarator" else None
        )
    return None
