"""How a boot ended, told from what the machine did and what the kernel's knowledge adds."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass

from timehands.kernels.emulated import FLAGS, name_of
from timehands.story.model import Outcome, OutcomeKind, References
from timehands.watch.recording import Recording, Spot
from timehands.watch.stuck import stuck_in

#: QEMU's note of one (target/i386/tcg/system/excp_helper.c, target/i386/kvm/kvm.c).
_TRIPLE_FAULT = "Triple fault"
#: How the text of a panic's outcome begins, before the kernel's own message.
PANICKED = "the kernel panicked: "
#: In KVM's words for an internal error of its emulator.
_EMULATION = "emulat"
#: So many bytes of an instruction are enough to know it by.
_SHOWN_CODE = 8
_RESET_RIP = re.compile(r"\b[RE]IP=([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Signs:
    """What the knowledge of an operating system found in a recording.

    ``panic`` is the kernel's own message; ``restart`` is whether the kernel asked for the reset
    itself; ``busy_in`` is the innermost watched function that was entered and not left.
    """

    init: References = ()
    finished: bool = False
    panic: str | None = None
    panic_evidence: References = ()
    restart: bool = False
    busy_in: str | None = None


def outcome_of(recording: Recording, signs: Signs) -> Outcome:
    """The outcome of a recording."""
    at = recording.since_start(recording.header.ended_ns or _last_seen_ns(recording))
    kind, text, where = _tell(recording, signs)
    evidence = signs.panic_evidence if kind is OutcomeKind.PANICKED else signs.init
    return Outcome(kind, text, at, where, evidence)


def _last_seen_ns(recording: Recording) -> int:
    """When a recording that was cut off last showed something."""
    events = (event.host_ns for event in recording.events)
    lines = (line.host_ns for line in recording.console)
    return max(itertools.chain(events, lines), default=recording.header.started_ns)


def _tell(recording: Recording, signs: Signs) -> tuple[OutcomeKind, str, str | None]:
    reason = recording.header.ended_reason or "interrupted"
    if reason == "lost":
        return OutcomeKind.VM_LOST, *_lost(recording)
    if signs.panic is not None:
        return OutcomeKind.PANICKED, f"{PANICKED}{signs.panic}", None
    if signs.init:
        return OutcomeKind.INIT_REACHED, _after_init(reason, signs.finished), None
    return _before_init(recording, signs, reason)


def _after_init(reason: str, finished: bool) -> str:
    if finished:
        return "init was reached and ended the machine"
    after = {
        "boundary": "init was reached; the boot was ended there as asked",
        "idle": "init was reached; then the guest was idle",
        "hung": "init was reached; then the guest ran nothing new",
        "halted": "init was reached; then the guest halted",
        "timeout": "init was reached; the guest still ran when the time was over",
        "guest-reset": "init was reached; then the guest reset the machine",
        "guest-shutdown": "init was reached; then the guest switched the machine off",
        "interrupted": "init was reached; then the boot was interrupted",
        "stopped": "init was reached; then we ended it",
    }
    return after.get(reason, f"init was reached; then: {reason}")


def _before_init(
    recording: Recording, signs: Signs, reason: str
) -> tuple[OutcomeKind, str, str | None]:
    where = busiest(recording, recording.header.spots)
    match reason:
        case "guest-reset" if signs.restart:
            return OutcomeKind.RESET, "the kernel restarted the machine before init", None
        case "guest-reset":
            where = _reset_place(recording)
            place = f" at {where}" if where else ""
            fault = _TRIPLE_FAULT in recording.reset_log
            noted = f"not by a triple fault that {recording.header.machine.vmm} noted"
            how = "a triple fault" if fault else noted
            return OutcomeKind.RESET, f"the machine was reset{place}: {how}", where
        case "guest-shutdown":
            return OutcomeKind.HALTED, "the guest switched the machine off before init", None
        case "halted":
            return OutcomeKind.HALTED, "halted with interrupts off: nothing can wake it", where
        case "idle":
            text = "idle before init: it waits for an interrupt that does not come"
            return OutcomeKind.HUNG, _within(text, signs), where
        case "hung":
            place = f" in {where}" if where else ""
            text = f"it spins{place} and runs nothing new"
            return OutcomeKind.HUNG, text if where == signs.busy_in else _within(text, signs), where
        case "timeout":
            text = _within("the time was over before init was reached", signs)
            return OutcomeKind.TIMED_OUT, text, where
        case "boundary":
            return OutcomeKind.STOPPED, "ended at the boundary that was asked for", None
        case "stopped":
            return OutcomeKind.STOPPED, "we ended it before init was reached", where
        case _:
            return OutcomeKind.STOPPED, f"ended before init: {reason}", where


def _within(text: str, signs: Signs) -> str:
    return f"{text} (within {signs.busy_in})" if signs.busy_in else text


def _lost(recording: Recording) -> tuple[str, str | None]:
    """What ended a machine that did not end by itself, and where the guest was then."""
    header = recording.header
    if header.machine.type == "monitor":
        return _stuck(recording)
    words = header.stderr.strip().splitlines()
    said = f": {words[-1]}" if words else ""
    return f"QEMU died (exit status {header.exit_status}){said}", None


def _stuck(recording: Recording) -> tuple[str, str | None]:
    """KVM could not go on: what it said, the instruction, its bytes, the function."""
    stuck = stuck_in(recording.machine_events)
    if stuck is None:
        return (
            f"the monitor lost its guest: {recording.header.stderr or 'it does not say why'}",
            None,
        )
    if stuck.pc is None:
        return stuck.words, None
    where = recording.symbols.get(stuck.pc)
    place = f"{where} ({stuck.pc:#x})" if where else f"{stuck.pc:#x}"
    name = name_of(stuck.code)
    if _EMULATION not in stuck.words:
        return f"{stuck.words}, at {place}", where
    what = f"{name}, " if name else ""
    code = f"code {stuck.code[:_SHOWN_CODE].hex(' ')}" if stuck.code else "its code cannot be read"
    flag = FLAGS.get(name or "")
    hide = f"; --cpu host,-{flag} hides it from the guest" if flag else ""
    return f"KVM cannot emulate this instruction here: {what}at {place}, {code}{hide}", where


def _reset_place(recording: Recording) -> str | None:
    """Where the vCPU was at its last reset, by QEMU's own note of it."""
    found = _RESET_RIP.findall(recording.reset_log)
    if not found:
        return None
    address = int(found[-1], 16)
    return recording.symbols.get(address, f"0x{address:x}")


def reset_addresses(reset_log: str) -> tuple[int, ...]:
    """The instruction pointers in QEMU's note of CPU resets."""
    return tuple(int(text, 16) for text in _RESET_RIP.findall(reset_log))


def busiest(recording: Recording, spots: tuple[Spot, ...]) -> str | None:
    """The function in which the vCPUs were seen most often; its address without symbols."""
    running = [spot for spot in spots if not spot.halted] or list(spots)
    names = Counter(
        recording.symbols.get(spot.pc, f"0x{spot.pc:x}").split("+")[0] for spot in running
    )
    return names.most_common(1)[0][0] if names else None
