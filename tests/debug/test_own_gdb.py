"""What gdb is given to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from timehands.debug.own_gdb import Place, write_commands
from timehands.errors import HostError
from watch.stops.guests import kernel


def test_gdb_connects_before_it_loads_symbols(tmp_path: Path) -> None:
    place = Place.socket_in(tmp_path)
    lines = write_commands(tmp_path, kernel(), place).read_text().splitlines()
    assert lines[-2:] == [f"target remote {tmp_path}/gdb.sock", f'symbol-file "{kernel().path}"']
    assert lines.index("set osabi none") < lines.index(lines[-2])
    assert lines.index("set architecture i386:x86-64") < lines.index(lines[-2])


def test_a_port_is_of_this_host_alone() -> None:
    assert Place.port(1234) == Place("tcp:127.0.0.1:1234", "127.0.0.1:1234")


def test_a_comma_in_a_path_is_no_option_of_qemu(tmp_path: Path) -> None:
    assert Place.socket_in(Path("/a,b")).device == "unix:/a,,b/gdb.sock"


def test_a_path_that_no_socket_can_have_is_said_so() -> None:
    with pytest.raises(HostError, match="TMPDIR"):
        Place.socket_in(Path("/" + "x" * 120))
