"""What a campaign keeps of each run: one row for every vCPU, and one for all of them together.

The columns, their order and their types are fixed: people's notebooks hang on them. A figure beyond
±(2^63 - 1) (a clock that is centuries off) is kept as that bound: Parquet's integers end there.
"""

from __future__ import annotations

from typing import NamedTuple

#: The vCPU of the row that holds the figures of all vCPUs together.
ALL_VCPUS = -1
_BOUND = 2**63 - 1


class Row(NamedTuple):
    """The figures of one vCPU (or of all: `ALL_VCPUS`) in the run of one seed."""

    #: Which campaign it is of: the SHA-256 of the scenario as it was run, 64 hexadecimal digits.
    scenario: str
    seed: int
    provider: str
    reader: str
    #: From 0; `ALL_VCPUS` for all of them together.
    vcpu: int
    #: How often the guest read its clock.
    reads: int
    #: Reads that gave less than a read before them, and the largest step back.
    warps: int
    worst_warp_ns: int
    #: The same in the order of all vCPUs' reads; None in the row of one vCPU.
    warps_across: int | None
    worst_warp_across_ns: int | None
    #: Reads that gave the same as the one before, and how long the clock stood still at most.
    stalls: int
    worst_stall_ns: int
    #: The clock's rate against true time over the whole run, and over the stretch between events
    #: in which it was worst; None where there was too little to tell it from.
    rate_error_ppb: int | None
    worst_rate_error_ppb: int | None
    #: The clock less what it should have shown: at the last read, and where it was furthest off.
    offset_last_ns: int | None
    offset_worst_ns: int | None
    #: The furthest jump at an event (restore, migration, ...); None where there was none.
    worst_jump_ns: int | None
    #: Reads that the reader's rules refused.
    refused: int
    #: What the scenario expects and did not come; the same in all rows of a seed.
    unmet: int
    #: How long the run took, on the host; the one column that differs from run to run.
    wall_ns: int

    def bounded(self) -> Row:
        """The row with every number within Parquet's 64 bits."""
        return Row._make(_bound(value) for value in self)


#: The columns that hold a figure of the clock, in their order: a summary has a line for each.
FIGURES = (
    "warps", "worst_warp_ns", "warps_across", "worst_warp_across_ns", "stalls", "worst_stall_ns",
    "rate_error_ppb", "worst_rate_error_ppb", "offset_last_ns", "offset_worst_ns", "worst_jump_ns",
    "refused",
)  # fmt: skip
#: Those that are bad in both directions.
SIGNED = (
    "rate_error_ppb", "worst_rate_error_ppb", "offset_last_ns", "offset_worst_ns", "worst_jump_ns",
)  # fmt: skip


def _bound(value: str | int | None) -> str | int | None:
    return max(-_BOUND, min(_BOUND, value)) if isinstance(value, int) else value
