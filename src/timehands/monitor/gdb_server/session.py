"""What one client asks, and what it is answered: requests in, replies out (no I/O here).

A client and its server are in one of two states: the guest stands still and the client asks, or it
runs and the client waits, and may interrupt. GDB manual, "Remote Protocol"; what is not offered is
answered with an empty packet, as the protocol wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from timehands.errors import BreakpointImpossible, TimehandsError
from timehands.monitor.breakpoints import Kind, Point
from timehands.monitor.gdb_server import requests
from timehands.monitor.gdb_server.commands import run_command, thread_words
from timehands.monitor.gdb_server.control import Action, Control, Go, Step, Stop
from timehands.monitor.gdb_server.description import documents
from timehands.monitor.gdb_server.memory import View
from timehands.monitor.gdb_server.packets import MAX_PAYLOAD, escape
from timehands.monitor.gdb_server.registers import (
    Architecture,
    State,
    numbered,
    read,
    registers,
    write,
)
from timehands.monitor.gdb_server.requests import BadRequest

if TYPE_CHECKING:
    from timehands.kvm.vcpu import Vcpu

SIGINT, SIGTRAP, SIGABRT = 2, 5, 6
#: The registers that stand in a stop reply, so that they need not be asked for.
_TOLD = ("rbp", "rsp", "rip"), ("ebp", "esp", "eip")
_MAX_WORDS = 400
OK, UNKNOWN = b"OK", b""
E_MEMORY = b"E14"  # EFAULT


class Session:
    """One client's conversation.

    ``running``: it waits for the guest to stop. ``over``: it has left, or ended the guest.
    ``acks``: packets are acknowledged. ``sink`` takes what goes to the client by itself.
    """

    def __init__(self, control: Control, architecture: Architecture) -> None:
        self.running = self.over = False
        self.acks = True
        self.control, self._guest = control, control.guest
        self._architecture = architecture
        self._points: set[Point] = set()
        self._shown = self._steered = 0
        self._physical = False
        self._features: frozenset[bytes] = frozenset()
        self._stop = control.stop()

    def ask(self, payload: bytes) -> bytes | None:
        """The reply to a request; None when it comes later, or never."""
        letter = payload[:1].decode("latin-1")
        handler = _LETTERS.get(letter)
        if handler is None:
            return UNKNOWN
        try:
            return handler(self, payload[1:])
        except BadRequest as error:
            return _error(str(error))
        except BreakpointImpossible as error:
            return _error(error.reason)
        except TimehandsError as error:
            return _error(error.message)
        except ValueError as error:  # the guest was closed meanwhile
            return _error(str(error))

    def interrupt(self) -> bytes | None:
        """The client wants the guest to stop. What it is told, or None when it stands still."""
        return self._stopped(self.control.stop()) if self.running else None

    def poll(self) -> bytes | None:
        """The stop reply that is due, if one is."""
        if not self.running:
            return None
        if self.control.ended:
            return self._ended()
        stop = self.control.poll()
        return None if stop is None else self._stopped(stop)

    def leave(self) -> None:
        """The client has gone: nothing of it stays. Raises what KVM refuses."""
        for point in list(self._points):
            self._points.discard(point)
            self.control.remove(point)
        self.control.leave()

    # Stops

    def _stopped(self, stop: Stop) -> bytes:
        self.running = False
        self._stop = stop
        self._shown = self._steered = stop.vcpu
        return self._stop_reply()

    def _stop_reply(self) -> bytes:
        stop = self._stop
        signal = SIGINT if stop.interrupted else SIGTRAP
        why = self._why(stop.point)
        state, held = State(self._vcpu(stop.vcpu)), b""
        for name in _TOLD[self._architecture is Architecture.I386]:
            at = numbered(self._architecture)[name]
            value = read(registers(self._architecture)[at], state)
            held += b"%x:%b;" % (at, value.hex().encode())
        return b"T%02x%b%bthread:%b;" % (signal, held, why, self._thread(stop.vcpu))

    def _why(self, point: Point | None) -> bytes:
        if point is None:
            return b""
        if point.kind.executes:
            word = b"swbreak" if point.kind is Kind.SOFTWARE else b"hwbreak"
            return word + b":;" if word + b"+" in self._features else b""
        word = b"watch" if point.kind is Kind.WRITE else b"awatch"
        return b"%b:%x;" % (word, point.address)

    def _ended(self) -> bytes:
        """The guest is no more: it ended by itself, or KVM could not run it on."""
        self.running, self.over = False, True
        ending = self._guest.ending
        process = b";process:1" if b"multiprocess+" in self._features else b""
        if ending is not None and ending.reason == "lost":
            return b"X%02x%b" % (SIGABRT, process)
        return b"W%02x%b" % (ending.value & 0xFF if ending else 0, process)

    @property
    def last_words(self) -> bytes:
        """What the client's user is told when the guest ends: a packet of text, or nothing."""
        ending = self._guest.ending
        if ending is None:
            return b""
        words = f"the guest ended: {ending.reason}{': ' if ending.words else ''}{ending.words}\n"
        return b"O" + words.encode(errors="replace")[: MAX_PAYLOAD // 2 - 1].hex().encode()

    # Threads

    def _vcpu(self, number: int) -> Vcpu:
        return self._guest.vcpus[number]

    def _thread(self, vcpu: int) -> bytes:
        return b"%b%x" % (b"p1." if b"multiprocess+" in self._features else b"", vcpu + 1)

    def _select(self, text: bytes) -> bytes:
        who = requests.thread(text[1:])
        vcpu = who.vcpus(len(self._guest.vcpus))[0]
        if text[:1] not in (b"g", b"c"):
            return UNKNOWN
        if who.number != requests.ANY:
            if text[:1] == b"g":
                self._shown = vcpu
            else:
                self._steered = vcpu
        return OK

    def _is_alive(self, text: bytes) -> bytes:
        requests.thread(text).vcpus(len(self._guest.vcpus))
        return OK

    # Registers and memory

    def _registers(self, _text: bytes) -> bytes:
        state = State(self._vcpu(self._shown))
        return b"".join(read(r, state) for r in registers(self._architecture)).hex().encode()

    def _set_registers(self, text: bytes) -> bytes:
        data, at, state = requests.data(text), 0, State(self._vcpu(self._shown))
        for register in registers(self._architecture):
            part = data[at : at + register.size]
            at += register.size
            if len(part) == register.size:
                write(register, state, part)
        if at != len(data):
            raise BadRequest("not all registers, or more than there are")
        state.put()
        return OK

    def _register(self, text: bytes) -> bytes:
        number, all_of = requests.number(text), registers(self._architecture)
        if number >= len(all_of):
            raise BadRequest("no such register")
        return read(all_of[number], State(self._vcpu(self._shown))).hex().encode()

    def _set_register(self, text: bytes) -> bytes:
        digits, _, value = text.partition(b"=")
        number, data = requests.number(digits), requests.data(value)
        all_of = registers(self._architecture)
        if number >= len(all_of) or len(data) != all_of[number].size:
            raise BadRequest("no such register, or it has another size")
        state = State(self._vcpu(self._shown))
        write(all_of[number], state, data)
        state.put()
        return OK

    def _view(self) -> View:
        patches = self.control.breakpoints.patches
        return View(self._vcpu(self._shown), patches, physical=self._physical)

    def _read(self, text: bytes) -> bytes:
        address, length = requests.span(text)
        data = self._view().read(address, min(length, MAX_PAYLOAD // 2))
        return data.hex().encode() if data or not length else E_MEMORY

    def _write(self, text: bytes) -> bytes:
        where, _, digits = text.partition(b":")
        return self._put(where, requests.data(digits))

    def _write_binary(self, text: bytes) -> bytes:
        where, _, data = text.partition(b":")
        return self._put(where, data)

    def _put(self, where: bytes, data: bytes) -> bytes:
        address, length = requests.span(where)
        if length != len(data):
            raise BadRequest("another length than was told")
        return OK if self._view().write(address, data) else E_MEMORY

    # Breakpoints

    def _insert(self, text: bytes) -> bytes:
        point = requests.point(text)
        if point not in self._points:
            self.control.insert(point, self._shown)
            self._points.add(point)
        return OK

    def _remove(self, text: bytes) -> bytes:
        point = requests.point(text)
        if point in self._points:
            self._points.discard(point)
            self.control.remove(point)
        return OK

    # Running

    def _run(self, actions: Mapping[int, Action]) -> None:
        self.control.run(actions)
        self.running = True

    def _continue(self, text: bytes) -> None:
        self._at(text)
        self._run(dict.fromkeys(range(len(self._guest.vcpus)), Go()))

    def _step(self, text: bytes) -> None:
        self._at(text)
        self._run({self._steered: Step()})

    def _continue_signalled(self, text: bytes) -> None:
        self._continue(text.partition(b";")[2])

    def _step_signalled(self, text: bytes) -> None:
        self._step(text.partition(b";")[2])

    def _at(self, address: bytes) -> None:
        if not address:
            return
        regs = self._vcpu(self._steered).regs()
        regs.rip = requests.number(address)
        self._vcpu(self._steered).set_regs(regs)

    def _why_stopped(self, _text: bytes) -> bytes:
        return self._ended() if self.control.ended else self._stop_reply()

    def _detach(self, _text: bytes) -> bytes:
        self.leave()
        self._guest.resume()
        self.over = True
        return OK

    def _kill(self, _text: bytes) -> None:
        self.over = True
        self._guest.stop()

    # What the client wants to know

    def _query(self, text: bytes) -> bytes:
        name, colon, rest = text.partition(b":")
        if name == b"Supported":
            return self._supported(rest)
        if name == b"Xfer" and rest.startswith(b"features:read:"):
            return self._document(rest[len(b"features:read:") :])
        if text.startswith(b"Rcmd,"):
            return self._command(requests.data(text[len(b"Rcmd,") :]))
        if text.startswith(b"ThreadExtraInfo,"):
            return self._thread_words(text[len(b"ThreadExtraInfo,") :])
        answer = None if colon and name != b"Attached" else _QUERIES.get(name)
        return answer(self) if answer else UNKNOWN

    def _supported(self, text: bytes) -> bytes:
        self._features = frozenset(text.split(b";")[:256])
        offered = b"PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;swbreak+;hwbreak+;"
        offered += b"vContSupported+"
        process = b";multiprocess+" if b"multiprocess+" in self._features else b""
        return offered % MAX_PAYLOAD + process

    def _document(self, text: bytes) -> bytes:
        name, _, where = text.partition(b":")
        document = documents(self._architecture).get(name.decode("latin-1"))
        if document is None:
            raise BadRequest("no such document")
        at, length = requests.span(where)
        part = document[at : at + min(length, MAX_PAYLOAD // 2)]
        more = at + len(part) < len(document)
        return (b"m" if more else b"l") + escape(part)

    def _threads(self) -> bytes:
        return b"m" + b",".join(self._thread(n) for n in range(len(self._guest.vcpus)))

    def _thread_words(self, text: bytes) -> bytes:
        vcpu = requests.thread(text).vcpus(len(self._guest.vcpus))[0]
        return thread_words(self._guest, vcpu).encode().hex().encode()

    def _command(self, text: bytes) -> bytes:
        words = run_command(self._guest, text.decode("latin-1"))
        return words.encode(errors="replace")[: MAX_PAYLOAD // 2].hex().encode() or OK

    def _set(self, text: bytes) -> bytes:
        if text == b"StartNoAckMode":
            self.acks = False
            return OK
        if text in (b"qemu.PhyMemMode:0", b"qemu.PhyMemMode:1"):
            self._physical = text.endswith(b"1")
            return OK
        return UNKNOWN

    def _word(self, text: bytes) -> bytes | None:
        if text == b"Cont?":
            return b"vCont;c;C;s;S;r"
        if text.startswith(b"Cont"):
            self._run(requests.actions(text[len(b"Cont") :], len(self._guest.vcpus)))
            return None
        if text.startswith(b"Kill"):
            self._kill(b"")
            return OK
        return UNKNOWN


def _error(words: str) -> bytes:
    """An error in words; gdb shows them, or says that there was one."""
    plain = words.encode("ascii", "replace")[:_MAX_WORDS].replace(b"\n", b" ")
    return b"E." + escape(plain)


Handler = Callable[[Session, bytes], bytes | None]
_LETTERS: Mapping[str, Handler] = {
    "?": Session._why_stopped,
    "g": Session._registers,
    "G": Session._set_registers,
    "p": Session._register,
    "P": Session._set_register,
    "m": Session._read,
    "M": Session._write,
    "X": Session._write_binary,
    "Z": Session._insert,
    "z": Session._remove,
    "H": Session._select,
    "T": Session._is_alive,
    "c": Session._continue,
    "C": Session._continue_signalled,
    "s": Session._step,
    "S": Session._step_signalled,
    "D": Session._detach,
    "k": Session._kill,
    "q": Session._query,
    "Q": Session._set,
    "v": Session._word,
}
_QUERIES: Mapping[bytes, Callable[[Session], bytes]] = {
    b"C": lambda session: b"QC" + session._thread(session._shown),
    b"Attached": lambda _session: b"1",
    b"fThreadInfo": Session._threads,
    b"sThreadInfo": lambda _session: b"l",
    b"qemu.PhyMemMode": lambda session: b"%d" % session._physical,
}
