"""Backtraces from a guest's registers and memory: see `timehands.kernels.unwind.walk`."""

from timehands.kernels.unwind.frames import Backtrace, Frame, How
from timehands.kernels.unwind.walk import backtrace

__all__ = ["Backtrace", "Frame", "How", "backtrace"]
