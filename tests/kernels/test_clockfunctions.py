from __future__ import annotations

from timehands.kernels.clockfunctions import CLOCK_FUNCTIONS

ROLES = {"probe", "calibrate", "check", "register", "select", "reject", "read", "start"}


def test_every_function_has_a_name_a_clock_and_a_known_role() -> None:
    for functions in CLOCK_FUNCTIONS.values():
        assert len(functions) == len({one.name for one in functions})
        for one in functions:
            assert one.name.isidentifier()
            assert one.clock.isidentifier()
            assert one.role in ROLES


def test_each_system_names_its_frameworks_entry() -> None:
    names = {os: {one.name for one in table} for os, table in CLOCK_FUNCTIONS.items()}
    assert "__clocksource_register_scale" in names["linux"]
    for bsd in ("freebsd", "netbsd", "openbsd"):
        assert "tc_init" in names[bsd]
