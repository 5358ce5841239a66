"""Writing a recording while the guest runs, and noticing at once what others wait for."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from timehands.errors import RecordingError
from timehands.machines.cache import cache_folder, write_atomically
from timehands.watch.interventions import Intervention, Stopped
from timehands.watch.plan import Plan
from timehands.watch.recording import HEADER, Header
from timehands.watch.records import RECORD, Kind, RawRecord

KEPT_RECORDINGS = 20
#: What is kept of a guest that says too much, at most: the beginning of each.
MAX_CONSOLE_BYTES = 16 << 20
MAX_EVENT_BYTES = 64 << 20
MAX_MACHINE_BYTES = 4 << 20
MAX_STOP_BYTES = 16 << 20
MAX_LINE_BYTES = 4096

#: Called with (host_ns, text) of each console line as it is complete; ``on_prompt`` with what
#: there is of one that is not.
LineListener = Callable[[int, str], None]
#: Called with each record as the plugin sent it (see `timehands.watch.records.RECORD`).
RecordListener = Callable[[RawRecord], None]
#: The CPUID leaves that our own init marks moments with are 0x5448xxxx (payloads/init.c).
_MARKS = 0x5448


def new_folder() -> Path:
    """A new folder for a recording in the cache; the oldest beyond the last 20 are removed."""
    base = cache_folder("recordings")
    _prune(base)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=base))


def _prune(base: Path) -> None:
    import shutil  # only here: a recording that has its own folder does not need it

    old = sorted(p for p in base.iterdir() if p.is_dir() and not p.is_symlink())
    for folder in old[: max(0, len(old) - KEPT_RECORDINGS + 1)]:
        shutil.rmtree(folder, ignore_errors=True)


class Recorder:
    """Takes what a guest says (it is a `Sink`) and writes it to a folder.

    ``trouble`` is a future that gets the exception when the folder cannot be written any more (a
    full disk): the boot is then to be ended. What was written stays.
    """

    def __init__(self, folder: Path, header: Header, plan: Plan) -> None:
        self.folder = folder
        self.header = header
        self.trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_line: LineListener = lambda _ns, _text: None
        self.on_record: RecordListener = lambda _record: None
        self.on_console: Callable[[], None] = lambda: None
        self.on_prompt: LineListener = lambda _ns, _text: None
        self._partial_line = b""
        self._partial_ns = 0
        self._partial_record = b""
        self._room = {"console": MAX_CONSOLE_BYTES, "events": MAX_EVENT_BYTES,
                      "machine": MAX_MACHINE_BYTES, "stops": MAX_STOP_BYTES,
                      "interventions": MAX_STOP_BYTES}  # fmt: skip
        header.functions = tuple(f.name for f in plan.functions)
        header.function_starts = tuple(f.start for f in plan.functions)
        header.points = tuple(n for n, f in enumerate(plan.functions) if not f.leave)
        header.read_names = tuple(tuple(r.name for r in f.reads) for f in plan.functions)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._events = self._create("events.bin")
            self._console = self._create("console.jsonl")
            self._machine = self._create("machine.jsonl")
            self._stops = self._create("stops.jsonl")
            self._interventions = self._create("interventions.jsonl")
            self.write_header()
        except OSError as error:
            raise self._error(error) from error

    def _create(self, name: str) -> BinaryIO:
        return (self.folder / name).open("wb", buffering=0)

    def write_header(self) -> None:
        """Write recording.json as it is now. Raises OSError."""
        text = json.dumps(self.header.to_json(), indent=1)
        write_atomically(self.folder / HEADER, text.encode(), mode=0o644)

    def console(self, host_ns: int, data: bytes) -> None:
        """Bytes of the console: kept by lines, up to a bound, and counted beyond it."""
        self.header.console_bytes += len(data)
        self.on_console()
        *lines, self._partial_line = split_lines(self._partial_line + data)
        self._lines(host_ns, lines)
        self._partial_ns = host_ns
        if self._partial_line:
            self.on_prompt(host_ns, self._partial_line.decode("utf-8", errors="replace"))

    def _lines(self, host_ns: int, lines: list[bytes]) -> None:
        kept: list[bytes] = []
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", errors="replace")
            row = json.dumps({"ns": host_ns, "text": text}, ensure_ascii=False).encode() + b"\n"
            if self._has_room("console", len(row)):
                kept.append(row)
            else:
                self.header.console_dropped += len(line)
            self.on_line(host_ns, text)
        self._write(self._console, b"".join(kept))

    def stream(self, _host_ns: int, data: bytes) -> None:
        """Records of the watcher, as they come; kept up to a bound, and counted beyond it."""
        data = self._partial_record + data
        whole = len(data) // RECORD.size * RECORD.size
        self._partial_record = data[whole:]
        if self._has_room("events", whole):
            self._write(self._events, data[:whole])
        else:
            self.header.events_dropped += whole // RECORD.size
        for record in RECORD.iter_unpack(memoryview(data)[:whole]):
            self.on_record(record)

    def _has_room(self, name: str, size: int) -> bool:
        """Take room in a file; what does not fit closes it: a recording has no holes."""
        self._room[name] = self._room[name] - size if size <= self._room[name] else 0
        return self._room[name] > 0

    def machine_event(self, host_ns: int, name: str, data: dict[str, Any]) -> None:
        """An event of QEMU's own."""
        self._row("machine", self._machine, {"ns": host_ns, "name": name, "data": data})

    def stopped(self, stop: Stopped) -> None:
        """A stop of the guest, when it is over.

        Written at once, not in batches: it is there also when we are killed, or QEMU is. (A host
        that loses its power may lose it: nothing is synced.)
        """
        self._row("stops", self._stops, stop.to_json())

    def intervened(self, done: Intervention) -> None:
        """A change that we made."""
        self._row("interventions", self._interventions, done.to_json())

    def looked(self, found: dict[str, Any]) -> None:
        """What the kernel's variables said at the end. Raises `RecordingError`."""
        try:
            write_atomically(self.folder / "looked.json", json.dumps(found).encode(), mode=0o644)
        except OSError as error:
            raise self._error(error) from error

    def _row(self, name: str, file: BinaryIO, row: dict[str, Any]) -> None:
        line = json.dumps(row).encode() + b"\n"
        if self._has_room(name, len(line)):
            self._write(file, line)

    def resets(self, text: str) -> None:
        """QEMU's notes of CPU resets, once, at the end."""
        if text and not self.trouble.done():
            try:
                (self.folder / "reset.log").write_text(text)
            except OSError as error:
                self.trouble.set_exception(self._error(error))

    def write_plan(self, plan: Plan) -> Path:
        """Keep the plan, from where the plugin reads it. Raises `RecordingError`."""
        path = self.folder / "plan.txt"
        try:
            path.write_text(plan.text())
        except OSError as error:
            raise self._error(error) from error
        return path

    def close(self) -> None:
        """Write what is left and the header. Raises `RecordingError` when not all was written."""
        if self._partial_line:
            self._lines(self._partial_ns, [self._partial_line])
            self._partial_line = b""
        streams = (self._events, self._console, self._machine, self._stops, self._interventions)
        for file in streams:
            file.close()
        try:
            self.write_header()
        except OSError as error:
            raise self._error(error) from error
        if self.trouble.done():
            self.trouble.result()

    def write_symbols(self, names: dict[int, str]) -> None:
        """Keep names for addresses, so that the recording can be read without the kernel."""
        text = json.dumps({f"{address:x}": name for address, name in names.items()})
        try:
            write_atomically(self.folder / "symbols.json", text.encode(), mode=0o644)
        except OSError as error:
            raise self._error(error) from error

    def _write(self, file: BinaryIO, data: bytes) -> None:
        if self.trouble.done() or file.closed:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file.fileno(), view) :]
        except OSError as error:
            self.trouble.set_exception(self._error(error))

    def _error(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"the recording cannot be written: {error.strerror}",
            path=self.folder,
            advice="What was recorded before is still there. Free space, or record elsewhere.",
        )


def split_lines(data: bytes) -> list[bytes]:
    """The lines of console bytes, none longer than 4096; the last one is not complete."""
    lines: list[bytes] = []
    for line in data.split(b"\n"):
        lines += [line[at : at + MAX_LINE_BYTES] for at in range(0, len(line), MAX_LINE_BYTES)] or [
            b""
        ]
    return lines


def is_progress(record: RawRecord) -> bool:
    """Whether a record shows that the guest does something that it had not done before."""
    if record[0] == Kind.CPUID:
        return record[6] >> 16 & 0xFFFF == _MARKS
    return record[0] in (Kind.PROGRESS, Kind.ENTER, Kind.LEAVE, Kind.FIRST, Kind.SLIDE)
