"""Guest physical memory of a running QEMU, by the QMP socket that it was started with.

The monitor's command ``xp`` prints it: QEMU writes no file, and the guest is not stopped. A page
may be written meanwhile; so it is read again until its version was the same twice and even.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from timehands.clocks.pvclock.numbers import MASK_64
from timehands.errors import MachineError

ANSWER_SECONDS = 10
TRIES = 16


def read_page(path: str, address: int, length: int) -> bytes:
    """``length`` bytes at a guest physical address, whole by pvclock's rule if that can be had.

    ``address`` may be the value of the MSR: bit 0 is left out. Raises `MachineError`.
    """
    return asyncio.run(_read_page(path, address & ~1 & MASK_64, length))


async def _read_page(path: str, address: int, length: int) -> bytes:
    from qemu.qmp import QMPClient
    from qemu.qmp.error import QMPError

    logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())
    client = QMPClient("timehands")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await client.connect(path)
            return await _settled(client, address, length)
    except (QMPError, OSError, EOFError, TimeoutError) as error:
        reason = "it did not answer in time" if isinstance(error, TimeoutError) else error
        raise MachineError(
            f"{path}: no memory by QMP: {reason}",
            advice="Start QEMU with -qmp unix:PATH,server=on,wait=off; one client at a time.",
        ) from error
    finally:
        with contextlib.suppress(Exception):
            await client.disconnect()


async def _settled(client: object, address: int, length: int) -> bytes:
    """The page once its version is even and the same before and after; the last one otherwise."""
    page = await _xp(client, address, length)
    for _ in range(TRIES):
        again = await _xp(client, address, length)
        if page[:4] == again[:4] and not page[0] & 1:
            return page
        page = again
    return page


async def _xp(client: object, address: int, length: int) -> bytes:
    from qemu.qmp import QMPClient

    from timehands.cli.pvclock_input import parse_hex
    from timehands.errors import UsageError

    assert isinstance(client, QMPClient)
    command = f"xp /{length}bx {address:#x}"
    answer = await client.execute("human-monitor-command", {"command-line": command})
    try:
        data = parse_hex(str(answer))
    except UsageError:
        data = b""
    if len(data) != length:
        raise MachineError(
            f"QEMU shows no {length} bytes at guest physical {address:#x}: {str(answer)[:200]!r}",
            advice="The address is what the guest wrote to MSR 0x4b564d01, without bit 0.",
        )
    return data
