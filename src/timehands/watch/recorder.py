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
from timehands.watch.plan import Plan
from timehands.watch.recording import HEADER, Header
from timehands.watch.records import RECORD, Kind

KEPT_RECORDINGS = 20
MAX_CONSOLE_BYTES = 16 << 20
MAX_EVENT_BYTES = 256 << 20
MAX_LINE_BYTES = 4096

RawRecord = tuple[int, ...]
#: Called with (host_ns, text) of each console line as it is complete.
LineListener = Callable[[int, str], None]
#: Called with each record as the plugin sent it (see `timehands.watch.records.RECORD`).
RecordListener = Callable[[RawRecord], None]


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
        self.last_ns = time.monotonic_ns()
        self._partial_line = b""
        self._partial_record = b""
        self._event_bytes = 0
        header.functions = tuple(f.name for f in plan.functions)
        header.function_starts = tuple(f.start for f in plan.functions)
        header.points = tuple(n for n, f in enumerate(plan.functions) if not f.leave)
        header.read_names = tuple(tuple(r.name for r in f.reads) for f in plan.functions)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._events = self._create("events.bin")
            self._console = self._create("console.jsonl")
            self._machine = self._create("machine.jsonl")
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
        self.last_ns = host_ns
        self.header.console_bytes += len(data)
        *lines, rest = (self._partial_line + data).split(b"\n")
        while len(rest) > MAX_LINE_BYTES:
            lines.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        self._partial_line = rest
        if self.header.console_bytes - len(data) > MAX_CONSOLE_BYTES:
            self.header.console_dropped += len(data)
            return
        for line in lines:
            self._line(host_ns, line)

    def _line(self, host_ns: int, raw: bytes) -> None:
        text = raw.rstrip(b"\r").decode("utf-8", errors="replace")
        row = json.dumps({"ns": host_ns, "text": text}, ensure_ascii=False)
        self._write(self._console, row.encode("utf-8", errors="replace") + b"\n")
        self.on_line(host_ns, text)

    def stream(self, host_ns: int, data: bytes) -> None:
        """Records of the watcher, as they come; beyond a bound they are no longer kept."""
        self.last_ns = host_ns
        data = self._partial_record + data
        whole = len(data) // RECORD.size * RECORD.size
        self._partial_record = data[whole:]
        self._event_bytes += whole
        if self._event_bytes <= MAX_EVENT_BYTES:
            self._write(self._events, data[:whole])
        for record in RECORD.iter_unpack(memoryview(data)[:whole]):
            self.on_record(record)

    def machine_event(self, host_ns: int, name: str, data: dict[str, Any]) -> None:
        """An event of QEMU's own."""
        row = json.dumps({"ns": host_ns, "name": name, "data": data})
        self._write(self._machine, row.encode() + b"\n")

    def close(self) -> None:
        """Write what is left and the header. Raises `RecordingError` when that fails."""
        if self._partial_line:
            self._line(time.monotonic_ns(), self._partial_line[:MAX_LINE_BYTES])
            self._partial_line = b""
        for file in (self._events, self._console, self._machine):
            file.close()
        try:
            self.write_header()
        except OSError as error:
            raise self._error(error) from error

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
            advice="What was recorded before is still there. Free space, or give --record DIR.",
        )


def is_progress(record: RawRecord) -> bool:
    """Whether a record shows that the guest does something that it had not done before."""
    return record[0] in (Kind.PROGRESS, Kind.ENTER, Kind.LEAVE, Kind.FIRST, Kind.SLIDE)
