"""A guest out of a snapshot that a test talks to. Run as a program: one that another process took.

``python restored.py FOLDER BYTES`` sends each of the bytes, and prints what the guest answers.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from monitor.running import Talk
from timehands.monitor.settings import Policy
from timehands.monitor.snapshot import restore


class Restored(Talk):
    """As `Talk`; it is not resumed before it is entered as a context."""

    def __init__(self, folder: Path, policy: Policy | None = None) -> None:
        self.lines: list[str] = []
        self._rest = b""
        self._said = threading.Condition()
        self.guest = restore(folder, console=self._hear, policy=policy)


def main() -> None:
    """Say what a restored guest says."""
    with Restored(Path(sys.argv[1])) as talk:
        for byte in sys.argv[2].encode():
            print(*talk.ask(bytes([byte])))


if __name__ == "__main__":
    main()
