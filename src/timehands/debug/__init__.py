"""Debug sessions: a boot that stops where it is asked to, looked at and changed there.

`request` is what is asked for, `session` does it.
"""

from __future__ import annotations

from timehands.debug.request import Break, Debugging, Skip
from timehands.debug.session import Seen, Session, debugging

__all__ = ["Break", "Debugging", "Seen", "Session", "Skip", "debugging"]
