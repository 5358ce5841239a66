"""A recording: everything that one boot produced, in a folder that can be opened without the guest.

::

    recording.json   what was booted on what, by whom, and (when it was closed) how it ended
    events.bin       the watcher's records, as they came (see `timehands.watch.records`)
    console.jsonl    the console's lines: {"ns": host ns, "text": ...}
    machine.jsonl    QEMU's own events: {"ns": ..., "name": ..., "data": ...}
    reset.log        QEMU's note of CPU resets
    stops.jsonl      when we stopped the guest, and interventions.jsonl what we changed in it
    looked.json      what the kernel's variables said at the end (`timehands.guests`)
    symbols.json     names for the addresses that occur

Everything is written as it comes: what was recorded before a failure opens. A recording is
untrusted input when it is opened: sizes are bounded, and what makes no sense is `RecordingDamaged`.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from timehands.errors import MachineError, RecordingDamaged, RecordingError
from timehands.machines.machine import Load, Machine
from timehands.watch.checked import is_a, require_types
from timehands.watch.entered import Entered, entered_in
from timehands.watch.interventions import Intervention, Stopped
from timehands.watch.ours import without_ours
from timehands.watch.records import Event, Kind, decode

T = TypeVar("T")
FORMAT = "timehands-recording/1"
HEADER = "recording.json"
#: What is read of each file at most. The recorder keeps to less.
MAX_EVENT_BYTES = 64 << 20
MAX_JSON_BYTES = 8 << 20
MAX_LINES_BYTES = 32 << 20
MAX_ROW_BYTES = 64 << 10
MAX_RESET_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class KernelIdentity:
    """Which kernel it was, and what its file says. ``symbols`` counts them.

    ``debug_file`` is the path of the other file that holds its DWARF; empty: there is none.
    """

    path: str
    sha256: str
    size: int
    os: str
    version: str
    format: str
    entry: str
    symbols: int
    symbol_source: str | None
    types: tuple[str, ...] = ()
    orc: bool = False
    clock_functions: tuple[str, ...] = ()
    debug_file: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The identity that `dataclasses.asdict` wrote; KeyError, TypeError else."""
        data = {"debug_file": "", **data}  # recordings of before have none
        known = {f.name: data[f.name] for f in fields(cls)}
        known["types"] = tuple(known["types"])
        known["clock_functions"] = tuple(known["clock_functions"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Watching:
    """What watching saw and what it cost.

    ``callback_ns`` and ``translation_ns`` were measured in the instrument itself (the first by
    samples); ``qemu_cpu_ns`` is the CPU time of QEMU as a whole. None: not known. ``entered`` are
    the functions that were chosen to be watched.
    """

    instrument: str
    events: int
    passed_over: int = 0
    callbacks: int | None = None
    callback_ns: int | None = None
    translation_ns: int | None = None
    blocks: int | None = None
    qemu_cpu_ns: int | None = None
    entered: tuple[Entered, ...] = ()

    @property
    def overhead_percent(self) -> float | None:
        """The instrument's own share of QEMU's CPU time, in percent."""
        if self.callback_ns is None or self.translation_ns is None or not self.qemu_cpu_ns:
            return None
        return 100 * (self.callback_ns + self.translation_ns) / self.qemu_cpu_ns


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A line of the serial console and when its last byte was read, host ns."""

    index: int
    host_ns: int
    text: str

    @property
    def reference(self) -> str:
        """How evidence refers to this line: ``c37``."""
        return f"c{self.index}"


@dataclass(frozen=True, slots=True)
class MachineEvent:
    """An event of QEMU's own (QMP), host ns."""

    host_ns: int
    name: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a vCPU was when a guest that made no progress was looked at."""

    vcpu: int
    pc: int
    halted: bool
    interrupts: bool


@dataclass(slots=True)
class Header:
    """What recording.json holds. Times are host ns (CLOCK_MONOTONIC).

    ``functions`` names the watched functions by number; ``points`` are the numbers of those that
    are watched at their entry only; ``chosen``: they are not those of the system's plan, but a few
    that someone named. ``ramdisk_note`` says what the kernel will do with a ramdisk
    that it does not take for one.
    """

    kernel: KernelIdentity
    machine: Machine
    load: Load
    instrument: str
    qemu_version: str = ""
    command: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    function_starts: tuple[int, ...] = ()
    points: tuple[int, ...] = ()
    read_names: tuple[tuple[str, ...], ...] = ()
    started_ns: int = 0
    ready_ns: int = 0
    resumed_ns: int = 0
    ended_ns: int | None = None
    ended_reason: str | None = None
    exit_status: int | None = None
    stderr: str = ""
    stopped_by: str | None = None
    spots: tuple[Spot, ...] = ()
    qemu_cpu_ns: int | None = None
    console_bytes: int = 0
    console_dropped: int = 0
    events_dropped: int = 0
    survey: dict[str, Any] | None = None
    ramdisk_note: str = ""
    chosen: bool = False

    @property
    def planned(self) -> bool:
        """Whether the functions that tell a boot's story were watched."""
        return bool(self.functions) and not self.chosen

    def to_json(self) -> dict[str, Any]:
        """The header as JSON types."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain |= {"kernel": asdict(self.kernel), "machine": self.machine.to_json()}
        plain |= {"load": self.load.to_json(), "spots": [asdict(s) for s in self.spots]}
        return {"format": FORMAT, **plain}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The header that `to_json` wrote; KeyError, TypeError, ValueError, MachineError else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        known["kernel"] = KernelIdentity.from_json(known["kernel"])
        known["machine"] = Machine.from_json(known["machine"])
        known["load"] = Load.from_json(known["load"])
        known["spots"] = tuple(Spot(**spot) for spot in known.get("spots", ()))
        for name in ("command", "functions", "function_starts", "points"):
            known[name] = tuple(known.get(name, ()))
        known["read_names"] = tuple(tuple(names) for names in known.get("read_names", ()))
        header = cls(**known)
        require_types(header)
        return header


class Recording:
    """An opened recording. Cheap to open; events and console are read when asked for."""

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder = folder
        self.header = header

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the recording in a folder. Raises `RecordingError`, `RecordingDamaged`."""
        path = folder / HEADER
        try:
            return cls(folder, Header.from_json(_json(_bounded(path, MAX_JSON_BYTES))))
        except OSError as error:
            raise RecordingError(
                f"no recording can be opened here: {error.strerror or error}",
                path=folder,
                advice="A recording is a folder with recording.json, made by timehands boot.",
            ) from error
        except (KeyError, TypeError, ValueError, MachineError, RecursionError) as error:
            raise RecordingDamaged(f"{HEADER} makes no sense: {error}", path=folder) from error

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """All events of the guest's own, in the order in which they were streamed."""
        return tuple(decode(without_ours(self._read("events.bin", MAX_EVENT_BYTES), self.stops)))

    @cached_property
    def console(self) -> tuple[ConsoleLine, ...]:
        """The console's lines."""
        rows = (row for row in self._json_lines("console.jsonl") if _is_moment(row, "text"))
        return tuple(ConsoleLine(i, row["ns"], row["text"]) for i, row in enumerate(rows))

    @cached_property
    def machine_events(self) -> tuple[MachineEvent, ...]:
        """QEMU's own events."""
        rows = (row for row in self._json_lines("machine.jsonl") if _is_moment(row, "name"))
        return tuple(
            MachineEvent(row["ns"], row["name"], data if isinstance(data, dict) else {})
            for row in rows
            for data in [row.get("data")]
        )

    @cached_property
    def stops(self) -> tuple[Stopped, ...]:
        """When we stopped the guest, in order."""
        return tuple(_rows(self._json_lines("stops.jsonl"), Stopped.from_json))

    @cached_property
    def interventions(self) -> tuple[Intervention, ...]:
        """What we changed in the guest or its kernel, in order."""
        return tuple(_rows(self._json_lines("interventions.jsonl"), Intervention.from_json))

    @cached_property
    def looked(self) -> dict[str, Any]:
        """What the kernel's variables said at the end; empty when nobody looked."""
        try:
            data = _json(self._read("looked.json", MAX_JSON_BYTES) or b"{}")
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}

    def stops_within(self, start_ns: int, end_ns: int) -> tuple[str, ...]:
        """References of the stops that fell between two host times."""
        last = self.header.ended_ns or end_ns
        return tuple(
            stop.reference
            for stop in self.stops
            if stop.host_ns < end_ns and (stop.resumed_ns or last) > start_ns
        )

    @cached_property
    def symbols(self) -> dict[int, str]:
        """Names (``function+0x1f``) of the addresses that occur."""
        try:
            data = _json(self._read("symbols.json", MAX_JSON_BYTES) or b"{}")
            return {int(address, 16): str(name) for address, name in data.items()}
        except (ValueError, AttributeError, RecursionError) as error:
            raise RecordingDamaged(
                f"symbols.json makes no sense: {error}", path=self.folder
            ) from error

    @cached_property
    def reset_log(self) -> str:
        """QEMU's note of CPU resets."""
        return self._read("reset.log", MAX_RESET_BYTES).decode(errors="replace")

    def function(self, event: Event) -> str | None:
        """The name of the watched function that an ENTER or LEAVE event is of."""
        if event.kind not in (Kind.ENTER, Kind.LEAVE):
            return None
        number = event.values[0]
        names = self.header.functions
        return names[number] if number < len(names) else None

    def value(self, event: Event, name: str) -> bytes | None:
        """What was read under that name with an ENTER or LEAVE event; None: could not be read."""
        number = event.values[0]
        if self.function(event) is None or number >= len(self.header.read_names):
            return None
        names = self.header.read_names[number]
        return event.read(names.index(name)) if name in names else None

    def number(self, event: Event, name: str) -> int | None:
        """The same as an unsigned little-endian integer."""
        raw = self.value(event, name)
        return int.from_bytes(raw, "little") if raw else None

    def text(self, event: Event, name: str) -> str | None:
        """The same as a string, with what cannot be printed replaced."""
        raw = self.value(event, name)
        return raw.decode("ascii", errors="replace") if raw is not None else None

    def since_start(self, host_ns: int) -> int:
        """A host time as ns since the QEMU process was started; since the first thing that was
        recorded, when the recording does not say when that was.
        """
        return host_ns - self._zero_ns

    @cached_property
    def _zero_ns(self) -> int:
        if self.header.started_ns:
            return self.header.started_ns
        first = [seen[0].host_ns for seen in (self.events, self.console) if seen]
        return min(first, default=0)

    @property
    def watching(self) -> Watching:
        """What watching saw and cost."""
        events = self.events
        cost = next((e.values for e in reversed(events) if e.kind is Kind.COST), None)
        return Watching(
            instrument=self.header.instrument,
            events=sum(e.kind not in (Kind.COST, Kind.COUNT, Kind.HELLO) for e in events),
            passed_over=sum(e.values[2] for e in events if e.kind is Kind.COUNT),
            callbacks=cost[1] if cost else None,
            callback_ns=cost[0] if cost else None,
            translation_ns=cost[2] if cost else None,
            blocks=cost[3] if cost else None,
            qemu_cpu_ns=self.header.qemu_cpu_ns,
            entered=tuple(entered_in(self)),
        )

    def _read(self, name: str, limit: int) -> bytes:
        try:
            return _bounded(self.folder / name, limit)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise RecordingError(f"{name}: {error.strerror or error}", path=self.folder) from error

    def _json_lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of a file of JSON lines; a row that makes no sense is left out."""
        for line in self._read(name, MAX_LINES_BYTES).split(b"\n"):
            try:
                row = _json(line) if len(line) <= MAX_ROW_BYTES else None
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row


def _json(text: bytes) -> Any:
    """JSON whose strings can be printed again (no lone surrogates). Raises ValueError."""
    data = json.loads(text)
    if b"\\u" in text:
        json.dumps(data, ensure_ascii=False).encode()
    return data


def _rows(rows: Iterable[dict[str, Any]], make: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """The rows that make sense; a damaged one is left out."""
    for row in rows:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            yield make(row)


def _is_moment(row: dict[str, Any], what: str) -> bool:
    """Whether it has a host time and that text."""
    return is_a(row.get("ns"), int) and isinstance(row.get(what), str)


def _bounded(path: Path, limit: int) -> bytes:
    """The beginning of a regular file: anything else might never end. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path.name} is no regular file")
        return file.read(limit)
