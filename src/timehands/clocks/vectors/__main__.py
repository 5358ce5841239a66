"""``python -m timehands.clocks.vectors DIR``: write the golden vectors into a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from timehands.clocks.vectors.files import write


def main(arguments: list[str] | None = None) -> int:
    """Write the files, and print their names. 1 when a file cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m timehands.clocks.vectors",
        description="Write golden vectors of clock arithmetic, a JSON file for each subject.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="made when missing")
    folder: Path = parser.parse_args(arguments).folder
    try:
        paths = write(folder)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
