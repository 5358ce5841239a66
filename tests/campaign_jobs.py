"""Jobs for campaigns that cost nothing: processes and clusters import them from here."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from timehands.simulate.campaign import ALL_VCPUS, Row

_DIGEST = hashlib.sha256(b"made up").hexdigest()


def made_up_row(seed: int, vcpu: int, scenario: str = _DIGEST) -> Row:
    """Figures that hang on the seed and the vCPU alone, but for ``wall_ns``."""
    number = int.from_bytes(hashlib.sha256(f"{seed}/{vcpu}".encode()).digest()[:4], "little")
    return Row(
        scenario=scenario,
        seed=seed,
        provider="kvm",
        reader="linux",
        vcpu=vcpu,
        reads=1000 + vcpu,
        warps=number % 3,
        worst_warp_ns=number % 1000,
        warps_across=None if vcpu >= 0 else number % 5,
        worst_warp_across_ns=None if vcpu >= 0 else number % 77,
        stalls=0,
        worst_stall_ns=0,
        rate_error_ppb=None if number % 7 == 0 else number % 200 - 100,
        worst_rate_error_ppb=number % 400 - 200,
        offset_last_ns=number % 5001 - 2500,
        offset_worst_ns=number % 90001 - 45000,
        worst_jump_ns=None,
        refused=0,
        unmet=int(number % 11 == 0),
        wall_ns=time.perf_counter_ns(),
    )


@dataclass(frozen=True)
class MadeUp:
    """Two vCPUs and both together, for each seed."""

    scenario: str = _DIGEST

    @property
    def identity(self) -> Mapping[str, str]:
        """The scenario tells it from another."""
        return {"scenario": self.scenario, "provider": "kvm", "reader": "linux"}

    def __call__(self, seed: int) -> list[Row]:
        """The rows."""
        return [made_up_row(seed, vcpu, self.scenario) for vcpu in (ALL_VCPUS, 0, 1)]


@dataclass(frozen=True)
class Fails(MadeUp):
    """One seed fails."""

    at: int = 13

    def __call__(self, seed: int) -> list[Row]:
        """The rows, or an error."""
        if seed == self.at:
            raise ArithmeticError("the clock struck thirteen")
        return super().__call__(seed)


@dataclass(frozen=True)
class Dies(MadeUp):
    """The process dies at a seed: each time, or (``once`` is a file to make) the first time."""

    at: int = 13
    once: Path | None = None

    def __call__(self, seed: int) -> list[Row]:
        """The rows, or the end."""
        if seed == self.at and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(seed)


@dataclass(frozen=True)
class Holds(MadeUp):
    """Seeds from ``at`` on say in a pipe that they are there, and wait for a file's lock.

    The pipe (a FIFO) stays open for as long as the process lives: its reader sees the end of it
    when all such processes are gone.
    """

    at: int = 0
    pipe: Path = Path("pipe")
    gate: Path = Path("gate")

    def __call__(self, seed: int) -> list[Row]:
        """The rows, when the gate is open."""
        if seed >= self.at:
            told = os.open(self.pipe, os.O_WRONLY)
            os.write(told, b"%d\n" % os.getpid())
            with self.gate.open("rb") as gate:
                fcntl.flock(gate, fcntl.LOCK_SH)
            os.close(told)
        return super().__call__(seed)
