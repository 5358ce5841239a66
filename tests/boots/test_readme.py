"""The README shows a run: what of it does not hang on the host's load is what comes out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from boots.bare_guests import plugin_qemu, sample_kernel

pytestmark = pytest.mark.boot

README = Path(__file__).parents[2] / "README.md"
#: Lines that the same kernel on the same machine always gives, by how they begin.
STEADY = ("✗ Linux hangs", "TH601 error", "TH101 error", "Machine")
#: Lines whose last columns hang on what a trial could measure on this host.
STARTS = ("with verdict selected rate", "(nothing) - jiffies N Hz")


def shape(line: str) -> str:
    """A line without its numbers and without how wide its columns are."""
    return re.sub(r"\d[\d,.]*", "N", re.sub(r" +", " ", line)).strip()


def _between(text: str, start: str, end: str) -> str:
    return text.split(start, 1)[1].split(end, 1)[0]


def test_the_run_in_the_readme_is_a_real_one(tmp_path: Path) -> None:
    plugin_qemu()
    text = README.read_text()
    (words,) = re.findall(r"^    \$ timehands (boot vmlinuz .*)$", text, re.MULTILINE)
    shown = [line.strip() for line in _between(text, words, "\nThe kernel file").splitlines()]
    given = [str(sample_kernel()) if word == "vmlinuz" else word for word in words.split()]
    done = subprocess.run(
        [sys.executable, "-m", "timehands", *given, "--record", str(tmp_path / "r"), "-q"],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    came = {shape(line) for line in done.stdout.splitlines()}
    steady = [line for line in shown if line.startswith(STEADY)]
    assert len(steady) >= len(STEADY)
    for line in steady:
        assert shape(line) in came, line
    for start in STARTS:
        for lines in (map(shape, shown), came):
            assert any(line.startswith(start) for line in lines), start
