"""Stops: where to stop a guest, what to see there, what to change.

`wants` is what people write, `sites` the addresses that it means, `engine` lets the guest run from
one stop to the next, `view` what can be seen at one, `steering` what can be changed.
"""

from __future__ import annotations

from timehands.watch.stops.engine import Stops
from timehands.watch.stops.log import Log
from timehands.watch.stops.placed import Placed
from timehands.watch.stops.stop import Kind, Stop
from timehands.watch.stops.view import View
from timehands.watch.stops.wants import Want, parse

__all__ = ["Kind", "Log", "Placed", "Stop", "Stops", "View", "Want", "parse"]
