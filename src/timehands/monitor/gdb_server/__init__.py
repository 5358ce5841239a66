"""A server of the GDB remote protocol for a guest of the monitor.

::

    with Microvm(settings, load) as guest, serve(guest, folder / "gdb") as server:
        guest.wait()            # a client attaches, and its first `continue` starts the guest

    (gdb) target remote /path/of/folder/gdb
"""

from timehands.monitor.gdb_server.registers import Architecture
from timehands.monitor.gdb_server.server import GdbServer, serve

__all__ = ["Architecture", "GdbServer", "serve"]
