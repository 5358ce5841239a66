"""The server with gdb, which we did not write."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from monitor.guests.build import guest
from monitor.served import need, served
from timehands.monitor.breakpoints import Kind
from timehands.monitor.gdb_server import Architecture

PATIENCE_S = 120
TICKS = "*(unsigned *)&ticks"


@pytest.fixture
def gdb(kvm: None) -> str:
    """The program, or a skip."""
    found = shutil.which("gdb")
    if found is None:
        pytest.skip("no gdb on this host")
    return found


def told(gdb: str, folder: Path, *commands: str, kernel: bool = True) -> str:
    """What gdb says to commands, attached to the guest whose socket is in this folder."""
    file = [str(folder / "kernel")] if kernel else []
    if kernel:
        (folder / "kernel").write_bytes(guest("ticking", "smp.S"))
    before = ("set confirm off", f"target remote {folder / 'gdb'}")
    words = [word for each in (*before, *commands) for word in ("-ex", each)]
    done = subprocess.run(
        [gdb, "-nx", "-batch", *words, *file],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("word", "kind", "how"), [("break", Kind.SOFTWARE, "1n"), ("hbreak", Kind.EXECUTE, "2o")]
)
def test_gdb_stops_at_each_call_and_steps(
    gdb: str, tmp_path: Path, word: str, kind: Kind, how: str
) -> None:
    with served(tmp_path, how) as (machine, _):
        need(machine, kind)
        said = told(
            gdb, tmp_path, f"{word} tick", "continue", f"print {TICKS}", "x/i $pc", "continue",
            "continue", f"print {TICKS}", "stepi", "print $pc == &tick", "x/i &tick",
            "info threads", "kill",
        )  # fmt: skip
        assert (
            len(re.findall(r"hit Breakpoint 1, .* in tick \(\)|^Breakpoint 1, ", said, re.M)) == 3
        )
        first, *others = re.findall(r"^\$\d = (\d+)", said, re.M)
        assert first == "0"
        assert others[1] == "0"  # the step got away
        if how == "1n":
            assert others[0] == "2"
        assert "int3" not in said
        assert said.count("vCPU ") == int(how[0])
        ending = machine.wait(PATIENCE_S)
        assert ending is not None
        assert ending.reason == "stopped"


@pytest.mark.parametrize("architecture", Architecture)
def test_gdb_takes_the_description(gdb: str, tmp_path: Path, architecture: Architecture) -> None:
    pc = "rip" if architecture is Architecture.X86_64 else "eip"
    with served(tmp_path, "1n", architecture):
        said = told(
            gdb, tmp_path, "info all-registers", "show architecture", f"set ${pc} = 0x100123",
            f"print/x ${pc}", "set $xmm1.v4i32[0] = 77", "print $xmm1.v4i32[0]",
            "set $st0 = 1.5", "print $st0", "print $eflags", kernel=False,
        )  # fmt: skip
    assert f'"{architecture.value}"' in said
    assert re.findall(r"^\$\d = (.*)", said, re.M) == ["0x100123", "77", "1.5", "[ ]"]
    for name in (pc, "cr3", "efer", "mxcsr", "xmm7", "fctrl"):
        assert re.search(rf"^{name} ", said, re.M), name
