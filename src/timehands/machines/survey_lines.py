"""The lines of the survey guest: a strict, bounded reader.

The grammar is told in ``payloads/survey.c``. A line that does not fit it, a fact told twice, or a
missing part raises `SurveyFailed` with the line; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from timehands.clocks.cpuid.layouts import NOTHING, Registers
from timehands.errors import SurveyFailed

#: What a survey may print at most; a real one prints about 8 kB.
MAX_BYTES = 256 << 10
MAX_LINE = 400
MAX_SAMPLES = 512
HEADER = "timehands-survey 1"
_WORD = re.compile(r"-|[0-9a-f]{1,16}", re.ASCII)
_U32 = 1 << 32


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the console and the host time (CLOCK_MONOTONIC) at which it had been read."""

    host_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """All counters at one moment. ``arrived_ns``: when the host knew that it had been taken.

    The TSC was read before and after the others; a counter that does not count is None.
    """

    arrived_ns: int
    tsc: int
    pit: int | None
    lapic: int | None
    hpet: int | None
    acpi_pm: int | None
    tsc_after: int


@dataclass(slots=True)
class Words:
    """What a survey guest said, line by line, not yet interpreted.

    ``devices`` has the words of the lines ``P Q A H K R D F`` by tag (empty: "does not answer"),
    ``device_ns`` when each of them came.
    """

    cpuid: dict[tuple[int, int], Registers] = field(default_factory=dict)
    msrs: dict[int, int | None] = field(default_factory=dict)
    start_info: tuple[int, ...] = ()
    command_line: str = ""
    memory: list[tuple[int, int, int]] = field(default_factory=list)
    devices: dict[str, tuple[int, ...]] = field(default_factory=dict)
    device_ns: dict[str, int] = field(default_factory=dict)
    pace: str = ""
    samples: list[Sample] = field(default_factory=list)
    end_tsc: int | None = None


#: How many words each device's line has when the device answers.
_DEVICE_WORDS: Mapping[str, int] = {"P": 6, "Q": 3, "A": 5, "H": 5, "K": 4, "R": 4, "D": 7, "F": 4}
_OPTIONAL_DEVICES = frozenset("AHKR")


def read_lines(lines: Iterable[Line]) -> Words:
    """What the guest said. Lines before its header (a firmware's) do not count.

    Raises `SurveyFailed` when a line does not fit the grammar, the guest took an exception, or the
    header or the end is missing.
    """
    reader = _Reader()
    for line in lines:
        reader.take(line)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self.words = Words()
        self._begun = False
        self._taken_ns: int | None = None
        self._bytes = 0
        self._kinds: Mapping[str, Callable[[Line, list[str]], None]] = {
            "C": self._cpuid, "G": self._cpuid, "M": self._msr, "I": self._start_info,
            "Y": self._memory, "B": self._pace, "t": self._taken, "S": self._sample,
            "X": self._exception, "E": self._end,
            **dict.fromkeys(_DEVICE_WORDS, self._device),
        }  # fmt: skip

    def take(self, line: Line) -> None:
        self._bytes += len(line.text) + 1
        if self._bytes > MAX_BYTES or len(line.text) > MAX_LINE:
            raise _failed(line, "is more than a survey says")
        if not self._begun:
            self._begun = line.text == HEADER
            return
        if self.words.end_tsc is not None:
            raise _failed(line, "comes after the end")
        if line.text.startswith("L "):
            self.words.command_line = line.text[2:]
            return
        words = line.text.split(" ")
        kind = self._kinds.get(words[0])
        if kind is None:
            raise _failed(line, "has no known tag")
        kind(line, words)

    def finish(self) -> Words:
        if not self._begun:
            raise SurveyFailed("the survey guest said nothing")
        if self.words.end_tsc is None:
            raise SurveyFailed("the survey guest did not come to its end")
        missing = sorted({"P", "Q", "A", "H", "K", "R"} - set(self.words.devices))
        if missing or (0, 0) not in self.words.cpuid or not self.words.pace:
            raise SurveyFailed(
                f"the survey is not complete (missing: {' '.join(missing) or 'C B'})"
            )
        return self.words

    def _cpuid(self, line: Line, words: list[str]) -> None:
        """``C leaf subleaf [registers]``, or ``G leaf [registers]`` above the range's limit."""
        keys = 2 if words[0] == "C" else 1
        numbers = _numbers(line, words, keys, keys + 4)
        if len(numbers) not in (keys, keys + 4) or any(n >= _U32 for n in numbers):
            raise _failed(line, "is no CPUID answer")
        key = (numbers[0], numbers[1] if keys == 2 else 0)
        if key in self.words.cpuid:
            raise _failed(line, "tells a leaf twice")
        self.words.cpuid[key] = Registers(*numbers[keys:]) if numbers[keys:] else NOTHING

    def _msr(self, line: Line, words: list[str]) -> None:
        refused = words[2:] == ["-"]
        numbers = _numbers(line, words[:2] if refused else words, 1 if refused else 2, 2)
        if numbers[0] in self.words.msrs:
            raise _failed(line, "tells an MSR twice")
        self.words.msrs[numbers[0]] = None if refused else numbers[1]

    def _start_info(self, line: Line, words: list[str]) -> None:
        if words[1:] != ["-"]:
            self.words.start_info = tuple(_numbers(line, words, 5, 5))

    def _memory(self, line: Line, words: list[str]) -> None:
        address, size, kind = _numbers(line, words, 3, 3)
        self.words.memory.append((address, size, kind))

    def _device(self, line: Line, words: list[str]) -> None:
        tag = words[0]
        if tag in self.words.devices:
            raise _failed(line, "tells a device twice")
        absent = words[1:] == ["-"] and tag in _OPTIONAL_DEVICES
        count = _DEVICE_WORDS[tag]
        self.words.devices[tag] = () if absent else tuple(_numbers(line, words, count, count))
        self.words.device_ns[tag] = line.host_ns

    def _pace(self, line: Line, words: list[str]) -> None:
        if words[1:] not in (["host"], ["self"]):
            raise _failed(line, "names no pace")
        self.words.pace = words[1]
        self.words.samples.clear()

    def _taken(self, line: Line, words: list[str]) -> None:
        if len(words) != 1:
            raise _failed(line, "says too much")
        self._taken_ns = line.host_ns

    def _sample(self, line: Line, words: list[str]) -> None:
        if self._taken_ns is None or len(words) != 7 or len(self.words.samples) >= MAX_SAMPLES:
            raise _failed(line, "is no sample")
        counts = [None if word == "-" else _number(line, word) for word in words[1:]]
        tsc, pit, lapic, hpet, acpi_pm, tsc_after = counts
        if tsc is None or tsc_after is None:
            raise _failed(line, "has no TSC")
        sample = Sample(self._taken_ns, tsc, pit, lapic, hpet, acpi_pm, tsc_after)
        self.words.samples.append(sample)
        self._taken_ns = None

    def _exception(self, line: Line, words: list[str]) -> None:
        vector, code, eip = _numbers(line, words, 3, 3)
        raise SurveyFailed(
            f"the survey guest took exception {vector} (error code {code:#x}) at {eip:#x}",
            advice="This CPU model lacks what the survey needs (CPUID and RDTSC): try -cpu max.",
        )

    def _end(self, line: Line, words: list[str]) -> None:
        self.words.end_tsc = _numbers(line, words, 1, 1)[0]


def _numbers(line: Line, words: list[str], least: int, most: int) -> list[int]:
    """The words after the tag as numbers, if there are so many of them."""
    if not least <= len(words) - 1 <= most:
        raise _failed(line, f"has {len(words) - 1} words, not {least} to {most}")
    return [_number(line, word) for word in words[1:]]


def _number(line: Line, word: str) -> int:
    if not _WORD.fullmatch(word) or word == "-":
        raise _failed(line, f"has {word[:20]!r} where a number belongs")
    return int(word, 16)


def _failed(line: Line, why: str) -> SurveyFailed:
    shown = line.text[:80]
    return SurveyFailed(f"the survey guest's line {shown!r} {why}", output=line.text[:MAX_LINE])
