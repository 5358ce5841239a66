"""From a file's tables to a scenario: every key is looked at, and none is left over."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from timehands.errors import ScenarioError
from timehands.simulate import events
from timehands.simulate.expectations import FIGURES, Expectation
from timehands.simulate.expectations import parse as parse_expectation
from timehands.simulate.hosts import HostSpec
from timehands.simulate.policy import Policy
from timehands.simulate.scenario import MAX_CPUS, Away, Load, Scenario
from timehands.simulate.units import NS, duration, rate, span

_Choice = TypeVar("_Choice", bound=Enum)
_REQUIRED = object()
_MAX_INTEGER = 1 << 128


class Table:
    """One table of a file: its keys are taken one by one; `done` refuses those that nobody took.

    ``where`` is its name in messages ("" for the file itself).
    """

    def __init__(self, raw: dict[str, Any], where: str, source: str) -> None:
        self.raw, self.where, self.source = raw, where, source
        self._known: list[str] = []

    @property
    def names(self) -> list[str]:
        """Its keys, in the order of the file."""
        return list(self.raw)

    def allow(self, *keys: str) -> None:
        """These keys may be there."""
        self._known += keys

    def error(self, key: str, message: str, possible: str) -> ScenarioError:
        """An error that names file, table and key."""
        place = f"[{self.where}] {key}" if self.where else key
        return ScenarioError(f"{place}: {message}", possible=possible, key=key, source=self.source)

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        if key in self.raw:
            return self.raw[key]
        if default is _REQUIRED:
            place = f"[{self.where}]" if self.where else "the file"
            raise ScenarioError(
                f"{place} has no {key!r}", possible=f"{key} = ...", key=key, source=self.source
            )
        return default

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """A string."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"{_shown(value)} is no text", f'{key} = "..."')
        return value

    def integer(self, key: str, default: Any = _REQUIRED) -> int:
        """A whole number (true and 1.0 are none)."""
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(key, f"{_shown(value)} is no whole number", f"{key} = 1000")
        return self._bounded(key, value)

    def _bounded(self, key: str, value: int) -> int:
        """Numbers of thousands of digits (hexadecimal ones are had) can not even be printed."""
        if abs(value) > _MAX_INTEGER:
            raise self.error(key, "this number is too large", f"up to {_MAX_INTEGER}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"{_shown(value)} is neither true nor false", "true, false")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self._take(key, _REQUIRED)
        wrong = not isinstance(value, list) or any(type(one) is not int for one in value)
        if wrong:
            raise self.error(key, "this is no list of whole numbers", f"{key} = [0, 75_000]")
        return tuple(self._bounded(key, one) for one in value)

    def _quantity(self, key: str, default: Any, read: Callable[[str], Any], example: str) -> Any:
        value = self._take(key, default)
        if not isinstance(value, str):
            if value is default and value is not _REQUIRED:
                return value
            raise self.error(key, f"{_shown(value)} has no unit", f'{key} = "{example}"')
        try:
            return read(value)
        except ValueError as error:
            raise self.error(key, str(error), f'{key} = "{example}"') from error

    def time(self, key: str, default: Any = _REQUIRED) -> Any:
        """A time with a unit, in ns."""
        return self._quantity(key, default, duration, "10 s")

    def rate(self, key: str, default: Any = _REQUIRED) -> Any:
        """A ratio with a unit, in ppb."""
        return self._quantity(key, default, rate, "20 ppm")

    def span(self, key: str) -> Any:
        """A range of times, in ns."""
        return self._quantity(key, _REQUIRED, lambda text: span(text, NS), "50 us .. 200 us")

    def choice(self, key: str, kind: type[_Choice], default: _Choice | None) -> _Choice | None:
        """One of an enum's values."""
        value = self._take(key, None)
        if value is None:
            return default
        names = [one.value for one in kind]
        if value not in names:
            raise self.error(key, f"{_shown(value)} is not possible", ", ".join(names))
        return kind(value)

    def table(self, key: str) -> Table:
        """A table; empty when it is not there."""
        value = self._take(key, {})
        where = f"{self.where}.{key}" if self.where else key
        if not isinstance(value, dict):
            raise self.error(key, f"{_shown(value)} is no table", f"[{where}]")
        return Table(value, where, self.source)

    def tables(self, key: str) -> list[Table]:
        """An array of tables; empty when it is not there."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.error(key, "this is no array of tables", f"[[{key}]]")
        return [Table(one, f"{key} {n}", self.source) for n, one in enumerate(value, 1)]

    def done(self) -> None:
        """Refuse keys that nobody took."""
        for key in self.raw:
            if key not in self._known:
                raise self.error(key, "there is no such key", ", ".join(dict.fromkeys(self._known)))


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return "this"
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_scenario(table: Table, name: str) -> Scenario:
    """The whole file. Raises `ScenarioError`."""
    hosts = tuple(_host(one) for one in table.tables("host"))
    names = [host.name for host in hosts]
    vmm = _vmm(table.table("vmm"), {})
    base = {"raw": False, "disciplined": True}
    fields = {
        "title": table.text("title"),
        "hosts": hosts,
        "duration_ns": table.time("duration"),
        "vcpus": table.integer("vcpus", 1),
        "reads_per_s": table.integer("reads_per_second", 1000),
        "provider": table.text("provider", "kvm"),
        "reader": table.text("reader", "linux"),
        "policy": table.choice("policy", Policy, Policy.MONOTONIC),
        "guest_khz": table.integer("guest_khz") if "guest_khz" in table.raw else None,
        "load": _load(table.table("load")),
        "expect": _expect(table.table("expect")),
        "events": tuple(_event(one, names, vmm) for one in table.tables("event")),
        "name": name,
    }
    kvm_base = table.text("kvm_base", "raw")
    if kvm_base not in base:
        raise table.error("kvm_base", f"{_shown(kvm_base)} is not possible", ", ".join(base))
    table.allow("guest_khz")
    table.done()
    try:
        return Scenario(**fields, disciplined=base[kvm_base])
    except ScenarioError as error:
        raise ScenarioError(
            error.reason, possible=error.possible, key=error.key, source=table.source
        ) from error


def _host(table: Table) -> HostSpec:
    if "cpus" in table.raw and "skew_cycles" in table.raw:
        raise table.error("cpus", "skew_cycles says it already", "one of them")
    if "skew_cycles" in table.raw:
        skew = table.integers("skew_cycles")
    else:
        cpus = table.integer("cpus", 2)
        if not 1 <= cpus <= MAX_CPUS:
            raise table.error("cpus", f"{cpus:,} is not possible", f"1 to {MAX_CPUS:,}")
        skew = (0,) * cpus
    spec = HostSpec(
        name=table.text("name"),
        tsc_khz=table.integer("tsc_khz"),
        drift_ppb=table.rate("drift", 0),
        skew_cycles=skew,
        tsc_scaling=table.flag("tsc_scaling", True),
        tsc_start=table.integer("tsc_start", HostSpec(name="", tsc_khz=1).tsc_start),
        realtime_offset_ns=table.time("realtime_offset", 0),
    )
    table.allow("cpus", "skew_cycles")
    table.done()
    return spec


def _away(table: Table, key: str) -> Away | None:
    if key not in table.raw:
        table.allow(key)
        return None
    inner = table.table(key)
    away = Away(every=inner.span("every"), length=inner.span("length"))
    inner.done()
    return away


def _load(table: Table) -> Load:
    load = Load(
        exits=_away(table, "exits"),
        descheduled=_away(table, "descheduled"),
        migrations=_away(table, "migrations"),
        commit_percent=table.integer("commit_percent", 100),
    )
    table.done()
    return load


def _vmm(table: Table, base: dict[str, Any]) -> dict[str, Any]:
    """A VMM's ways as keywords of `events.Vmm`: the scenario's, then the event's own."""
    own: dict[str, Any] = {
        "clock": table.choice("clock", events.ClockAt, None),
        "clock_after_ns": table.time("clock_after", None),
        "kvmclock_ctrl": table.choice("kvmclock_ctrl", events.Ctrl, None),
        "tsc": table.choice("tsc", events.TscAt, None),
        "tsc_gap_ns": table.time("tsc_gap", None),
        "deadline_in_ns": table.time("deadline_in", None),
    }
    flags = ("tsc_sync", "tsc_khz", "deadline_before_tsc", "deadline_lost", "mend_lost_deadline")
    for name in flags:
        given = table.flag(name, False)
        own[name] = given if name in table.raw else None
    table.done()
    return base | {name: value for name, value in own.items() if value is not None}


def _event(table: Table, hosts: list[str], vmm: dict[str, Any]) -> events.Event:
    at_ns, what = table.time("at"), table.text("what")
    if what not in _EVENTS:
        raise table.error("what", f"{_shown(what)} is not possible", ", ".join(_EVENTS))
    event = _EVENTS[what](table, at_ns, hosts, vmm)
    table.done()
    return event


def _which_host(table: Table, hosts: list[str], *, required: bool) -> int:
    name = table.text("host") if required else table.text("host", hosts[0] if hosts else "")
    if name not in hosts:
        raise table.error("host", f"no host is called {_shown(name)}", ", ".join(hosts) or "none")
    return hosts.index(name)


def _pause(table: Table, at_ns: int, _hosts: list[str], vmm: dict[str, Any]) -> events.Event:
    ways = events.Vmm(**_vmm(table.table("vmm"), vmm))
    return events.Pause(at_ns=at_ns, for_ns=table.time("for"), vmm=ways)


def _restore(table: Table, at_ns: int, hosts: list[str], vmm: dict[str, Any]) -> events.Event:
    ways = events.Vmm(**_vmm(table.table("vmm"), vmm))
    host = _which_host(table, hosts, required=False)
    return events.Restore(at_ns=at_ns, after_ns=table.time("after"), host=host, vmm=ways)


def _step(table: Table, at_ns: int, hosts: list[str], _vmm: dict[str, Any]) -> events.Event:
    host = _which_host(table, hosts, required=False)
    return events.ClockStep(at_ns=at_ns, host=host, by_ns=table.time("by"))


def _slew(table: Table, at_ns: int, hosts: list[str], _vmm: dict[str, Any]) -> events.Event:
    host = _which_host(table, hosts, required=False)
    ppb, for_ns = table.rate("rate"), table.time("for")
    return events.ClockSlew(at_ns=at_ns, host=host, ppb=ppb, for_ns=for_ns)


def _write(table: Table, at_ns: int, _hosts: list[str], _vmm: dict[str, Any]) -> events.Event:
    by = table.text("by", "guest")
    if by not in ("guest", "vmm"):
        raise table.error("by", f"{_shown(by)} is not possible", "guest, vmm")
    vcpu = table.integer("vcpu") if "vcpu" in table.raw else None
    value = table.integer("value")
    table.allow("vcpu")
    return events.TscWrite(at_ns=at_ns, value=value, vcpu=vcpu, by_guest=by == "guest")


def _set_date(table: Table, at_ns: int, _hosts: list[str], _vmm: dict[str, Any]) -> events.Event:
    return events.SetDate(at_ns=at_ns, gap_ns=table.time("gap", 0))


_EVENTS: dict[str, Callable[[Table, int, list[str], dict[str, Any]], events.Event]] = {
    "pause": _pause,
    "restore": _restore,
    "clock-step": _step,
    "clock-slew": _slew,
    "tsc-write": _write,
    "set-date": _set_date,
}


def _expect(table: Table) -> tuple[Expectation, ...]:
    found = []
    for key, value in table.raw.items():
        if not isinstance(value, (int, str)) or isinstance(value, bool):
            raise table.error(key, f"{_shown(value)} is no bound", f'{key} = "<= ..."')
        bound = table.integer(key) if isinstance(value, int) else value
        try:
            found.append(parse_expectation(key, bound))
        except ValueError as error:
            known = ", ".join(FIGURES) if key not in FIGURES else '0, "<= 1 us", "1 us .. 5 us"'
            raise table.error(key, str(error), known) from error
    return tuple(found)
