"""Snapshots of guests of the monitor: a folder to go on from, here, later, or on another host.

::

    snapshot(guest, "before")
    with restore("before", console=print) as again:
        again.resume()

``state.json`` holds all but the memory, ``memory.bin`` the memory: one byte for each of the
guest's, with holes for what is zero. A folder is written once and never changed, and may be
restored as often as one likes. Read `state` (what is kept), `take` and `put` (in which order, and
why), `tsc`, `host` (what a host must have), then `document`, `fields` and `memory_file` (how it
lies in the folder).
"""

from timehands.monitor.snapshot.put import restore
from timehands.monitor.snapshot.take import snapshot

__all__ = ["restore", "snapshot"]
