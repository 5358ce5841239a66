"""Which files of vectors there are, and writing them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from timehands.clocks.vectors.forms import Subject
from timehands.clocks.vectors.hyperv import hyperv_subject
from timehands.clocks.vectors.i8254 import i8254_subject
from timehands.clocks.vectors.lapic import lapic_subject
from timehands.clocks.vectors.pvclock_read import read_subject, wall_subject
from timehands.clocks.vectors.pvclock_scale import delta_subject, scale_subject
from timehands.clocks.vectors.rtc import rtc_subject
from timehands.clocks.vectors.tsc import tsc_subject
from timehands.clocks.vectors.vmclock import vmclock_subject

#: One function for each file.
SUBJECTS: tuple[Callable[[], Subject], ...] = (
    scale_subject,
    delta_subject,
    read_subject,
    wall_subject,
    tsc_subject,
    lapic_subject,
    i8254_subject,
    rtc_subject,
    hyperv_subject,
    vmclock_subject,
)


def texts() -> dict[str, str]:
    """The text of each file, by its name."""
    subjects = [make() for make in SUBJECTS]
    return {f"{subject.name}.json": subject.to_text() for subject in subjects}


def write(folder: Path) -> list[Path]:
    """Write all files into a folder, which is made when missing. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in texts().items():
        path = folder / name
        path.write_text(text, encoding="ascii")
        paths.append(path)
    return paths
