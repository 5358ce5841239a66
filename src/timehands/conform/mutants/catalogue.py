"""All mutants, by name, in the order of their areas."""

from __future__ import annotations

from collections.abc import Mapping

from timehands.conform.mutants import chips, pauses, protocol, record, registers, told, tsc, wall
from timehands.conform.mutants.mutant import Mutant

MUTANTS: Mapping[str, Mutant] = {
    mutant.name: mutant
    for area in (told, tsc, registers, record, protocol, wall, chips, pauses)
    for mutant in area.MUTANTS
}
