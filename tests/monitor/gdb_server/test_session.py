"""What a client asks of a real guest on the real KVM, packet by packet."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from monitor.raw_client import RawClient
from monitor.served import asked, need
from monitor.ticking import symbols
from timehands.monitor.breakpoints import Kind
from timehands.monitor.gdb_server.registers import Architecture, numbered

WORDS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags")
PC = numbered(Architecture.I386)["eip"]

#: In so many stops both vCPUs have been the one that stopped.
MANY = 5000


def word(client: RawClient, address: int) -> int:
    """Four bytes of its memory."""
    return int.from_bytes(bytes.fromhex(client.ask(b"m%x,4" % address).decode()), "little")


def pc(client: RawClient) -> int:
    """Where the selected thread is."""
    return int.from_bytes(bytes.fromhex(client.ask(b"p%x" % PC).decode()), "little")


def test_registers_are_had_and_set(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path) as (guest, client):
        held = bytes.fromhex(client.ask(b"g").decode())
        values = dict(zip(WORDS, struct.unpack_from("<10I", held), strict=True))
        regs = guest.vcpus[0].regs()
        assert (values["eip"], values["ebx"]) == (regs.rip, regs.rbx)
        assert client.ask(b"P1=78563412") == b"OK"
        assert guest.vcpus[0].regs().rcx == 0x12345678
        changed = bytearray(held)
        struct.pack_into("<II", changed, 0, 1, 2)
        assert client.ask(b"G" + changed.hex().encode()) == b"OK"
        assert (guest.vcpus[0].regs().rax, guest.vcpus[0].regs().rcx) == (1, 2)
        assert client.ask(b"g") == changed.hex().encode()


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "st3": "11" * 10,
        "xmm5": "22" * 16,
        "ftag": "ffff0000",
        "fioff": "44332211",
        "fiseg": "66550000",
        "fop": "07010000",
        "mxcsr": "801f0000",
        "cr2": "78563412",
    }.items(),
)
def test_each_kind_of_register_keeps_what_is_set(
    kvm: None, tmp_path: Path, name: str, value: str
) -> None:
    with asked(tmp_path) as (_, client):
        number = numbered(Architecture.I386)[name]
        assert client.ask(b"P%x=%b" % (number, value.encode())) == b"OK"
        assert client.ask(b"p%x" % number) == value.encode()


def test_a_selector_is_not_set_without_its_segment(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path) as (_, client):
        number = numbered(Architecture.I386)["cs"]
        assert client.ask(b"P%x=08000000" % number) == b"OK"  # what it is
        assert b"base and limits" in client.ask(b"P%x=10000000" % number)


def test_memory_is_read_and_written_in_every_way(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path) as (guest, client):
        assert client.ask(b"M200000,4:01020304") == b"OK"
        assert client.ask(b"X200004,4:}\x03}\x04}]\x0a") == b"OK"
        assert client.ask(b"m200000,8") == b"0102030423247d0a"
        assert client.ask(b"X200000,0:") == b"OK"
        top = guest.settings.memory_bytes
        assert client.ask(b"m%x,8" % top) == b"E14"
        assert client.ask(b"m%x,8" % (top - 4)) == b"00000000"  # as far as there is any
        assert client.ask(b"M%x,8:%b" % (top - 4, b"00" * 8)) == b"E14"
        assert client.ask(b"Qqemu.PhyMemMode:1") == b"OK"
        assert client.ask(b"qqemu.PhyMemMode") == b"1"
        assert client.ask(b"m200000,4") == b"01020304"


@pytest.mark.parametrize("what", ["n", "o", "i"])
@pytest.mark.parametrize("digit", [b"0", b"1"])
def test_each_call_is_one_stop(kvm: None, tmp_path: Path, digit: bytes, what: str) -> None:
    at = symbols()
    point = digit + b",%x,1" % at["tick"]
    with asked(tmp_path, f"1{what}") as (guest, client):
        need(guest, Kind.SOFTWARE if digit == b"0" else Kind.EXECUTE)
        code = client.ask(b"m%x,4" % at["tick"])
        assert client.ask(b"Z" + point) == b"OK"
        assert client.ask(b"Z" + point) == b"OK"  # the same one
        for calls in range(5):
            assert client.ask(b"c").startswith(b"T05")
            assert (pc(client), word(client, at["ticks"])) == (at["tick"], calls)
            assert client.ask(b"m%x,4" % at["tick"]) == code
        assert client.ask(b"vCont;s").startswith(b"T05")
        assert pc(client) != at["tick"]
        assert client.ask(b"z" + point) == b"OK"
        client.send(b"c")
        assert client.stop().startswith(b"T02")


@pytest.mark.parametrize("what", ["o", "i"])
def test_a_step_over_an_access_is_one_step(kvm: None, tmp_path: Path, what: str) -> None:
    """Until it comes back to where it began, each step is another instruction."""
    at = symbols()
    with asked(tmp_path, f"1{what}") as (guest, client):
        need(guest, Kind.EXECUTE)
        assert client.ask(b"Z1,%x,1" % at["tick"]) == b"OK"
        assert client.ask(b"c").startswith(b"T05")
        trace = []
        for _ in range(60):
            assert client.ask(b"s").startswith(b"T05")
            trace.append(pc(client))
            if trace[-1] == at["tick"]:
                break
        assert trace[-1] == at["tick"]
        code = bytes.fromhex(client.ask(b"m%x,60" % at["tick"]).decode())
        access = at["tick"] + code.index(b"\xe6\x80" if what == "o" else b"\xe4\x84")
        assert access in trace
        assert trace[trace.index(access) + 1] == access + 2


def test_a_range_is_stepped_through(kvm: None, tmp_path: Path) -> None:
    at = symbols()
    tick = at["tick"]
    with asked(tmp_path) as (guest, client):
        need(guest, Kind.EXECUTE)
        assert client.ask(b"Z1,%x,1" % tick) == b"OK"
        assert client.ask(b"c").startswith(b"T05")
        before = word(client, at["ticks"])
        assert client.ask(b"vCont;r%x,%x:1" % (tick, tick + 0x60)).startswith(b"T05")
        assert not tick <= pc(client) < tick + 0x60
        assert word(client, at["ticks"]) == before + 1


def test_one_vcpu_runs_while_the_other_stands_still(kvm: None, tmp_path: Path) -> None:
    at = symbols()
    with asked(tmp_path, "2n") as (guest, client):
        need(guest, Kind.EXECUTE)
        assert client.ask(b"qfThreadInfo") == b"m1,2"
        assert client.ask(b"Z1,%x,1" % at["tick"]) == b"OK"
        assert any(b"thread:2;" in client.ask(b"c") for _ in range(MANY))
        assert client.ask(b"Hg1") == b"OK"
        first = client.ask(b"g")
        for _ in range(5):
            assert b"thread:2;" in client.ask(b"vCont;c:2")
        assert client.ask(b"Hg1") == b"OK"
        assert client.ask(b"g") == first


@pytest.mark.parametrize("digit", [b"0", b"1"])
def test_no_vcpu_passes_a_breakpoint_unseen(kvm: None, tmp_path: Path, digit: bytes) -> None:
    """What one has come to while the other was told of is told next."""
    at = symbols()
    with asked(tmp_path, "2n") as (guest, client):
        need(guest, Kind.SOFTWARE if digit == b"0" else Kind.EXECUTE)
        assert client.ask(b"Z%b,%x,1" % (digit, at["tick"])) == b"OK"
        threads = set()
        for _ in range(MANY):
            stop = client.ask(b"c")
            threads.add(stop.partition(b"thread:")[2].rstrip(b";"))
            assert pc(client) == at["tick"]
            if threads == {b"1", b"2"}:
                break
        assert threads == {b"1", b"2"}


def test_watchpoints_work_or_are_refused_in_words(kvm: None, tmp_path: Path) -> None:
    at = symbols()
    with asked(tmp_path) as (_, client):
        answer = client.ask(b"Z2,%x,4" % at["ticks"])
        if answer == b"OK":
            assert b"watch:%x;" % at["ticks"] in client.ask(b"c")
        else:
            assert answer == b"E.this host's KVM tells of no watchpoint for writes"
        assert b"awatch" in client.ask(b"Z3,%x,4" % at["ticks"])


def test_a_fifth_hardware_breakpoint_is_refused(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path) as (guest, client):
        need(guest, Kind.EXECUTE)
        for number in range(4):
            assert client.ask(b"Z1,%x,1" % (0x1000 + number)) == b"OK"
        assert b"all of them are taken" in client.ask(b"Z1,2000,1")
        assert client.ask(b"z1,1000,1") == b"OK"
        assert client.ask(b"Z1,2000,1") == b"OK"


@pytest.mark.parametrize(
    "request_",
    [
        "vMustReplyEmpty",
        "R",
        "!",
        "vFile:open:",
        "qTStatus",
        "QPassSignals:",
        "qSymbol::",
        "Zx",
        "",
        "\xff",
        "vContx",
        "qXfer:memory-map:read::0,100",
        "b",
    ],
)
def test_what_is_not_offered_is_answered_as_the_protocol_wants(
    kvm: None, tmp_path: Path, request_: str
) -> None:
    with asked(tmp_path) as (_, client):
        answer = client.ask(request_.encode("latin-1"))
        assert answer == b"" or answer.startswith(b"E.")
        assert client.ask(b"?").startswith(b"T02")


def test_it_speaks_of_itself(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path, "2n") as (guest, client):
        said = client.ask(b"qSupported:multiprocess+;swbreak+").split(b";")
        assert {b"PacketSize=4000", b"QStartNoAckMode+", b"multiprocess+"} <= {*said}
        assert client.ask(b"qfThreadInfo") == b"mp1.1,p1.2"
        assert client.ask(b"qC") == b"QCp1.1"
        assert client.ask(b"Tp1.2") == b"OK"
        assert b"no thread 3" in client.ask(b"Tp1.3")
        assert b"not started" in bytes.fromhex(client.ask(b"qThreadExtraInfo,p1.2").decode())
        where = bytes.fromhex(client.ask(b"qRcmd," + b"where".hex().encode()).decode())
        assert where.decode().splitlines() == [str(each) for each in guest.whereabouts()]
        help_ = bytes.fromhex(client.ask(b"qRcmd," + b"dance".hex().encode()).decode())
        assert b"no command 'dance'" in help_
