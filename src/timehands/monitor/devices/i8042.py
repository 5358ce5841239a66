"""The keyboard controller on ports 0x60 and 0x64, with no keyboard and no mouse on it.

Kernels look for it where nothing tells them that there is none, and wait half a second for each
answer that does not come: so all commands that have an answer get it at once, and what is meant for
a keyboard comes back as a controller returns it that nobody answers. Line 0 of its output port
resets the machine, which is what most guests want of it; line 1, the gate of address line 20, is
kept and does nothing: there is no such gate.

Sources: Intel 8042 as IBM programmed it (PC/AT Technical Reference, 1984, «Keyboard Controller»);
for what kernels send, Linux drivers/input/serio/i8042.c and arch/x86/boot/a20.c.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import IntEnum

from timehands.monitor.devices.signals import Ending

DATA, COMMAND, IRQ = 0x60, 0x64, 1
#: Status: something can be read, the self test was passed, the last byte was a command, the
#: keyboard is not locked, nobody answered.
_FULL, _SYSTEM, _COMMAND, _UNLOCKED, _TIMEOUT = 0x01, 0x04, 0x08, 0x10, 0x40
#: The command byte: interrupt when something can be read; the self test was passed; the keyboard's
#: and the mouse's clocks are held; scan codes are translated.
_INTERRUPTS, _PASSED, _NO_KEYBOARD, _NO_AUX, _TRANSLATES = 0x01, 0x04, 0x10, 0x20, 0x40
#: The output port: line 0 holds the reset off, line 1 opens the gate of A20.
_NO_RESET, _A20 = 0x01, 0x02
RAM_BYTES = 32
_PULSES = 0xF0
_RESEND = 0xFE
#: Answers wait in a row of this length at most; a guest that reads none of them loses some.
WAITING = 16


class Command(IntEnum):
    """What is written to port 0x64, of which there is an answer or a parameter."""

    READ_RAM = 0x20
    WRITE_RAM = 0x60
    NO_AUX = 0xA7
    AUX = 0xA8
    TEST_AUX = 0xA9
    SELF_TEST = 0xAA
    TEST_KEYBOARD = 0xAB
    NO_KEYBOARD = 0xAD
    KEYBOARD = 0xAE
    READ_INPUT = 0xC0
    READ_OUTPUT = 0xD0
    WRITE_OUTPUT = 0xD1
    KEYBOARD_LOOP = 0xD2
    AUX_LOOP = 0xD3
    WRITE_AUX = 0xD4


#: Answers that are always the same: tests passed; the mouse's clock line is stuck low, which is
#: what is found where there is no mouse; the keyboard is not locked.
_ANSWERS = {
    Command.TEST_AUX: 0x01,
    Command.SELF_TEST: 0x55,
    Command.TEST_KEYBOARD: 0x00,
    Command.READ_INPUT: 0x80,
}
#: What the command byte becomes by commands that hold or free a clock: set, clear.
_CLOCKS = {
    Command.NO_AUX: (_NO_AUX, 0),
    Command.AUX: (0, _NO_AUX),
    Command.NO_KEYBOARD: (_NO_KEYBOARD, 0),
    Command.KEYBOARD: (0, _NO_KEYBOARD),
}


class I8042:
    """The controller. ``end`` is told of a reset, ``line`` raises (1) and lowers (0) interrupt 1.

    `data` and `command` are its two ports.
    """

    def __init__(self, end: Callable[[Ending], None], line: Callable[[int], None]) -> None:
        self._end, self._line = end, line
        self._lock = threading.Lock()
        self._ram = bytearray(RAM_BYTES)
        self._ram[0] = _PASSED | _TRANSLATES | _NO_AUX
        self._output = _NO_RESET | _A20
        self._answers: deque[int] = deque(maxlen=WAITING)
        self._nobody = False  # the answer that waits is for what nobody answered
        self._wants: int | None = None  # the command whose parameter comes next
        self._was_command = False
        self._level = 0
        self.data, self.command = Data(self), CommandPort(self)

    def state(self) -> dict[str, int | str]:
        """What a snapshot keeps."""
        with self._lock:
            return {
                "ram": self._ram.hex(),
                "output": self._output,
                "answers": bytes(self._answers).hex(),
                "nobody": int(self._nobody),
                "wants": -1 if self._wants is None else self._wants,
            }

    def restore(self, *, ram: bytes, output: int, answers: bytes, nobody: bool, wants: int) -> None:
        """Go on with a snapshot's state; ``wants`` is -1 for none. Raises its line if need be."""
        with self._lock:
            self._ram[:] = ram[:RAM_BYTES].ljust(RAM_BYTES, b"\0")
            self._output, self._nobody = output & 0xFF | _NO_RESET, nobody
            self._answers = deque(answers[:WAITING], maxlen=WAITING)
            self._wants = wants & 0xFF if wants >= 0 else None
            self._update()

    def status(self) -> int:
        """Port 0x64: commands are always taken at once."""
        with self._lock:
            flags = _UNLOCKED | (_SYSTEM if self._ram[0] & _PASSED else 0)
            flags |= _COMMAND if self._was_command else 0
            if self._answers:
                flags |= _FULL | (_TIMEOUT if self._nobody else 0)
            return flags

    def take(self) -> int:
        """Port 0x60: the next answer; 0 when there is none."""
        with self._lock:
            value = self._answers.popleft() if self._answers else 0
            self._nobody = self._nobody and bool(self._answers)
            if self._level:  # each answer has its own edge
                self._level = 0
                self._line(0)
            self._update()
            return value

    def told(self, command: int) -> None:
        """Port 0x64: a command."""
        with self._lock:
            self._was_command, self._wants = True, None
            resets = self._obey(command & 0xFF)
            self._update()
        if resets:
            self._end(Ending("guest-reset"))

    def given(self, value: int) -> None:
        """Port 0x60: a command's parameter, or a byte for the keyboard."""
        with self._lock:
            wants, self._wants, self._was_command = self._wants, None, False
            resets = self._parameter(wants, value & 0xFF)
            self._update()
        if resets:
            self._end(Ending("guest-reset"))

    def _obey(self, command: int) -> bool:
        """Whether it resets the machine: the last 16 commands pulse lines of the output port."""
        if command >= _PULSES:
            return not command & _NO_RESET
        if command & ~0x1F == Command.READ_RAM:
            self._answer(self._ram[command & 0x1F])
        elif command == Command.READ_OUTPUT:
            self._answer(self._output)
        elif command in _ANSWERS:
            self._answer(_ANSWERS[Command(command)])
            if command == Command.SELF_TEST:
                self._ram[0] |= _PASSED
        elif command in _CLOCKS:
            on, off = _CLOCKS[Command(command)]
            self._ram[0] = self._ram[0] & ~off | on
        elif command & ~0x1F == Command.WRITE_RAM or Command.WRITE_OUTPUT <= command <= 0xD4:
            self._wants = command
        return False

    def _parameter(self, wants: int | None, value: int) -> bool:
        """Whether it resets the machine."""
        if wants is None or wants == Command.WRITE_AUX:
            self._answer(_RESEND, nobody=True)
        elif wants & ~0x1F == Command.WRITE_RAM:
            self._ram[wants & 0x1F] = value
        elif wants == Command.WRITE_OUTPUT:
            self._output = value | _NO_RESET
            return not value & _NO_RESET
        else:  # a loop: the mouse's too, though it comes as from the keyboard, which says: no mouse
            self._answer(value)
        return False

    def _answer(self, value: int, *, nobody: bool = False) -> None:
        self._answers.append(value)
        self._nobody = nobody

    def _update(self) -> None:
        """Interrupt 1 is up as long as an answer waits, if it is wanted."""
        level = int(bool(self._answers) and bool(self._ram[0] & _INTERRUPTS))
        if level != self._level:
            self._level = level
            self._line(level)


class Data:
    """Port 0x60."""

    def __init__(self, controller: I8042) -> None:
        self._controller = controller

    def read(self, _offset: int, _size: int) -> int:
        """The next answer."""
        return self._controller.take()

    def write(self, _offset: int, _size: int, value: int) -> None:
        """A parameter, or a byte for the keyboard."""
        self._controller.given(value)


class CommandPort:
    """Port 0x64."""

    def __init__(self, controller: I8042) -> None:
        self._controller = controller

    def read(self, _offset: int, _size: int) -> int:
        """The status."""
        return self._controller.status()

    def write(self, _offset: int, _size: int, value: int) -> None:
        """A command."""
        self._controller.told(value)
