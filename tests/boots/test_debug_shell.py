"""The prompt of a debug session on the real QEMU."""

from __future__ import annotations

import asyncio
import io
from functools import cache

import pytest

from boots.bare_guests import plugin_qemu
from boots.test_debug import VERBOSE, healthy, timehands
from guest_kernels.build import guest_kernel
from timehands.boot import prepare, ready_payloads
from timehands.debug import Debugging, debugging
from timehands.debug.shell import Shell

pytestmark = pytest.mark.boot


@cache
def shell_answers() -> str:
    """What the shell says to some commands."""
    prepared = prepare(healthy())
    ready_payloads(prepared)
    out = io.StringIO()

    async def run() -> None:
        async with debugging(prepared, Debugging(prepared.request)) as session:
            shell = Shell(session, out)
            for text in COMMANDS.splitlines():
                print(f"> {text}", file=out)
                await shell.execute(text)

    asyncio.run(run())
    return out.getvalue()


COMMANDS = """\
break tc_init
watch nothing
breakpoints
list
continue
list
x/2i $rip
disassemble tc_init
x/2xg $rsp
info registers rsp
info nonsense
print *tc
print no_such
backtrace 2
up
print $rip
down
registers rip rdi
memory tc, 16
ask cpuid 0
set tsc_freq = 5
print tsc_freq
finish
delete 1
nonsense
c
continue
symbols tc_ini*
"""


@pytest.mark.parametrize(
    "text",
    [
        "1  tc_init: 0xffffffff8",
        "nothing is called nothing",
        "the guest has not run yet",
        "=> 0xffffffff8",
        "<timecounters>",
        "info breakpoints | ",
        "tc_init at kern_tc.c:",
        "tc_get_timecount = ",
        "nothing is called no_such",
        "*#0  tc_init at kern_tc.c",
        '"AuthenticAMD"',
        "we set tsc_freq = 5 (was ",
        "tsc_freq = 5",
        "there is no command 'nonsense'",
        "tc_init has returned  in ",
        "$rax = ",
        "the boot is over: the guest is as far as it was to go",
        " T tc_init",
    ],
)
def test_the_shell_answers(text: str) -> None:
    assert text in shell_answers()


def test_the_shell_takes_commands_from_a_pipe() -> None:
    plugin_qemu()
    done = timehands("debug", "--shell", guest_kernel("freebsd"), "--append", VERBOSE,
                     stdin="break tsc_init\nc\nbt\nquit\n")  # fmt: skip
    assert "timehands> bt" in done.stdout
    assert "#0  tsc_init at tsc.c:" in done.stdout
    assert done.returncode == 0
