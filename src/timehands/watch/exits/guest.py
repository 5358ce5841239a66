"""A guest of the monitor, as those who watch and tell know guests (`timehands.machines.vmm`)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from timehands.errors import KvmRefused, MachineError
from timehands.kernels.memory import PAGE
from timehands.machines.guest import Ended, Sink
from timehands.machines.machine import Load, Machine
from timehands.monitor.devices.signals import Ending
from timehands.monitor.microvm import Microvm
from timehands.monitor.whereabouts import Whereabouts
from timehands.watch.exits import records
from timehands.watch.exits.entries import Entries
from timehands.watch.exits.letters import Letters
from timehands.watch.exits.made import command_for, loaded, settings_for
from timehands.watch.exits.registers import registers_text
from timehands.watch.plan import Function
from timehands.watch.stuck import CANNOT_GO_ON, NOT_KEPT

if TYPE_CHECKING:
    from timehands.monitor.gdb_server import GdbServer

T = TypeVar("T")
_TRIPLE_FAULT = "triple fault"


class MonitorGuest:
    """One guest; see `timehands.machines.vmm.Running`. Made by `start`."""

    stops: socket.socket | None = None
    #: It runs in this process.
    process_id: int | None = None

    def __init__(
        self, sink: Sink, command: tuple[str, ...], functions: tuple[Function, ...] = ()
    ) -> None:
        self.command = command
        #: Our end of its stub of the GDB remote protocol (`start` with ``gdb``).
        self.gdb: socket.socket | None = None
        self._server: GdbServer | None = None
        self.started_ns = time.monotonic_ns()
        self.ready_ns = 0
        self._sink = sink
        self._letters = Letters(sink)
        self._accesses = records.Accesses(self._letters.record)
        self._entries = Entries(functions, self._letters.record)
        self._ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ended: Ended | None = None
        self._made: Microvm | None = None
        self._cpu_ns: dict[int, int] = {}
        self._let_go = self._told_let_be = False

    @classmethod
    async def start(
        cls,
        machine: Machine,
        load: Load,
        sink: Sink,
        *,
        gdb: bool = False,
        functions: tuple[Function, ...] = (),
    ) -> Self:
        """A guest before its first instruction; with ``gdb``, for a client of that protocol.

        Each entry of ``functions``, four at most, is an event (`Entries`).

        Raises `MachineError`, `HostError`, `KernelError`.
        (`KvmUnavailable`, `KvmLacks`, when this host's KVM cannot do it.)
        """
        guest = cls(sink, command_for(machine, load), functions)
        try:
            await _whole(asyncio.to_thread(guest._make, machine, load))
        except BaseException:
            await guest.kill()
            raise
        guest._letters.record(records.hello(machine.vcpus))
        if gdb:
            guest._serve()
        guest.ready_ns = time.monotonic_ns()
        threading.Thread(
            target=guest._wait_for_end,
            args=(asyncio.get_running_loop(),),
            name="ending",
            daemon=True,
        ).start()
        return guest

    def _serve(self) -> None:
        from timehands.monitor.gdb_server import serve  # few guests have one

        self.gdb, theirs = socket.socketpair()
        self._server = serve(self._machine, theirs)

    def _make(self, machine: Machine, load: Load) -> None:
        self._made = Microvm(
            settings_for(machine, load),
            loaded(machine, load),
            console=self._letters.console,
            observer=self._accesses,
        )
        self._entries.watch(self._made)

    @property
    def _machine(self) -> Microvm:
        if self._made is None:
            raise MachineError("the guest was not made")
        return self._made

    def _wait_for_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: it is over when the guest is, and that is when we close it."""
        self._machine.wait()
        when_ns = time.monotonic_ns()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._note_end, when_ns)

    def _note_end(self, when_ns: int) -> None:
        self._letters.hand_over()
        if not self._ending.done():
            self._ending.set_result(when_ns)

    async def resume(self) -> None:
        """Let it run (on)."""
        if not self._let_go:
            self._let_go = True
            placed = self._machine.placed
            if placed is not None:
                self._letters.record(records.first(placed.entry.rip))
        await asyncio.to_thread(self._machine.resume)

    async def pause(self) -> None:
        """Stop the vCPUs, and its time. Raises `MachineError` when one does not come out."""
        await asyncio.to_thread(self._machine.pause)

    def send(self, data: bytes) -> None:
        """Type on its serial console; what does not fit into its UART is lost, as on a line."""
        self._machine.send(data)

    def cpu_ns(self) -> int | None:
        """The CPU time that its vCPUs' threads have used up to now."""
        for thread in self._machine.threads:
            if thread.cpu_ns is not None:
                self._cpu_ns[thread.vcpu.number] = thread.cpu_ns
                continue
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended
                text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
                self._cpu_ns[thread.vcpu.number] = int(text.split()[0])
        return sum(self._cpu_ns.values())

    async def memory(self, address: int, length: int) -> bytes | None:
        """Its memory by virtual address, as vCPU 0 sees it; None when it cannot be read.

        `pause` it first.
        """
        if self._machine.running:
            raise MachineError("a guest that runs does not let its memory be read: pause it")
        data, end = b"", address + length
        try:
            while (at := address + len(data)) < end:
                physical = self._machine.vcpus[0].translate(at)
                if physical is None:
                    return None
                part = min(end - at, PAGE - at % PAGE)
                data += self._machine.vm.memory.read(physical, part)
        except (KvmRefused, ValueError):
            return None
        return data

    async def registers(self) -> str:
        """The registers of all vCPUs, as QEMU's monitor prints them. `pause` it first."""
        if self._machine.running:
            await self.pause()
        try:
            return "".join(registers_text(vcpu) for vcpu in self._machine.vcpus)
        except ValueError as error:
            raise MachineError("the guest is gone") from error

    async def wait(self, timeout_s: float | None = None) -> str | None:
        """Wait until it ends by itself, and tell why; None when the time is over before."""
        await asyncio.wait({self._ending}, timeout=timeout_s)
        return self._reason() if self._ending.done() else None

    def _reason(self) -> str:
        ending = self._machine.ending
        return ending.reason if ending else "stopped"

    async def end(self, reason: str = "stopped") -> Ended:
        """End it, and collect what it still has to say.

        ``reason`` is what to call this end when it had not ended by itself.
        """
        if self._ended is None:
            by_itself, when_ns, words = self._machine.ending, time.monotonic_ns(), ""
            if by_itself is not None:
                reason, words = by_itself.reason, by_itself.words
                when_ns = self._ending.result() if self._ending.done() else when_ns
                await self._tell_why(by_itself, when_ns)
            await self.kill()
            self._ended = Ended(reason, when_ns, None, words)
        return self._ended

    async def _tell_why(self, ending: Ending, when_ns: int) -> None:
        """Of a guest that KVM could not run on: what it said, and where that was."""
        if ending.reason != "lost":
            return
        try:
            places = await asyncio.to_thread(self._machine.whereabouts)
        except MachineError:
            places = ()
        self._sink.machine_event(when_ns, CANNOT_GO_ON, _why(ending, places))

    async def kill(self) -> None:
        """End it at once."""
        try:
            if self.gdb is not None:
                self.gdb.close()
            if self._server is not None:
                await _whole(asyncio.to_thread(self._server.close))
            await _whole(asyncio.to_thread(self._entries.close))
            if self._made is not None:
                await _whole(asyncio.to_thread(self._made.close))
        finally:
            self._letters.record(self._accesses.counts() + self._entries.counts())
            self._letters.close()
            self._tell_lost()
            self._tell_let_be()

    def _tell_lost(self) -> None:
        letters = self._letters
        if letters.lost_console or letters.lost_records:
            data = {"console_bytes": letters.lost_console, "records": letters.lost_records}
            letters.lost_console = letters.lost_records = 0
            self._sink.machine_event(time.monotonic_ns(), NOT_KEPT, data)

    def _tell_let_be(self) -> None:
        if not self._told_let_be:
            self._told_let_be = True
            for when_ns, name, data in self._entries.let_be():
                self._sink.machine_event(when_ns, name, data)

    @property
    def resets(self) -> str:
        """Whether it was a triple fault that reset it, in QEMU's words."""
        ending = self._machine.ending
        return "Triple fault\n" if ending and ending.words.startswith(_TRIPLE_FAULT) else ""


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """The result of work in a thread; one that is cancelled is waited for, too."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _why(ending: Ending, places: tuple[Whereabouts, ...]) -> dict[str, Any]:
    """What is known, as JSON types: ``words``, and ``vcpu``, ``pc`` and ``code`` of the place."""
    found = next((place for place in places if ending.words.endswith(str(place))), None)
    if found is None:
        return {"words": ending.words}
    words = ending.words.removesuffix(f": {found}")
    return {"words": words, "vcpu": found.vcpu, "pc": found.rip, "code": found.code.hex(" ")}
