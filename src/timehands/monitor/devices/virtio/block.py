"""A disk: virtio's block device on a `DiskFile` (virtio 1.2, 5.2)."""

from __future__ import annotations

import struct

from timehands.kvm.memory import GuestMemory
from timehands.monitor.devices.virtio.disk_file import DiskFile, Writes
from timehands.monitor.devices.virtio.numbers import BlockFeature, DeviceId, Outcome, Request
from timehands.monitor.devices.virtio.overlay import SECTOR
from timehands.monitor.devices.virtio.rings import MAX_SIZE, Chain, RingBroken, read, write

#: What `Request.GET_ID` gives, in 20 bytes.
IDENTITY = b"timehands"
IDENTITY_BYTES = 20
#: A request has a buffer for its header, and one for its status.
MAX_SEGMENTS, MAX_SEGMENT_BYTES = MAX_SIZE - 2, 64 << 10
MAX_BYTES = MAX_SEGMENTS * MAX_SEGMENT_BYTES
_HEADER = struct.Struct("<IIQ")
#: capacity, size_max, seg_max, geometry (none), blk_size
_CONFIG = struct.Struct("<QIIHBBI")


class Block:
    """The device. A request that cannot be done gets a status that says so."""

    id = DeviceId.BLOCK

    def __init__(self, file: DiskFile) -> None:
        self.file = file
        self._read_only = file.disk.writes is Writes.REFUSED
        self.features = int(
            BlockFeature.SIZE_MAX
            | BlockFeature.SEG_MAX
            | BlockFeature.BLOCK_SIZE
            | BlockFeature.FLUSH
            | (BlockFeature.READ_ONLY if self._read_only else 0)
        )
        self.config = _CONFIG.pack(file.sectors, MAX_SEGMENT_BYTES, MAX_SEGMENTS, 0, 0, 0, SECTOR)

    def serve(self, memory: GuestMemory, chain: Chain, features: int) -> int:
        """A request: a header, data, a status in the last byte that can be written."""
        room = chain.writable_bytes - 1
        if chain.readable_bytes < _HEADER.size or room < 0:
            raise RingBroken("a request without a header, or without room for its status")
        outcome, data = self._outcome(memory, chain, room, features)
        write(memory, chain, 0, data)
        write(memory, chain, room, bytes([outcome]))
        return len(data) + 1

    def _outcome(
        self, memory: GuestMemory, chain: Chain, room: int, features: int
    ) -> tuple[Outcome, bytes]:
        """What came of it, and what was read."""
        if max(chain.readable_bytes - _HEADER.size, room) > MAX_BYTES:
            return Outcome.ERROR, b""
        sent = read(memory, chain)
        kind, _reserved, sector = _HEADER.unpack_from(sent)
        try:
            if kind == Request.IN:
                return self._in(sector, room)
            if kind == Request.OUT:
                return self._out(sector, sent[_HEADER.size :], features), b""
            if kind == Request.FLUSH:
                self.file.flush()
                return Outcome.OK, b""
        except OSError:
            return Outcome.ERROR, b""
        if kind == Request.GET_ID:
            return _identity(room)
        return Outcome.UNSUPPORTED, b""

    def _in(self, sector: int, size: int) -> tuple[Outcome, bytes]:
        if not self._is_there(sector, size):
            return Outcome.ERROR, b""
        return Outcome.OK, self.file.read(sector, size // SECTOR)

    def _out(self, sector: int, data: bytes, features: int) -> Outcome:
        """A driver that cannot flush expects what it wrote to stay."""
        if self._read_only or not self._is_there(sector, len(data)):
            return Outcome.ERROR
        if data:
            self.file.write(sector, data)
        if not features & BlockFeature.FLUSH:
            self.file.flush()
        return Outcome.OK

    def _is_there(self, sector: int, size: int) -> bool:
        """Whole sectors, all of them on the disk."""
        return size % SECTOR == 0 and sector + size // SECTOR <= self.file.sectors


def _identity(room: int) -> tuple[Outcome, bytes]:
    if room < IDENTITY_BYTES:
        return Outcome.ERROR, b""
    return Outcome.OK, IDENTITY.ljust(IDENTITY_BYTES, b"\0")
