"""The real KVM, and machines on it that no guest can hold up."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from timehands.errors import KvmUnavailable
from timehands.kvm import Kvm, Vm

#: After this a guest that does not come back is taken out: its test then fails.
PATIENCE_S = 60


@pytest.fixture
def kvm() -> Iterator[Kvm]:
    """The host's KVM, or a skip that says what is wrong with it."""
    try:
        opened = Kvm()
    except KvmUnavailable as error:
        pytest.skip(error.message)
    with opened:
        yield opened


@pytest.fixture
def vm(kvm: Kvm) -> Iterator[Vm]:
    """An empty machine."""
    with Vm(kvm) as machine:
        watchdog = threading.Timer(
            PATIENCE_S, lambda: [v.interrupt() for v in [*machine.vcpus.values()]]
        )
        watchdog.start()
        try:
            yield machine
        finally:
            watchdog.cancel()
            watchdog.join()
