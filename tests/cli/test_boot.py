from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from timehands.boot import Request
from timehands.cli import boot as verb
from timehands.errors import UsageError
from timehands.machines.machine import Machine
from timehands.story.model import Mark


def _request(*words: str) -> Request:
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    return verb.request_from(parser.parse_args(["boot", *words]))


def test_without_options_the_kernel_boots_on_the_default_machine() -> None:
    assert _request("vmlinuz") == Request(Path("vmlinuz"))


def test_every_option_has_its_place_in_the_request(tmp_path: Path) -> None:
    words = ["k", "--append", "quiet x='a b'", "--initrd", "i", "--disk", "d", "--network"]
    words += ["--entry", "bzimage", "--kaslr", "--until", "init", "--timeout", "7.5"]
    words += ["--record", str(tmp_path / "r"), "--no-survey", "--no-watch", "--qemu", "q"]
    words += ["--pit", "off", "--patch", "a=1", "--patch", "b=&c"]
    assert _request(*words) == Request(
        kernel=Path("k"),
        machine=Machine(devices=(("pit", False),)),
        arguments=("quiet", "x=a b"),
        initrd=Path("i"),
        disk=Path("d"),
        network=True,
        entry="bzimage",
        kaslr=True,
        until=Mark.INIT,
        timeout_s=7.5,
        patches=("a=1", "b=&c"),
        folder=tmp_path / "r",
        survey=False,
        watch=False,
        qemu=Path("q"),
    )


def test_a_forward_asks_for_the_network() -> None:
    request = _request("k", "--forward", "tcp::2222-:22", "--forward", "tcp::80-:80")
    assert request.network
    assert request.forwards == ("tcp::2222-:22", "tcp::80-:80")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_timeout_must_leave_time(seconds: str) -> None:
    with pytest.raises(UsageError, match="timeout"):
        _request("k", "--timeout", seconds)


def test_kernel_arguments_must_be_words() -> None:
    with pytest.raises(UsageError, match="cannot be split"):
        _request("k", "--append", "root='")


def test_a_folder_with_something_in_it_is_not_recorded_into(tmp_path: Path) -> None:
    assert _request("k", "--record", str(tmp_path)).folder == tmp_path
    (tmp_path / "kept").touch()
    with pytest.raises(UsageError, match="not empty"):
        _request("k", "--record", str(tmp_path))


@pytest.mark.parametrize("mark", ["process_started", "ended", "never"])
def test_a_boot_ends_only_at_boundaries_within_it(
    mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _request("k", "--until", mark)
    assert "--until" in capsys.readouterr().err
