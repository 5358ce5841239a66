"""A guest with its server, and a client that a test speaks through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.raw_client import RawClient
from monitor.ticking import ticking
from timehands.monitor.breakpoints import Breakpoints, Kind
from timehands.monitor.gdb_server import Architecture, GdbServer, serve
from timehands.monitor.microvm import Microvm


@contextmanager
def served(
    folder: Path, how: str = "1n", architecture: Architecture = Architecture.I386
) -> Iterator[tuple[Microvm, GdbServer]]:
    """A guest that has not run yet (see ticking.c), and its server at ``folder / "gdb"``."""
    guest = ticking(how).guest
    with guest, serve(guest, folder / "gdb", architecture=architecture) as server:
        yield guest, server


@contextmanager
def asked(folder: Path, how: str = "1n") -> Iterator[tuple[Microvm, RawClient]]:
    """A guest that has not run yet, and its client."""
    with served(folder, how) as (guest, _), RawClient(folder / "gdb") as client:
        yield guest, client


def need(guest: Microvm, kind: Kind) -> None:
    """Skip where the host's KVM does not tell of such points."""
    if not Breakpoints(guest).abilities.has(kind):
        pytest.skip(f"this host's KVM tells of no {kind.value}")
