"""The plugin's side of a stop, compiled with a vCPU of ours, against owners that a test plays."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from timehands.machines.build import PAYLOADS, compiler
from timehands.watch.stops.inside import ASKED, GO_ON, LENGTH, MAX_ANSWER, REGISTERS, TOLD

#: Comes by its two places in turn, three times each. Memory is readable up to 0x3000: each byte
#: its address's lowest eight bits.
VCPU = r"""
#include <stdio.h>
#include <stdlib.h>
#include "watch.h"

struct qemu_plugin_insn { exec_cb cb; void *udata; } there[2];

uint64_t reg(int name) { return name == RSP ? 0x2e18 : (uint64_t)name; }
uint64_t now_ns(void) { return 99; }

size_t guest_read(uint64_t address, void *out, size_t length)
{
    size_t done = 0;
    for (; done < length && address + done < 0x3000; done++)
        ((uint8_t *)out)[done] = (uint8_t)(address + done);
    return done;
}

void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, int flags,
                                            void *udata)
{
    *insn = (struct qemu_plugin_insn){flags == CB_R_REGS ? cb : NULL, udata};
}

int main(int argc, char **argv)
{
    (void)argc;
    if (!stops_add(0x2000) || !stops_add(0x1000) || !stops_open(atoi(argv[1])))
        return 1;
    struct qemu_plugin_insn none = {0};
    stops_watch(&none, 0x1fff);
    stops_watch(&there[0], 0x1000);
    stops_watch(&there[1], 0x2000);
    if (none.cb)
        return 2;
    for (int i = 0; i < 6; i++)
        there[i % 2].cb(5, there[i % 2].udata);
    puts("the end");
    return 0;
}
"""


@pytest.fixture(scope="module")
def vcpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vcpu")
    (folder / "vcpu.c").write_text(VCPU)
    sources = [folder / "vcpu.c", PAYLOADS / "watch_stops.c"]
    flags = ["-Wall", "-Werror", "-fsanitize=undefined,address", "-I", PAYLOADS, "-pthread"]
    command = [compiler(), *flags, "-o", folder / "vcpu", *sources]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "vcpu"


@contextmanager
def owner(vcpu: Path) -> Iterator[socket.socket]:
    """Our end; when it is left that is closed, and the vCPU has to come to its end."""
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    with (
        theirs,
        ours,
        subprocess.Popen(
            [vcpu, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        theirs.close()
        yield ours
        ours.close()
        said, errors = process.communicate(timeout=60)
        assert (process.returncode, said, errors) == (0, "the end\n", "")


def take(plugin: socket.socket, size: int) -> bytes:
    data = plugin.recv(size, socket.MSG_WAITALL)
    assert len(data) == size
    return data


def test_each_stop_is_told_until_the_last(vcpu: Path) -> None:
    with owner(vcpu) as plugin:
        for turn in range(6):
            number, where, host_ns, pc, stack_at, length, *rest = TOLD.unpack(
                take(plugin, TOLD.size)
            )
            # numbers are those of the plan, in whose order 0x2000 came first
            assert (number, pc) == ((1, 0x1000), (0, 0x2000))[turn % 2]
            assert (where, host_ns, stack_at, length) == (5, 99, 0x2E00, 0x200)
            *registers, stack = rest
            assert registers == [0x2E18 if name == "rsp" else n for n, name in enumerate(REGISTERS)]
            assert stack == bytes(range(256)) * 2
            plugin.sendall(GO_ON)
        assert plugin.recv(1) == b""


def test_memory_is_told_as_far_as_it_can_be_read(vcpu: Path) -> None:
    with owner(vcpu) as plugin:
        take(plugin, TOLD.size)
        spans = [(0x10, 4), (0x2FFE, 4), (0x5000, 4), (0, 0), (0, MAX_ANSWER)]
        plugin.sendall(b"".join(ASKED.pack(1, 0, *span) for span in spans))
        for start, length in spans:
            readable = max(0, min(length, 0x3000 - start))
            assert LENGTH.unpack(take(plugin, LENGTH.size)) == (readable,)
            assert take(plugin, readable) == bytes(n & 255 for n in range(start, start + readable))


def test_a_place_that_is_switched_off_is_told_no_more(vcpu: Path) -> None:
    with owner(vcpu) as plugin:
        places = [TOLD.unpack(take(plugin, TOLD.size))[3]]
        plugin.sendall(ASKED.pack(2, 0, 1, 0) + GO_ON)
        places.append(TOLD.unpack(take(plugin, TOLD.size))[3])
        plugin.sendall(GO_ON)
        places.append(TOLD.unpack(take(plugin, TOLD.size))[3])
        plugin.sendall(ASKED.pack(2, 1, 1, 0) + GO_ON)
        places.append(TOLD.unpack(take(plugin, TOLD.size))[3])
        assert places == [0x1000, 0x2000, 0x2000, 0x1000]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0",
        GO_ON + GO_ON[:-1],
        ASKED.pack(3, 0, 0, 0) + GO_ON * 9,
        ASKED.pack(1 << 31, 0, 0, 0) + GO_ON * 9,
        ASKED.pack(1, 0, 0, MAX_ANSWER + 1) + GO_ON * 9,
        ASKED.pack(1, 0, 0, (1 << 64) - 1) + GO_ON * 9,
        ASKED.pack(2, 0, 2, 0) + GO_ON * 9,
        ASKED.pack(2, 0, (1 << 64) - 1, 0) + GO_ON * 9,
        struct.pack("=24s", b"\xff" * 24) * 10,
    ],
)
def test_an_owner_that_goes_or_makes_no_sense_is_left(vcpu: Path, said: bytes) -> None:
    with owner(vcpu) as plugin:
        take(plugin, TOLD.size)
        plugin.sendall(said)


def test_an_owner_that_never_listens_does_not_hold_the_guest_for_ever(vcpu: Path) -> None:
    with owner(vcpu):
        pass
