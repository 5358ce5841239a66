"""Timehands: how guest kernels find their clocks on microVMs.

``Kernel`` and ``Machine`` are the way in from Python (see `timehands.live`); they are imported when
they are asked for, so that the command line pays for nothing it does not use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.live import Guest, Kernel, Machine, Stop

__all__ = ["Guest", "Kernel", "Machine", "Stop", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("Guest", "Kernel", "Machine", "Stop"):
        from timehands import live

        return getattr(live, name)
    raise AttributeError(f"module 'timehands' has no attribute {name!r}")
