"""The schemas of our JSON, and their documentation: docs/schema.md is made from the report's.

``python -m timehands.reports.schema > docs/schema.md`` writes that page;
``python -m timehands.reports.schema simulation`` the table of keys in docs/simulate.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

_HEAD = """\
# The JSON report: `timehands-report/1`

`timehands boot --json`, `timehands report DIR --json` and `timehands.reports.json_report.to_json`
give this object. The JSON Schema (draft 2020-12) is `src/timehands/reports/schema.json`; this page
is made from it by `python -m timehands.reports.schema`, and a test holds the two together.

Numbers are exact integers with their unit in the key: `_ns`, `_hz`, `_ppm`, `_mib`. Times are host
times; those that say *since QEMU was started* count from the boundary `process_started`. What was
not seen is null, never a guess. Every key is always there. Within version 1 keys may be added;
none is removed or changes its meaning. The schema is strict (it refuses keys that it does not
know), so validate a report with the schema of the Timehands that wrote it (`timehands`).

`timehands.reports.json_report.without_host_times` takes away what depends on the host's time or
place: keys that end in `_ns` or `_ms`, `rate`, `wall`, `spans` (only those that took long enough
are told), `watching`, `survey`, `recording` and `ending`; and the numbers of events (of a flood
some are streamed by host time, so an event can have another number). Two boots of a deterministic
machine (`--deterministic`) are equal in the rest.

| key | type | meaning |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the report: ``path`` from the top (``clocks[].frequency_hz``)."""

    path: str
    type: str
    meaning: str


def load_schema(name: str = "schema") -> dict[str, Any]:
    """A schema, as JSON Schema 2020-12: that of the report, or ``simulation_schema``."""
    file = resources.files("timehands.reports") / f"{name}.json"
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def keys(schema: dict[str, Any]) -> Iterator[Key]:
    """Every key that a report can have, in the schema's order."""
    yield from _keys(schema, schema, "")


def markdown(schema: dict[str, Any]) -> str:
    """The documentation of all keys, as a Markdown page."""
    return _HEAD + rows(schema)


def simulation_rows() -> str:
    """The table of keys in docs/simulate.md; those of ``all`` are those of ``vcpus[]``."""
    table = rows(load_schema("simulation_schema")).splitlines(keepends=True)
    return "".join(line for line in table if not line.startswith("| `all."))


def rows(schema: dict[str, Any]) -> str:
    """The rows of a table of all keys: key, type, meaning."""
    return "".join(f"| `{key.path}` | {key.type} | {key.meaning} |\n" for key in keys(schema))


def _keys(schema: dict[str, Any], node: dict[str, Any], prefix: str) -> Iterator[Key]:
    for name, value in node.get("properties", {}).items():
        path = prefix + name
        yield Key(path, _type(schema, value), _meaning(value))
        yield from _below(schema, value, path)


def _below(schema: dict[str, Any], value: dict[str, Any], path: str) -> Iterator[Key]:
    inner = _resolve(schema, value)
    if "items" in inner:
        yield from _keys(schema, _resolve(schema, inner["items"]), f"{path}[].")
    yield from _keys(schema, inner, f"{path}.")


def _resolve(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: dict[str, Any] = schema["$defs"][value["$ref"].removeprefix("#/$defs/")]
    return found


def _type(schema: dict[str, Any], value: dict[str, Any]) -> str:
    inner = _resolve(schema, value)
    if "const" in inner:
        return str(inner.get("type", "string"))
    types = _listed(inner["type"])
    words = [_of(schema, inner) if name == "array" else str(name) for name in types]
    return " or ".join(words)


def _listed(types: str | list[str]) -> list[str]:
    return types if isinstance(types, list) else [types]


def _of(schema: dict[str, Any], value: dict[str, Any]) -> str:
    types = _resolve(schema, value["items"])["type"]
    return "array of " + " or ".join(f"{name}s" for name in _listed(types))


def _meaning(value: dict[str, Any]) -> str:
    words = str(value["description"])
    if "const" in value:
        words += f": `{value['const']}`"
    if "enum" in value:
        words += f" (one of {', '.join(f'`{one}`' for one in value['enum'])})"
    return words.replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] == ["simulation"]:
        print(simulation_rows(), end="")
    else:
        print(markdown(load_schema()), end="")
