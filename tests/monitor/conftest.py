"""The real KVM for guests of the monitor."""

from __future__ import annotations

import pytest

from timehands.errors import KvmUnavailable
from timehands.kvm import Kvm


@pytest.fixture
def kvm() -> None:
    """The host's KVM can be opened; or a skip that says what is wrong with it."""
    try:
        Kvm().close()
    except KvmUnavailable as error:
        pytest.skip(error.message)
