"""The golden vectors as an implementer uses them: a C program of its own agrees with each case."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[3] / "vectors"


@pytest.fixture(scope="module")
def implementer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc)")
    program = tmp_path_factory.mktemp("implementer") / "implementer"
    source = Path(__file__).with_name("implementer.c")
    subprocess.run([compiler, "-O1", "-Wall", "-Werror", "-o", program, source], check=True)
    return program


def lines(path: Path) -> Iterator[str]:
    """A file of vectors in the flat form that the C program reads."""
    subject = json.loads(path.read_text())
    for name, group in subject["groups"].items():
        fields = [*group["inputs"].items(), *group["outputs"].items()]
        for case in group["cases"]:
            values = " ".join(flat(kind, case[field]) for field, kind in fields)
            yield f"{subject['subject']}.{name} {values}"


def flat(kind: str, value: Any) -> str:
    """A value in the flat form."""
    if value is None:
        return "-"
    if kind == "rows":
        return ";".join(",".join(map(str, row)) for row in value)
    if kind == "bool":
        return str(int(value))
    return str(value).replace(" ", "_")


def run(program: Path, cases: list[str]) -> list[str]:
    """What the program prints."""
    text = "\n".join(cases) + "\n"
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda p: p.stem)
def test_an_implementation_in_c_agrees_with_every_case(implementer: Path, path: Path) -> None:
    cases = list(lines(path))
    assert run(implementer, cases) == [f"tried {len(cases)}"]


def test_the_program_tells_a_case_that_is_wrong(implementer: Path) -> None:
    good = "pvclock_scale.kvm 1000000 2147483648 1 0xf4240 0x3b9aca00 0x3b9aca00"
    bad = good.replace("2147483648", "2147483649")
    assert run(implementer, [good, bad, "unknown.group 1"]) == [bad, "unknown.group 1", "tried 3"]


def spoilt(text: str) -> str:
    """Another value of the same type, in the flat form."""
    if text == "-":
        return "1"
    if "," in text:
        head, _, last = text.rpartition(",")
        return f"{head},{int(last) ^ 1}"
    if text.startswith("0x"):
        return hex(int(text, 16) ^ 1)
    try:
        return str(int(text) ^ 1)
    except ValueError:
        return f"{text[:-2]}{'00' if text[-2:] != '00' else '01'}"


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda p: p.stem)
def test_each_output_is_looked_at(implementer: Path, path: Path) -> None:
    subject = json.loads(path.read_text())
    cases = list(lines(path))
    for name, group in subject["groups"].items():
        outputs = [field for field in group["outputs"] if field != "why"]
        first = next(case for case in cases if case.startswith(f"{subject['subject']}.{name} "))
        words = first.split()
        for at, field in enumerate(outputs, start=1 + len(group["inputs"])):
            bad = " ".join([*words[:at], spoilt(words[at]), *words[at + 1 :]])
            assert run(implementer, [bad]) == [bad, "tried 1"], field
