"""A client of the GDB remote protocol: stop a guest anywhere, look at it, change it, let it go on.

::

    async with await GdbClient.connect(guest.gdb) as gdb:       # or "localhost:1234", or a path
        here = Breakpoint(BreakKind.SOFTWARE, address)
        await gdb.insert(here)
        await gdb.resume()                                      # passes the breakpoint it stands on
        stop = await gdb.wait_stop(timeout_s=10)                # None: it did not stop, it runs on
        registers = await gdb.registers()                       # of the vCPU that stopped
        print(hex(registers.pc), registers["rdi"], await gdb.read(registers["rsp"], 8))
        await gdb.set_register("rax", 1)
        await gdb.remove(here)

What may be asked depends on `GdbClient.state`: almost everything needs a guest that is STOPPED;
`wait_stop` and `interrupt` one that is RUNNING; else `WrongState` says what to call first. One task
at a time; only `interrupt` may come from another while one waits for a stop.

While a client is connected, let the guest run by the client only. QEMU tells its stub's client of a
stop only when the client let the guest run: after QMP's ``cont`` a breakpoint stops the guest, and
QMP's STOP event is all that tells.

Works with QEMU (TCG and KVM) and any stub that follows the protocol. The protocol: GDB manual,
appendix "GDB Remote Serial Protocol". What is peculiar to QEMU: its gdbstub/.
"""

from __future__ import annotations

from timehands.watch.gdb.breakpoints import BreakKind, Breakpoint, BreakpointKinds
from timehands.watch.gdb.client import GdbClient
from timehands.watch.gdb.features import Features
from timehands.watch.gdb.registers import Registers
from timehands.watch.gdb.replies import Cause, StopReply, ThreadId
from timehands.watch.gdb.running import Passing
from timehands.watch.gdb.session import State

__all__ = [
    "BreakKind",
    "Breakpoint",
    "BreakpointKinds",
    "Cause",
    "Features",
    "GdbClient",
    "Passing",
    "Registers",
    "State",
    "StopReply",
    "ThreadId",
]
