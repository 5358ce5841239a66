"""What we did to a guest while it was watched: stops, and changes. Kept apart from what it did.

A story must never mix the two: each stop and each intervention is a row of its own file in the
recording (``stops.jsonl``, ``interventions.jsonl``), with host times in ns (CLOCK_MONOTONIC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from timehands.watch.checked import require_types


class Did(StrEnum):
    """What an intervention changed."""

    VARIABLE = "variable"
    REGISTER = "register"
    MEMORY = "memory"
    SKIP = "skip"  # a function was left out and a value returned instead
    CPUID = "cpuid"  # a leaf was answered by us
    PATCH = "patch"  # the kernel file was changed before the boot
    HOLD = "hold"  # the guest stood still for a while
    JUMP = "jump"  # a clock was set to another value
    ASK = "ask"  # an instruction of ours was run in the guest, and its traces removed


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stop of the guest, from ``host_ns`` until it went on at ``resumed_ns`` (None: it did not).

    ``why`` is what asked for it (``tc_init``, ``write of tsc_freq``), ``where`` the place in the
    kernel, ``values`` what was printed, by its expression. ``instrument`` is what stopped it:
    ``stub`` all of the guest, ``plugin`` just the vCPU, whose clocks run on (docs/debug.md).
    """

    index: int
    host_ns: int
    resumed_ns: int | None
    vcpu: int
    pc: int
    why: str
    where: str = ""
    values: dict[str, str] | None = None
    backtrace: tuple[str, ...] = ()
    instrument: str = "stub"

    @property
    def reference(self) -> str:
        """How evidence refers to this stop: ``s3``."""
        return f"s{self.index}"

    def to_json(self) -> dict[str, Any]:
        """The stop as JSON types; `from_json` is the way back."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The stop that `to_json` wrote. Raises KeyError, TypeError, ValueError when it is none."""
        stop = cls(**{**row, "backtrace": tuple(row.get("backtrace", ()))})
        require_types(stop)
        return stop


@dataclass(frozen=True, slots=True)
class Intervention:
    """A change that we made: ``what`` says it in words (``tsc_freq = 1 (was 0)``).

    ``stop`` is the index of the stop at which it was made; None: before the boot.
    """

    index: int
    host_ns: int
    kind: Did
    what: str
    stop: int | None = None

    @property
    def reference(self) -> str:
        """How evidence refers to this intervention: ``i0``."""
        return f"i{self.index}"

    def to_json(self) -> dict[str, Any]:
        """The intervention as JSON types; `from_json` is the way back."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The one that `to_json` wrote. Raises KeyError, TypeError, ValueError when it is none."""
        done = cls(**{**row, "kind": Did(row["kind"])})
        require_types(done)
        return done
