"""The TCG plugin: built from the package's C sources on first use, cached by content."""

from __future__ import annotations

from pathlib import Path

from timehands.machines.build import build
from timehands.machines.guest import Watcher
from timehands.watch.plan import Plan

SOURCES = (
    "watch.c", "watch_stream.c", "watch_functions.c", "watch_registers.c", "watch_sites.c",
    "watch_stops.c", "watch.h", "qemu_plugin_api.h",
)  # fmt: skip
FLAGS = (
    "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden",
    "-pthread",
)  # fmt: skip
INSTRUMENT = "QEMU TCG plugin"
UNWATCHED = "console"
#: Of guests of our own monitor (`timehands.watch.exits`).
EXITS = "exits to the monitor"


def plugin_path() -> Path:
    """The plugin, ready to be loaded. Raises `CompilerMissing`."""
    return build(SOURCES, FLAGS, "watch.so")


def watcher_for(plan_file: Path, plan: Plan, *, steady: bool) -> Watcher:
    """The plugin with its arguments for a plan. ``steady``: choose events by counts alone."""
    name = str(plan_file).replace(",", ",,")
    arguments = [f"plan={name}"]
    if steady:
        arguments.append("steady=on")
    if not plan.finds_slide:
        arguments.append("slide=none")
    return Watcher(plugin_path(), tuple(arguments), stops=bool(plan.stops))
