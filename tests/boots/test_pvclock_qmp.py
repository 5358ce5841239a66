"""A page in the memory of a real QEMU, read by its monitor."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from boots.bare_guests import wait_until
from clocks.pvclock.golden import KVM_RECORDS
from timehands.cli.main import main
from timehands.errors import QemuMissing
from timehands.machines.host_qemu import find_qemu

pytestmark = pytest.mark.boot

ADDRESS = 0x5040


def test_a_page_in_a_real_qemu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        qemu = find_qemu(plugin=False)
    except QemuMissing as missing:
        pytest.skip(str(missing))
    page, path = KVM_RECORDS[2].build(), tmp_path / "qmp"
    (tmp_path / "page").write_bytes(page)
    loader = f"loader,file={tmp_path / 'page'},addr={ADDRESS:#x},force-raw=on"
    command = [
        qemu.path, "-M", "microvm", "-accel", "tcg", "-m", "16", "-S", "-nodefaults", "-display",
        "none", "-qmp", f"unix:{path},server=on,wait=off", "-device", loader,
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: path.exists() or process.poll() is not None)
            words = ["pvclock", "decode", "--qmp", str(path), "--address", hex(ADDRESS | 1)]
            status = main([*words, "--json"])
        finally:
            process.kill()
    assert status == 0
    assert json.loads(capsys.readouterr().out)["time_info"]["hex"] == page.hex()
