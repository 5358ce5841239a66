from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from timehands.cli import run as verb
from timehands.machines.machine import Machine


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    verb.add_parser(parser.add_subparsers())
    return parser.parse_args(["run", *words])


def test_the_machine_and_the_load_are_those_of_a_boot() -> None:
    request = verb._request(parsed("k", "--append", "a b", "--pit", "off", "--patch", "x=1"))
    assert request.kernel == Path("k")
    assert request.arguments == ("a", "b")
    assert request.machine == Machine(devices=(("pit", False),))
    assert request.patches == ("x=1",)
    assert not request.watch


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "123456"])
def test_a_port_is_one_of_tcp(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parsed("k", f"--gdb-port={port}")


def test_a_stub_waits_in_one_place_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("k", "--gdb-port", "1234").gdb_port == 1234
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parsed("k", "--gdb", "--gdb-port", "1234")
