"""A server's life: clients that come and go, or mean harm, and a guest that ends."""

from __future__ import annotations

import random
import socket
import stat
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitor.raw_client import RawClient
from monitor.running import PATIENCE_S, Talk
from monitor.served import asked, need, served
from monitor.ticking import symbols, ticking, word
from timehands.errors import MachineError
from timehands.monitor.breakpoints import Breakpoints, Hit, Kind, Point
from timehands.monitor.devices.signals import Ending
from timehands.monitor.gdb_server import Architecture, serve
from timehands.monitor.gdb_server.packets import MAX_PAYLOAD
from timehands.monitor.layout import MIB
from timehands.monitor.microvm import Microvm


def runs(guest: Microvm) -> None:
    """Wait until the guest has ticked once more, and again."""
    at, seen = symbols()["ticks"], set()
    deadline = threading.Event()
    timer = threading.Timer(PATIENCE_S, deadline.set)
    timer.start()
    while len(seen) < 3:
        assert not deadline.is_set()
        seen.add(word(guest.vm.memory, at))
    timer.cancel()


def test_a_guest_is_held_until_it_is_told_to_go_on(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path) as (guest, client):
        assert not guest.running
        assert guest.placed is not None
        assert client.ask(b"p8") == guest.placed.entry.rip.to_bytes(4, "little").hex().encode()
        client.send(b"c")
        runs(guest)
        assert client.stop().startswith(b"T02")
        assert not guest.running


def test_a_guest_that_runs_stops_when_a_client_comes_and_goes_on_when_it_leaves(
    kvm: None, tmp_path: Path
) -> None:
    with served(tmp_path) as (guest, server):
        guest.resume()
        runs(guest)
        for _ in range(2):
            with RawClient(tmp_path / "gdb") as client:
                assert client.ask(b"?").startswith(b"T02")
                assert server.attached.is_set()
                assert not guest.running
                assert client.ask(b"D") == b"OK"
                assert client.gone()
            runs(guest)


def test_nothing_stays_of_a_client_that_is_gone(kvm: None, tmp_path: Path) -> None:
    """Its breakpoints are removed, also while the guest runs."""
    at = symbols()["tick"]
    with served(tmp_path) as (guest, _):
        need(guest, Kind.SOFTWARE)
        code = guest.vm.memory.read(at, 1)
        for running in (False, True):
            with RawClient(tmp_path / "gdb") as client:
                assert client.ask(b"Z0,%x,1" % at) == b"OK"
                assert client.ask(b"Z1,%x,1" % (at + 1)) == b"OK"
                assert guest.vm.memory.read(at, 1) == b"\xcc"
                if running:
                    assert client.ask(b"z0,%x,1" % at) == b"OK"
                    assert client.ask(b"z1,%x,1" % (at + 1)) == b"OK"
                    assert client.ask(b"Z0,200000,1") == b"OK"
                    client.send(b"c")
                    runs(guest)
            with RawClient(tmp_path / "gdb") as client:  # the last one has been dealt with
                assert client.ask(b"?").startswith(b"T02")
                assert guest.vm.memory.read(at, 1) == code
        guest.resume()
        runs(guest)


def test_the_next_client_may_come_as_soon_as_one_has_gone(kvm: None, tmp_path: Path) -> None:
    """It is not taken for a second one, though the server has yet to see that the first is gone."""
    with served(tmp_path):
        for _ in range(20):
            with RawClient(tmp_path / "gdb") as client:
                client.send(b"m0,2000")


def test_a_second_client_is_turned_away(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path) as (_, client):
        with RawClient(tmp_path / "gdb", no_ack=False) as second:
            assert second.gone()
        assert client.ask(b"?").startswith(b"T02")


def test_the_socket_is_its_owners_alone_and_goes_with_the_server(kvm: None, tmp_path: Path) -> None:
    with served(tmp_path) as (_, server):
        assert server.where == tmp_path / "gdb"
        mode = server.where.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["there", "no/folder", "x" * 200])
def test_a_path_where_no_socket_can_be_is_refused(kvm: None, tmp_path: Path, name: str) -> None:
    (tmp_path / "there").write_text("mine")
    with (
        ticking("1n").guest as guest,
        pytest.raises(MachineError, match="no GDB server can listen at"),
    ):
        serve(guest, tmp_path / name)
    assert (tmp_path / "there").read_text() == "mine"


def test_a_socket_that_was_given_is_served(kvm: None) -> None:
    ours, theirs = socket.socketpair()
    with ticking("1n").guest as guest, serve(guest, theirs), RawClient(ours) as client:
        assert client.ask(b"?").startswith(b"T02")


def test_the_guests_end_is_told_with_its_words(kvm: None, tmp_path: Path) -> None:
    with (
        Talk("endings", "t").guest as guest,
        serve(guest, tmp_path / "gdb"),
        RawClient(tmp_path / "gdb") as client,
    ):
        said = client.ask(b"c")
        assert b"guest-reset: triple fault" in bytes.fromhex(said[1:].decode())
        assert client.receive() == b"W00"
        assert client.gone()


def test_a_kernel_that_kvm_cannot_run_on_is_a_signal(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path) as (guest, client):
        client.send(b"c")
        guest._end(Ending("lost", words="told so"))
        assert b"lost: told so" in bytes.fromhex(client.receive()[1:].decode())
        assert client.receive() == b"X06"


@pytest.mark.parametrize("how", [b"k", b"vKill;1"])
def test_a_client_can_end_the_guest(kvm: None, tmp_path: Path, how: bytes) -> None:
    with asked(tmp_path) as (guest, client):
        client.send(how)
        ending = guest.wait(PATIENCE_S)
        assert ending is not None
        assert ending.reason == "stopped"
        assert client.gone()


@pytest.mark.parametrize("running", [False, True])
def test_server_and_guest_end_with_a_client_attached(
    kvm: None, tmp_path: Path, running: bool
) -> None:
    with ExitStack() as outer:
        with served(tmp_path, "2n") as (guest, _):
            need(guest, Kind.EXECUTE)
            client = outer.enter_context(RawClient(tmp_path / "gdb"))
            assert client.ask(b"Z1,%x,1" % symbols()["tick"]) == b"OK"
            assert client.ask(b"c").startswith(b"T05")  # a vCPU waits in its own thread
            if running:
                assert client.ask(b"z1,%x,1" % symbols()["tick"]) == b"OK"
                client.send(b"c")
        assert client.gone()


def test_a_guest_that_others_pause_meanwhile_stays_stopped(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path, "2n") as (guest, client):
        need(guest, Kind.EXECUTE)
        assert client.ask(b"Z1,%x,1" % symbols()["tick"]) == b"OK"
        assert client.ask(b"c").startswith(b"T05")
        before = client.ask(b"g")
        guest.whereabouts()
        with guest.paused():
            assert not guest.running
        assert not guest.running
        assert client.ask(b"g") == before
        assert client.ask(b"c").startswith(b"T05")


def test_breakpoints_without_a_debugger_go_on_beside_it(kvm: None, tmp_path: Path) -> None:
    at = symbols()
    guest = ticking("1n").guest
    stops, counted = Breakpoints(guest), list[int]()

    def count(hit: Hit) -> None:
        counted.append(word(hit.vcpu.vm.memory, at["ticks"]))

    with guest, serve(guest, tmp_path / "gdb", breakpoints=stops):
        need(guest, Kind.EXECUTE)
        stops.add(Point(at["tick"]), count)
        with RawClient(tmp_path / "gdb") as client:
            assert client.ask(b"Z1,%x,1" % at["tick"]) == b"OK"
            for calls in range(1, 4):
                assert client.ask(b"c").startswith(b"T05")
                assert counted == list(range(calls))


# Clients that mean harm


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_bring_the_server_down(kvm: None, tmp_path: Path, seed: int) -> None:
    """Whatever a client sends, it ends, and the next one is served."""
    dice = random.Random(seed)
    letters = b"?gGpPmMXzZHTcCsSDqQv0123456789abcdef,;:=-+#$}*\x03"
    with served(tmp_path, "2n") as (guest, _):
        with RawClient(tmp_path / "gdb", no_ack=False) as client:
            for _ in range(200):
                body = bytes(dice.choices(letters, k=dice.randrange(12)))
                wire = b"$%b#%02x" % (body, sum(body) & 0xFF) if dice.random() < 0.9 else body
                if not client.poke(wire):
                    break
            assert client.gone()
        if guest.ending is None:
            with RawClient(tmp_path / "gdb") as client:
                assert client.ask(b"?").startswith(b"T02")


@pytest.mark.parametrize(
    "wire",
    [
        b"$" + b"m" * (3 * MAX_PAYLOAD),
        b"$m0,1}#e0",
        b"-" * 100,
        b"$qSupported" + b";" * MAX_PAYLOAD + b"#00",
    ],
)
def test_what_makes_no_sense_is_the_end_of_that_client_alone(
    kvm: None, tmp_path: Path, wire: bytes
) -> None:
    with served(tmp_path) as (_, _server):
        with RawClient(tmp_path / "gdb", no_ack=False) as client:
            client.poke(wire)
            assert client.gone()
        with RawClient(tmp_path / "gdb") as client:
            assert client.ask(b"?").startswith(b"T02")


def test_a_client_that_takes_nothing_is_given_up(
    kvm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timehands.monitor.gdb_server.server.SEND_SECONDS", 0.05)
    with served(tmp_path):
        with RawClient(tmp_path / "gdb") as client, pytest.raises(ConnectionError):
            while True:
                client.send(b"m0,2000")
        with RawClient(tmp_path / "gdb") as client:
            assert client.ask(b"?").startswith(b"T02")


def test_a_damaged_packet_is_asked_for_again_and_ours_is_sent_again(
    kvm: None, tmp_path: Path
) -> None:
    with served(tmp_path), RawClient(tmp_path / "gdb", no_ack=False) as client:
        client.socket.sendall(b"$?#00")
        assert client.socket.recv(1) == b"-"
        client.socket.sendall(b"$qC#b4")
        assert client.receive() == b"QC1"
        client.socket.sendall(b"-")
        assert client.receive() == b"QC1"


def test_large_requests_are_answered_in_part(kvm: None, tmp_path: Path) -> None:
    with asked(tmp_path) as (_, client):
        assert len(client.ask(b"m0,%x" % (16 * MIB))) == MAX_PAYLOAD
        assert client.ask(b"mfffffffffffff000,fff") == b"E14"
        assert client.ask(b"qXfer:features:read:target.xml:ffffffff,ffff") == b"l"
        assert client.ask(b"m0,0") == b""


def test_an_architecture_is_told_by_the_kernel_file() -> None:
    assert Architecture.of(b"\x7fELF\x01\x01") is Architecture.I386
    assert Architecture.of(b"\x7fELF\x02\x01") is Architecture.X86_64
    assert Architecture.of(b"") is Architecture.X86_64
