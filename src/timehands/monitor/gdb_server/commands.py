"""What ``monitor COMMAND`` in gdb says of a guest that stands still."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timehands.monitor.microvm import Microvm
from timehands.monitor.whereabouts import whereabouts


def run_command(guest: Microvm, words: str) -> str:
    """The text that a command prints. Raises `KvmRefused`."""
    command = COMMANDS.get(words.strip())
    if command is None:
        return f"There is no command {words[:40]!r}.\n{_help(guest)}"
    return command[1](guest)


def thread_words(guest: Microvm, vcpu: int) -> str:
    """What ``info threads`` says of one. Raises `KvmRefused`."""
    return str(whereabouts(guest.vcpus[vcpu], guest.vm.memory)).partition(", at ")[0]


def _help(_guest: Microvm) -> str:
    return "".join(f"{name:<8} {words}\n" for name, (words, _) in COMMANDS.items())


def _where(guest: Microvm) -> str:
    return "".join(f"{each}\n" for each in guest.whereabouts())


def _exits(guest: Microvm) -> str:
    return "".join(f"{count:>12,} {name}\n" for name, count in guest.exits.items())


def _time(guest: Microvm) -> str:
    now_ns, khz = guest.time.now_ns(), guest.tsc_khz
    return f"ran for {now_ns / 1e9:.6f} s; TSC of {khz:,} kHz\n"


COMMANDS: Mapping[str, tuple[str, Callable[[Microvm], str]]] = {
    "help": ("these lines", _help),
    "where": ("where each vCPU is", _where),
    "exits": ("how often vCPUs came out of the guest, and why", _exits),
    "time": ("how long the guest ran, and its TSC's rate", _time),
}
