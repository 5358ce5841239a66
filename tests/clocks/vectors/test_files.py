"""The files of golden vectors: what the generator writes, in a form that other languages read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from timehands.clocks.vectors.__main__ import main
from timehands.clocks.vectors.files import SUBJECTS, texts
from timehands.clocks.vectors.forms import TYPES, Group, Subject, Value, written

VECTORS = Path(__file__).parents[3] / "vectors"
LIMITS = {"u8": 8, "u16": 16, "u32": 32}


def test_the_files_in_vectors_are_what_the_generator_writes() -> None:
    made = texts()
    assert sorted(path.name for path in VECTORS.glob("*.json")) == sorted(made)
    for name, text in made.items():
        again = "run: python -m timehands.clocks.vectors vectors"
        assert (VECTORS / name).read_text() == text, again


def test_the_readme_names_each_file_each_group_and_each_type() -> None:
    readme = (VECTORS / "README.md").read_text()
    for make in SUBJECTS:
        subject = make()
        assert f"`{subject.name}.json`" in readme
        missing = [group.name for group in subject.groups if f"`{group.name}`" not in readme]
        assert missing == []
    assert [kind for kind in TYPES if f"`{kind}`" not in readme] == []


def cases(subject: dict[str, Any]) -> list[tuple[str, Any]]:
    """Each value of a file with its type."""
    return [
        (kind, case[field])
        for group in subject["groups"].values()
        for case in group["cases"]
        for field, kind in [*group["inputs"].items(), *group["outputs"].items()]
    ]


@pytest.mark.parametrize("name", sorted(texts()))
def test_no_number_is_one_that_a_double_cannot_hold(name: str) -> None:
    for kind, value in cases(json.loads(texts()[name])):
        if value is None:
            assert kind.endswith("?")
            continue
        bare = kind.removesuffix("?")
        if bare == "u64":
            assert len(value) == 18 and value.startswith("0x") and int(value, 16) >> 64 == 0
        elif bare in LIMITS:
            assert 0 <= value < 1 << LIMITS[bare]
        elif bare == "s8":
            assert -128 <= value <= 127
        elif bare == "bytes":
            assert bytes.fromhex(value).hex() == value
        elif bare == "rows":
            assert all(0 <= item < 1 << 32 for row in value for item in row)
        else:
            assert isinstance(value, bool if bare == "bool" else str)


@pytest.mark.parametrize("name", sorted(texts()))
def test_there_is_one_case_a_line_and_none_twice(name: str) -> None:
    lines = [line.rstrip(",") for line in texts()[name].splitlines() if line.startswith("    {")]
    groups = json.loads(texts()[name])["groups"].values()
    assert [json.loads(line) for line in lines] == [c for g in groups for c in g["cases"]]
    for group in groups:
        assert group["cases"]
        once = {json.dumps(case) for case in group["cases"]}
        assert len(once) == len(group["cases"])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("u8", 256), ("u8", -1), ("s8", 128), ("u32", True), ("u64", 1 << 64), ("u64", None),
        ("bool", 1), ("text", 5), ("bytes", "00"), ("rows", "00"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_of_its_type_is_not_written(kind: str, value: Value) -> None:
    with pytest.raises(ValueError):
        written(kind, value)


def test_a_case_with_a_value_too_few_is_not_written() -> None:
    group = Group("g", "", {"a": "u8"}, {"b": "u8"}, [(1,)])
    with pytest.raises(ValueError):
        Subject("s", "", (group,)).to_text()


def test_the_command_writes_a_folder_that_it_makes(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "vectors"
    command = [sys.executable, "-m", "timehands.clocks.vectors", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(folder / name) for name in texts()]
    assert {path.name: path.read_text() for path in folder.iterdir()} == texts()


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "vectors")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
