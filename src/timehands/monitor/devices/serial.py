"""The first serial port: a 16550A at 0x3f8, interrupt 4.

What is written goes to a sink at once; what the person types waits in a queue and is read byte by
byte. Source: National Semiconductor PC16550D data sheet (registers, interrupt priorities).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

COM1, IRQ, PORTS = 0x3F8, 4, 8
#: How much input waits at most, in bytes; what does not fit is dropped, as on a wire.
INPUT_BYTES = 64 << 10
_DATA, _IER, _IIR, _LCR, _MCR, _LSR, _MSR, _SCRATCH = range(8)
_DLAB, _LOOPBACK = 0x80, 0x10
_IER_INPUT, _IER_EMPTY = 1, 2
_IIR_NONE, _IIR_EMPTY, _IIR_INPUT, _IIR_FIFO = 1, 2, 4, 0xC0
_LSR_INPUT, _LSR_EMPTY = 0x01, 0x60
#: Clear to send, data set ready, carrier detected: somebody is at the other end.
_MSR_THERE = 0xB0


class Serial:
    """One 16550A. ``out`` takes each byte written; ``line`` raises and lowers its interrupt."""

    def __init__(self, out: Callable[[bytes], None], line: Callable[[int], None]) -> None:
        self._out, self._line = out, line
        self._lock = threading.Lock()
        self._input: deque[int] = deque()
        self._registers = bytearray(8)
        self._divisor = 12
        self._fifo = False
        self._empty_pending = False
        self._level = 0

    def feed(self, data: bytes) -> int:
        """Bytes that somebody typed. Returns how many were taken."""
        with self._lock:
            taken = data[: INPUT_BYTES - len(self._input)]
            self._input.extend(taken)
            self._update()
        return len(taken)

    def state(self) -> dict[str, int | str]:
        """What a snapshot keeps."""
        with self._lock:
            return {
                "registers": self._registers.hex(),
                "divisor": self._divisor,
                "fifo": int(self._fifo),
                "empty_pending": int(self._empty_pending),
                "input": bytes(self._input).hex(),
            }

    def restore(
        self, *, registers: bytes, divisor: int, fifo: bool, empty_pending: bool, waiting: bytes
    ) -> None:
        """Go on with a snapshot's state; ``waiting`` is the input. Raises its line if need be."""
        with self._lock:
            self._registers[:] = registers[:8].ljust(8, b"\0")
            self._divisor, self._fifo = divisor & 0xFFFF, fifo
            self._empty_pending = empty_pending
            self._input = deque(waiting[:INPUT_BYTES])
            self._update()

    def read(self, offset: int, _size: int) -> int:
        """A register, as the guest reads it."""
        with self._lock:
            value = self._read(offset)
            self._update()
            return value

    def _read(self, offset: int) -> int:
        if offset in (_DATA, _IER) and self._registers[_LCR] & _DLAB:
            return self._divisor >> 8 * offset & 0xFF
        if offset == _DATA:
            return self._input.popleft() if self._input else 0
        if offset == _IIR:
            cause = self._cause()
            self._empty_pending &= cause != _IIR_EMPTY
            return cause | (_IIR_FIFO if self._fifo else 0)
        if offset == _LSR:
            return _LSR_EMPTY | (_LSR_INPUT if self._input else 0)
        if offset == _MSR:
            return self._modem()
        return self._registers[offset]

    def _modem(self) -> int:
        control = self._registers[_MCR]
        if not control & _LOOPBACK:
            return _MSR_THERE
        # DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD.
        return (control & 1) << 5 | (control & 2) << 3 | (control & 4) << 4 | (control & 8) << 4

    def write(self, offset: int, _size: int, value: int) -> None:
        """A register, as the guest writes it."""
        value &= 0xFF
        with self._lock:
            sent = self._write(offset, value)
            self._update()
        if sent:  # not under the lock: who listens may answer by `feed`
            self._out(sent)

    def _write(self, offset: int, value: int) -> bytes:
        """Returns what goes out on the wire."""
        if offset in (_DATA, _IER) and self._registers[_LCR] & _DLAB:
            mask = 0xFF << 8 * offset
            self._divisor = self._divisor & ~mask | value << 8 * offset
        elif offset == _DATA:
            return self._sent(value)
        elif offset == _IIR:
            self._fifo = bool(value & 1)
            if value & 2:
                self._input.clear()
        elif offset == _IER:
            self._registers[_IER] = value & 0x0F
            self._empty_pending = bool(value & _IER_EMPTY)
        elif offset not in (_LSR, _MSR):
            self._registers[offset] = value
        return b""

    def _sent(self, value: int) -> bytes:
        self._empty_pending = True
        if not self._registers[_MCR] & _LOOPBACK:
            return bytes([value])
        if len(self._input) < INPUT_BYTES:
            self._input.append(value)
        return b""

    def _cause(self) -> int:
        enabled = self._registers[_IER]
        if enabled & _IER_INPUT and self._input:
            return _IIR_INPUT
        return _IIR_EMPTY if enabled & _IER_EMPTY and self._empty_pending else _IIR_NONE

    def _update(self) -> None:
        level = int(self._cause() != _IIR_NONE)
        if level != self._level:
            self._level = level
            self._line(level)
