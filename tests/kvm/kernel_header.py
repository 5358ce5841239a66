"""What the compiler says of <linux/kvm.h>: the oracle for numbers and layouts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

HEADER = Path("/usr/include/linux/kvm.h")
_PROGRAM = """
#include <stddef.h>
#include <stdio.h>
#include <linux/kvm.h>
int main(void) {
%s
    return 0;
}
"""


def ask_compiler(folder: Path, statements: Sequence[str]) -> list[list[str]]:
    """Run a C program of these statements: the words of each line that it prints."""
    cc = shutil.which("cc") or pytest.skip("no C compiler")
    if not HEADER.exists():
        pytest.skip(f"no {HEADER} (linux-libc-dev)")
    source, program = folder / "ask.c", folder / "ask"
    source.write_text(_PROGRAM % "\n".join(statements))
    subprocess.run([cc, "-w", "-o", program, source], check=True, timeout=60)
    result = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    return [line.split() for line in result.stdout.splitlines()]
