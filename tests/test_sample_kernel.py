"""Fetching the sample kernel, on a machine made of fakes with a real Debian package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fake_machine import FakeMachine, make_machine

DEPENDS = "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.9-2)\n"


@pytest.fixture
def with_kernel(tmp_path: Path) -> FakeMachine:
    """A machine whose apt can download a real Debian package with a kernel's file in it."""
    machine = make_machine(tmp_path)
    builder = shutil.which("dpkg-deb") or pytest.skip("no dpkg-deb")
    tree_of_package = machine.folder / "package"
    (tree_of_package / "DEBIAN").mkdir(parents=True)
    (tree_of_package / "DEBIAN" / "control").write_text(
        "Package: linux-image-6.1.0-9-cloud-amd64\nVersion: 6.1.9-2\nArchitecture: amd64\n"
        "Maintainer: A <a@b.invalid>\nDescription: a test\n"
    )
    (tree_of_package / "boot").mkdir()
    (tree_of_package / "boot" / "vmlinuz-6.1.0-9-cloud-amd64").write_bytes(b"a kernel")
    package = machine.folder / "kernel.deb"
    subprocess.run(
        [builder, "--root-owner-group", "-b", tree_of_package, package],
        check=True,
        capture_output=True,
        timeout=30,
    )
    for name in ("dpkg-deb", "tar", "rmdir"):
        path = shutil.which(name) or pytest.skip(f"no program {name}")
        (machine.folder / "bin" / name).symlink_to(path)
    machine.logging("apt-get", f'case "$*" in *download*) cp "{package}" ./k.deb;; esac')
    machine.program("apt-cache", f"#!/bin/sh\nprintf '%s' '{DEPENDS}'\n")
    return machine


def test_the_sample_kernel_is_the_one_that_the_metapackage_stands_for(
    with_kernel: FakeMachine,
) -> None:
    result = with_kernel.run("scripts/fetch-sample-kernel.sh")
    assert result.returncode == 0, result.stderr
    kernel = with_kernel.sample / "boot/vmlinuz-6.1.0-9-cloud-amd64"
    assert result.stdout == f"{kernel}\n"
    assert kernel.read_bytes() == b"a kernel"
    (call,) = (call for call in with_kernel.calls if "download" in call)
    assert call.endswith("download linux-image-6.1.0-9-cloud-amd64=6.1.9-2")
    assert [path.name for path in with_kernel.sample.parent.iterdir()] == ["sample"]


def test_a_sample_kernel_that_is_there_is_not_fetched_again(with_kernel: FakeMachine) -> None:
    first = with_kernel.run("scripts/fetch-sample-kernel.sh")
    with_kernel.forget_calls()
    second = with_kernel.run("scripts/fetch-sample-kernel.sh")
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, "")
    assert with_kernel.calls == []


def test_a_half_unpacked_sample_is_replaced(with_kernel: FakeMachine) -> None:
    (with_kernel.sample / "boot").mkdir(parents=True)
    (with_kernel.sample / "boot/config-6").touch()
    assert with_kernel.run("scripts/fetch-sample-kernel.sh").returncode == 0
    assert not (with_kernel.sample / "boot/config-6").exists()


def test_a_package_that_cannot_be_unpacked_leaves_nothing(with_kernel: FakeMachine) -> None:
    (with_kernel.folder / "kernel.deb").write_bytes(b"not a package")
    result = with_kernel.run("scripts/fetch-sample-kernel.sh")
    assert result.returncode == 1
    assert "could not unpack" in result.stderr
    assert list(with_kernel.sample.parent.iterdir()) == []


def test_without_package_lists_a_plain_user_is_told_to_refresh_them(
    with_kernel: FakeMachine,
) -> None:
    with_kernel.program("apt-cache", "#!/bin/sh\nexit 100\n")
    result = with_kernel.run("scripts/fetch-sample-kernel.sh")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].strip() == "apt-get update"
