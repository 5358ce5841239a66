"""C expressions over a guest's memory: ``cpu_feature & CPUID_TSC``, ``tc->tc_name``.

::

    environment = Environment(reading, types=kernel.type_source, constants={"CPUID_TSC": 0x10})
    value = evaluate("cpu_feature & CPUID_TSC", environment)
    change = assign("tsc_freq = 2500000000", environment)
"""

from timehands.kernels.expressions.environment import Environment
from timehands.kernels.expressions.evaluate import evaluate
from timehands.kernels.expressions.parser import parse, parse_assignment
from timehands.kernels.expressions.store import SetMemory, SetRegister, assign

__all__ = [
    "Environment",
    "SetMemory",
    "SetRegister",
    "assign",
    "evaluate",
    "parse",
    "parse_assignment",
]
