"""A guest: one machine, running, with a load in it.

::

    guest = await Guest.start(qemu, machine, load, sink)
    async with guest:               # the guest never outlives this block, nor this process
        ended = await guest.wait(timeout_s=30)

What the guest says arrives at a `Sink`, with the host time (CLOCK_MONOTONIC, ns) at which it was
read. QEMU is wired to us by inherited socket pairs and a pipe: there is no socket in any folder
that another process could open. It dies with this process, also when that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from qemu.qmp import EventListener, ExecuteError, QMPClient
from qemu.qmp.error import QMPError

from timehands.errors import QemuFailed, QemuRefused
from timehands.machines.machine import Load, Machine
from timehands.machines.qemu import Wiring, command_line
from timehands.machines.quiet import quiet

Consumer = Callable[[int, bytes], None]

START_SECONDS = 20
ANSWER_SECONDS = 10
QUIT_SECONDS = 5
PIPE_BYTES = 1 << 20
READ_BYTES = 1 << 18
STDERR_BYTES = 64 << 10
#: How much is kept of QEMU's notes of CPU resets: the last ones.
RESET_BYTES = 64 << 10
#: How much input of the console may wait for a guest that does not read it.
SEND_BYTES = 64 << 10
_F_SETPIPE_SZ = 1031
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
#: What goes wrong with QMP becomes an error of ours; its own notes are not for the terminal.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


class Sink(Protocol):
    """Takes what a guest says, as it comes. Called from the event loop; must not block."""

    def console(self, host_ns: int, data: bytes, /) -> None:
        """Bytes of the serial console."""

    def stream(self, host_ns: int, data: bytes, /) -> None:
        """Bytes of the watcher's records; may end within a record."""

    def machine_event(self, host_ns: int, name: str, data: dict[str, Any], /) -> None:
        """A QMP event: ``SHUTDOWN``, ``RESET``, ``STOP``, ``GUEST_PANICKED``, ..."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """The TCG plugin that goes with a guest: its file, and its arguments but for descriptors.

    ``stops``: it takes a socket as well, whose other end is `Guest.stops`.
    """

    path: Path
    arguments: tuple[str, ...] = ()
    stops: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a guest came to its end, as the machine saw it.

    ``reason`` is QEMU's own word for a shutdown (``guest-reset``, ``guest-shutdown``,
    ``guest-panic``), or ours: ``stopped`` (we ended it), ``timeout``, ``lost`` (QEMU died).
    """

    reason: str
    host_ns: int
    exit_status: int | None
    stderr: str


class Guest:
    """One running machine. Make it with `Guest.start`; use it as an async context manager."""

    def __init__(self, sink: Sink, command: tuple[str, ...]) -> None:
        self.command = command
        self.started_ns = 0
        self.ready_ns = 0
        self._sink = sink
        self._console: _Channel
        self._resets = bytearray()
        self._qmp = QMPClient("timehands")
        self._listener = EventListener()
        self._shutdown: asyncio.Future[tuple[str, int]] = asyncio.Future()
        self._tasks: list[asyncio.Task[None]] = []
        self._channels: list[_Channel] = []
        self._process: asyncio.subprocess.Process
        self._follower: asyncio.Task[None] | None = None
        self._stderr = bytearray()
        self._ended: Ended | None = None
        self._scratch: int | None = None
        #: Our end of QEMU's stub of the GDB remote protocol (`start` with ``gdb``).
        self.gdb: socket.socket | None = None
        #: The same of the plugin's stops. While a vCPU waits there QEMU does not pause or quit.
        self.stops: socket.socket | None = None

    @classmethod
    async def start(
        cls,
        qemu: str,
        machine: Machine,
        load: Load,
        sink: Sink,
        *,
        watcher: Watcher | None = None,
        talks: bool = True,
        sandbox: bool = True,
        gdb: bool = False,
    ) -> Self:
        """Start QEMU with the machine stopped before its first instruction.

        ``talks`` False is for a guest that need not be talked to (`send`): its console then is a
        pipe. A socket holds some 250 writes of one byte; then the guest's UART waits for us, and
        the guest's time depends on how soon we read. ``sandbox`` False is for a QEMU that does not
        start with ``-sandbox`` on this host. ``gdb`` gives `gdb`, for `timehands.watch.gdb`: then
        let the guest run by that client alone; STOP and RESUME events do not come (`quiet`).

        Raises `QemuFailed` with QEMU's own words when it refuses, `MachineError` when the load does
        not fit. `resume` lets the guest run.
        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            qmp, qmp_theirs = socket.socketpair()
            ours.callback(qmp.close)
            theirs.callback(qmp_theirs.close)
            console, console_theirs = _ends(ours, theirs, _pair() if talks else _pipe())
            resets, resets_theirs = _ends(ours, theirs, os.pipe())
            passed = [qmp_theirs.fileno(), console_theirs, resets_theirs]
            stream, plugin, stops = None, None, None
            if watcher:
                stream, stream_theirs = _ends(ours, theirs, _pipe())
                passed.append(stream_theirs)
                plugin = _plugin_argument(watcher, stream_theirs)
                if watcher.stops:
                    stops, stops_theirs = _ends(ours, theirs, _pair())
                    passed.append(stops_theirs)
                    plugin += f",stops={stops_theirs}"
            stub, stub_fd = None, None
            if gdb:
                stub, stub_fd = _ends(ours, theirs, _pair())
                passed.append(stub_fd)
            wiring = Wiring(
                qmp_theirs.fileno(), console_theirs, talks, resets_theirs, plugin, sandbox, stub_fd
            )
            guest = cls(sink, command_line(qemu, machine, load, wiring))
            await guest._spawn(tuple(passed))
            ours.pop_all()  # from here on the guest closes them
            guest.gdb, guest.stops = _socket(stub), _socket(stops)
        qmp = quiet(qmp) if gdb else qmp
        guest._console = guest._listen(console, sink.console)
        guest._listen(resets, guest._note_reset)
        if stream is not None:
            guest._listen(stream, sink.stream)
        await guest._handshake(qmp)
        return guest

    async def _spawn(self, theirs: tuple[int, ...]) -> None:
        owner = os.getpid()
        self.started_ns = time.monotonic_ns()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=theirs,
                start_new_session=True,
                preexec_fn=lambda: die_with(owner),
            )
        except OSError as error:
            raise QemuFailed(
                f"{self.command[0]}: {error.strerror}", command=self.command
            ) from error
        self._tasks.append(asyncio.create_task(self._collect_stderr()))

    async def _handshake(self, qmp: socket.socket) -> None:
        self._qmp.register_listener(self._listener)
        exited = asyncio.create_task(self._process.wait())
        connected = asyncio.create_task(self._qmp.connect(qmp))
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.wait({exited, connected}, return_when=asyncio.FIRST_COMPLETED)
                if not connected.done():
                    raise QMPError("QEMU ended")
                await connected
        except (QMPError, TimeoutError, OSError, EOFError) as error:
            await self.kill()
            message = f"QEMU did not start this machine (exit status {self._process.returncode})"
            raise QemuFailed(message, command=self.command, stderr=self._stderr_text()) from error
        except BaseException:
            await self.kill()
            raise
        finally:
            exited.cancel()
            connected.cancel()
            connected.add_done_callback(_taken)
        self.ready_ns = time.monotonic_ns()
        self._tasks.append(asyncio.create_task(self._notice_death()))
        self._follower = asyncio.create_task(self._follow_events())

    async def resume(self) -> None:
        """Let the guest run (on). Raises `QemuFailed` when QEMU is gone."""
        await self.qmp("cont")

    async def pause(self) -> None:
        """Stop the vCPUs; `resume` lets them go on. Raises `QemuFailed` when QEMU is gone."""
        await self.qmp("stop")

    def send(self, data: bytes) -> None:
        """Give bytes to the guest's serial console, in order.

        What does not fit now is given when there is room, up to 64 KiB; beyond that, and when the
        guest is gone or was started without ``talks``, it is lost, as on a line without flow
        control.
        """
        self._console.send(data)

    def cpu_ns(self) -> int | None:
        """The CPU time that QEMU has used up to now; None when it is gone.

        From /proc/PID/stat (proc_pid_stat(5), utime and stime), in steps of a clock tick (10 ms).
        """
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 10**9 // os.sysconf("SC_CLK_TCK")

    async def qmp(self, command: str, **arguments: Any) -> Any:
        """Execute a QMP command and return its answer. Raises `QemuFailed` when it cannot."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._qmp.execute(command, arguments or None)
        except ExecuteError as error:
            raise QemuRefused(f"QEMU refused {command}: {error}", command=self.command) from error
        except (QMPError, TimeoutError, OSError) as error:
            raise QemuFailed(
                f"QEMU did not answer {command}: {error}",
                command=self.command,
                stderr=self._stderr_text(),
            ) from error

    async def memory(self, address: int, length: int) -> bytes | None:
        """Guest memory by virtual address, as vCPU 0 sees it; None when it cannot be read.

        Stop the guest first (`pause`) where several values must fit together. Raises `QemuFailed`
        when QEMU is gone.
        """
        if self._scratch is None:
            self._scratch = os.memfd_create("guest memory", os.MFD_CLOEXEC)
        name = f"/proc/{os.getpid()}/fd/{self._scratch}"
        os.truncate(self._scratch, 0)
        try:
            await self.qmp("memsave", val=address, size=length, filename=name)
        except QemuRefused:
            return None
        data = os.pread(self._scratch, length, 0)
        return data if len(data) == length else None

    async def registers(self) -> str:
        """The registers of all vCPUs as QEMU's monitor prints them (``info registers -a``)."""
        answer = await self.qmp("human-monitor-command", **{"command-line": "info registers -a"})
        return str(answer)

    async def wait(self, timeout_s: float | None = None) -> str | None:
        """Wait until the guest shuts down or QEMU dies; None when the time is over before."""
        done, _ = await asyncio.wait({self._shutdown}, timeout=timeout_s)
        return self._shutdown.result()[0] if done else None

    async def end(self, reason: str = "stopped") -> Ended:
        """End the guest and collect everything that it still has to say.

        ``reason`` is what to call this end when the guest had not ended by itself.
        """
        if self._ended is None:
            if self._shutdown.done():
                reason, when = self._shutdown.result()
            else:
                when = time.monotonic_ns()
            await self._quit()
            self._ended = Ended(reason, when, self._process.returncode, self._stderr_text())
        return self._ended

    async def kill(self) -> None:
        """Kill QEMU at once."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._settle()

    @property
    def process_id(self) -> int:
        """The process id of QEMU."""
        return self._process.pid

    @property
    def resets(self) -> str:
        """QEMU's notes of CPU resets (the registers at a triple fault): the last 64 KiB."""
        return self._resets.decode(errors="replace")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.kill()

    async def _quit(self) -> None:
        with contextlib.suppress(QMPError, QemuFailed, OSError, asyncio.TimeoutError):
            async with asyncio.timeout(QUIT_SECONDS):
                if self._process.returncode is None:
                    await self._qmp.execute("quit")
                await self._process.wait()
        await self.kill()

    async def _settle(self) -> None:
        """Everything that follows the death of QEMU: its last words, the tasks, the client."""
        await self._process.wait()
        if self._scratch is not None:
            os.close(self._scratch)
            self._scratch = None
        for end in filter(None, (self.gdb, self.stops)):
            end.close()
        ends = [channel.ended for channel in self._channels]
        if ends:
            await asyncio.wait(ends, timeout=QUIT_SECONDS)
        for channel in self._channels:
            channel.close()
        with contextlib.suppress(Exception):
            await self._qmp.disconnect()
        if self._follower:
            self._follower.cancel()
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=QUIT_SECONDS)
            for task in pending:
                task.cancel()

    async def _follow_events(self) -> None:
        """Hand QMP's events on; a SHUTDOWN is the guest's own end."""
        async for event in self._listener:
            now = time.monotonic_ns()
            payload = event.get("data")
            data = dict(payload) if isinstance(payload, Mapping) else {}
            self._sink.machine_event(now, str(event["event"]), data)
            if event["event"] == "SHUTDOWN" and not self._shutdown.done():
                self._shutdown.set_result((str(data.get("reason", "unknown")), now))

    async def _notice_death(self) -> None:
        """QEMU does not exit at a shutdown (it pauses): when it does, the machine is lost."""
        await self._process.wait()
        if not self._shutdown.done():
            self._shutdown.set_result(("lost", time.monotonic_ns()))

    async def _collect_stderr(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(READ_BYTES):
            self._stderr += data[: max(0, STDERR_BYTES - len(self._stderr))]

    def _stderr_text(self) -> str:
        return self._stderr.decode(errors="replace")

    def _note_reset(self, _host_ns: int, data: bytes) -> None:
        self._resets += data
        del self._resets[: max(0, len(self._resets) - RESET_BYTES)]

    def _listen(self, descriptor: int, consumer: Consumer) -> _Channel:
        channel = _Channel(descriptor, consumer)
        self._channels.append(channel)
        return channel


class _Channel:
    """Our end of a pipe or socket: read from the event loop until the other end closes."""

    def __init__(self, descriptor: int, consumer: Consumer) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._descriptor = descriptor
        self._consumer = consumer
        self._waiting = bytearray()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._consumer(time.monotonic_ns(), data)
        else:
            self.close()

    def send(self, data: bytes) -> None:
        """Write now what fits, and the rest when there is room, up to a bound."""
        if self.ended.done():
            return
        idle = not self._waiting
        self._waiting += data[: max(0, SEND_BYTES - len(self._waiting))]
        if idle:
            self._writable()

    def _writable(self) -> None:
        try:
            del self._waiting[: os.write(self._descriptor, self._waiting)]
        except BlockingIOError:
            pass
        except OSError:  # the other end is gone; reading will notice
            self._waiting.clear()
        if self._waiting:
            self._loop.add_writer(self._descriptor, self._writable)
        else:
            self._loop.remove_writer(self._descriptor)

    def close(self) -> None:
        """Close our end, once."""
        if self.ended.done():
            return
        self.ended.set_result(None)
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        os.close(self._descriptor)


def _plugin_argument(watcher: Watcher, stream: int) -> str:
    """What ``-plugin`` takes: a comma in a path is doubled (QEMU's option syntax)."""
    path = str(watcher.path).replace(",", ",,")
    return ",".join((path, f"fd={stream}", *watcher.arguments))


def _ends(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack, ends: tuple[int, int]
) -> tuple[int, int]:
    """Both ends, each to be closed with its stack."""
    ours.callback(os.close, ends[0])
    theirs.callback(os.close, ends[1])
    return ends


def _pair() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def _socket(end: int | None) -> socket.socket | None:
    return None if end is None else socket.socket(fileno=end)


def _pipe() -> tuple[int, int]:
    ours, theirs = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(ours, _F_SETPIPE_SZ, PIPE_BYTES)
    return ours, theirs


def die_with(owner: int) -> None:
    """In the child, before exec: die when the owner does, even if it died a moment ago."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != owner:
        os._exit(1)


def _taken(task: asyncio.Task[None]) -> None:
    """Take what a task that nobody waits for any more ended with: asyncio would complain of it."""
    if not task.cancelled():
        task.exception()
