"""The small program of ``compiled``, as each compiler makes it."""

from __future__ import annotations

import pytest

from kernels import compiled


@pytest.fixture(scope="session", params=compiled.BUILDS, ids=lambda one: "-".join(map(str, one)))
def program(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> compiled.Program:
    """Built once for each compiler, version of DWARF, and optimisation."""
    return compiled.Program(compiled.build(tmp_path_factory.mktemp("clock"), request.param))
