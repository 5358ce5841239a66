"""VMMs that are run by a command line of theirs, with their serial line on standard streams.

Sources: Firecracker docs/getting-started.md (``--no-api --config-file``); Cloud Hypervisor
docs/cli.md (``--kernel``, ``--serial tty``).
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

from timehands.conform.guest import conformance_guest
from timehands.errors import UsageError, VmmMissing

MEMORY_MIB = 64
GUEST = "{guest}"


def given(command: str) -> tuple[str, ...]:
    """A command line in which ``{guest}`` stands for the guest's file. Raises `UsageError`."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--vmm-command: {error}") from error
    if not any(GUEST in word for word in words):
        raise UsageError("--vmm-command has no {guest}, where the guest's file is to stand")
    return tuple(word.replace(GUEST, str(conformance_guest())) for word in words)


def firecracker(vcpus: int, arguments: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Firecracker, with its configuration in ``folder``. Raises `VmmMissing`."""
    program = _program("firecracker")
    boot = {"kernel_image_path": str(conformance_guest()), "boot_args": " ".join(arguments)}
    machine = {"vcpu_count": vcpus, "mem_size_mib": MEMORY_MIB}
    config = folder / "firecracker.json"
    config.write_text(
        json.dumps({"boot-source": boot, "drives": [], "machine-config": machine}), "utf-8"
    )
    return (program, "--no-api", "--config-file", str(config))


def cloud_hypervisor(vcpus: int, arguments: tuple[str, ...], _folder: Path) -> tuple[str, ...]:
    """Cloud Hypervisor. Raises `VmmMissing`."""
    program = _program("cloud-hypervisor")
    line = ("--cmdline", " ".join(arguments)) if arguments else ()
    return (
        program,
        *("--kernel", str(conformance_guest())),
        *("--cpus", f"boot={vcpus}"),
        *("--memory", f"size={MEMORY_MIB}M"),
        *("--serial", "tty", "--console", "off"),
        *line,
    )


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise VmmMissing(f"no {name} is installed: none is found on PATH")
    return found
