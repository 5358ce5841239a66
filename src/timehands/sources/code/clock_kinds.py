"""The kinds of clocks that kernels register: by which functions, in which structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ClockKind:
    """A kind of clock. ``registrars``: function to (argument of the frequency, its unit)."""

    kind: str
    structure: str
    registrars: dict[str, tuple[int, str] | None]
    name: str
    frequency: str
    quality: str
    reader: str

    @property
    def members(self) -> dict[str, str]:
        """The structure's members, and what each of them is."""
        return {
            self.name: "name",
            self.frequency: "frequency",
            self.quality: "quality",
            self.reader: "reader",
        }


#: sys/timetc.h and sys/timeet.h of the BSDs; linux/clocksource.h and linux/clockchips.h.
KINDS: Final = (
    ClockKind("timecounter", "timecounter", {"tc_init": None},
              "tc_name", "tc_frequency", "tc_quality", "tc_get_timecount"),
    ClockKind("event timer", "eventtimer", {"et_register": None},
              "et_name", "et_frequency", "et_quality", "et_start"),
    ClockKind("clocksource", "clocksource",
              {"clocksource_register": None, "clocksource_register_hz": (1, "Hz"),
               "clocksource_register_khz": (1, "kHz"), "__clocksource_register": None,
               "__clocksource_register_scale": (2, "Hz")},
              "name", "freq_khz", "rating", "read"),
    ClockKind("clockevent", "clock_event_device",
              {"clockevents_register_device": None, "clockevents_config_and_register": (1, "Hz")},
              "name", "mult", "rating", "set_next_event"),
)  # fmt: skip
