from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from recordings import jiffies_boot
from timehands.cli import main as module
from timehands.cli.main import VERBS, main
from timehands.errors import UsageError


def _timehands(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "timehands", *words]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert f"timehands {verb}" in capsys.readouterr().out


def test_all_verbs_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize("words", [[], ["fly"], ["boot"], ["boot", "a", "--until", "never"]])
def test_what_is_asked_wrongly_has_exit_status_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def _verb(monkeypatch: pytest.MonkeyPatch, run: Callable[[object], int]) -> None:
    parser = SimpleNamespace(parse_args=lambda _words: SimpleNamespace(run=run))
    monkeypatch.setattr(module, "_parser", lambda _words: parser)
    monkeypatch.setattr(signal, "signal", lambda *_args: None)


def _raiser(error: BaseException) -> Callable[[object], int]:
    def run(_args: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UsageError("not so", advice="do it so"), 2, "timehands: not so\ndo it so\n"),
        (KeyboardInterrupt(), 130, "timehands: interrupted\n"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
    ],
)
def test_every_end_has_its_exit_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    said: str,
) -> None:
    _verb(monkeypatch, _raiser(error))
    assert main([]) == status
    assert said in capsys.readouterr().err


def test_the_status_of_a_verb_is_the_status_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    _verb(monkeypatch, lambda _args: 1)
    assert main([]) == 1


def test_a_reader_that_goes_away_is_no_trouble(tmp_path: Path) -> None:
    jiffies_boot().write(tmp_path)
    command = f"'{sys.executable}' -m timehands report '{tmp_path}' --json | head -c 1"
    ended = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "{"
    assert ended.stderr == ""


def test_the_command_starts_without_what_its_verb_does_not_need() -> None:
    program = (
        "import sys, timehands.cli.main as m\n"
        "try: m.main(['explain', 'TH101'])\n"
        "finally: print([n for n in ('elftools', 'jinja2', 'qemu', 'asyncio', 'rich', 'lz4')"
        " if n in sys.modules], file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stderr.strip() == "[]"


def test_a_polite_kill_ends_the_command_as_an_interruption() -> None:
    program = (
        "import signal, sys, timehands.cli.main as m\n"
        "from types import SimpleNamespace as N\n"
        "def run(args):\n"
        "    print('ready', flush=True); signal.pause(); return 0\n"
        "m._parser = lambda w: N(parse_args=lambda w: N(run=run))\n"
        "sys.exit(m.main([]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert process.stderr.read() == "timehands: interrupted\n"
    process.stdout.close()
    process.stderr.close()


def test_the_version_is_told() -> None:
    ended = _timehands("--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("timehands ")


def test_a_closed_standard_output_is_no_error() -> None:
    words = [sys.executable, "-m", "timehands", "explain", "TH101"]
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(words)} >&-"], capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_output_that_knows_only_ascii_is_no_error() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "timehands", "doctor"],
        capture_output=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    assert done.stdout.isascii() and done.stdout
