"""What devices are given in these tests: a clock that the test turns, alarms that it rings."""

from __future__ import annotations

from collections.abc import Callable


class TurnedClock:
    """Guest time and the host's date, in ns, as the test says. Stands in for the module `time`."""

    def __init__(self, ns: int = 0, date_ns: int = 0) -> None:
        self.ns, self.date_ns = ns, date_ns

    def now_ns(self) -> int:
        """Guest time."""
        return self.ns

    def time_ns(self) -> int:
        """The host's date."""
        return self.date_ns + self.ns


class RungAlarms:
    """Alarms that ring when the test turns the clock with `turn`; as `monitor.time.Alarms`."""

    def __init__(self, clock: TurnedClock) -> None:
        self.clock = clock
        self.due: dict[object, tuple[int, Callable[[int], None]]] = {}

    def set(self, owner: object, at_ns: int, ring: Callable[[int], None]) -> None:
        """One alarm for each owner."""
        self.due[owner] = (at_ns, ring)

    def clear(self, owner: object) -> None:
        """None for this one."""
        self.due.pop(owner, None)

    def turn(self, to_ns: int, *, late_ns: int = 0) -> None:
        """Guest time becomes ``to_ns``; each alarm until then rings, so much too late."""
        while self.due:
            owner, (at_ns, ring) = min(self.due.items(), key=lambda item: item[1][0])
            if at_ns > to_ns:
                break
            del self.due[owner]
            self.clock.ns = max(self.clock.ns, at_ns + late_ns)
            ring(at_ns)
        self.clock.ns = max(self.clock.ns, to_ns)


class Line:
    """An interrupt line: what it was set to, in turn."""

    def __init__(self) -> None:
        self.levels: list[int] = []

    def __call__(self, level: int) -> None:
        self.levels.append(level)
