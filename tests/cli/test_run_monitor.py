"""``timehands run --machine monitor`` as far as no guest runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from guest_kernels.build import guest_kernel
from timehands.cli.main import _parser, main
from timehands.cli.run_monitor import kept_from, with_names
from timehands.errors import CompilerMissing, UsageError
from timehands.kernels.kernel import Kernel
from timehands.monitor.terminal import Kept


def _kernel() -> Path:
    try:
        return guest_kernel("freebsd")
    except CompilerMissing:
        pytest.skip("no C compiler is installed")


def test_a_dry_run_prints_the_command_that_runs_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kernel = str(_kernel())
    words = ["run", kernel, "--machine", "monitor", "--clock", "pvclock=kvm", "--pit", "off"]
    assert main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        f"timehands run {kernel} --machine monitor --memory 256 --vcpus 1 --pit off "
        "--clock pvclock=kvm --append boot_verbose=1\n"
    )


def test_a_port_for_gdb_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kernel = str(_kernel())
    assert main(["run", kernel, "--machine", "monitor", "--gdb-port", "1234"]) == 2
    assert "private Unix socket only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, None), (["1.5", "f"], Kept(1.5, Path("f"))), (["0", "f"], Kept(0.0, Path("f")))],
)
def test_a_snapshot_is_asked_for_by_seconds_and_folder(
    given: list[str] | None, kept: Kept | None
) -> None:
    words = ["run", "k", *(["--snapshot-after", *given] if given else [])]
    assert kept_from(_parser(words).parse_args(words)) == kept


@pytest.mark.parametrize("seconds", ["-1", "soon", "nan", "inf", "1e99"])
def test_seconds_that_are_none_are_refused(seconds: str) -> None:
    with pytest.raises(UsageError, match="give seconds"):
        kept_from(SimpleNamespace(snapshot_after=[seconds, "f"]))  # type: ignore[arg-type]


def test_an_ending_has_the_kernels_names() -> None:
    kernel = Kernel.open(_kernel())
    (address,) = kernel.symbols.lookup("tsc_init")
    words = f"KVM cannot go on: vCPU 0: running, at {address + 4:#018x} (code: 90), 0x1234"
    assert f"{address + 4:#018x} (tsc_init+0x4) (code: 90), 0x1234" in with_names(words, kernel)
