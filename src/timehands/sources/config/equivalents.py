"""How a configuration stands to what kernels of all systems have, by whatever name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from timehands.sources.config.model import Chain, Configuration, Setting, State
from timehands.sources.config.subjects import SUBJECTS

_ELSE = "else "
_PLACE = re.compile(r"[0-9*?]+$")


@dataclass(frozen=True, slots=True)
class Meant:
    """What stands for a subject in a configuration: settings, or the line that compiles a file.

    ``known`` is False when the system has nothing of the kind.
    """

    on: bool
    known: bool
    words: str = ""
    value: str | None = None
    chain: Chain = ()


def subjects() -> tuple[str, ...]:
    """The subjects, in the order of the table."""
    return tuple(SUBJECTS)


def meaning(configuration: Configuration, subject: str) -> Meant:
    """How a configuration stands to a subject."""
    candidates = SUBJECTS[subject].get(configuration.system)
    if candidates is None:
        return Meant(False, False)
    default = next((one for one in candidates if one.startswith(_ELSE)), None)
    answers = [_answer(configuration, one) for one in candidates if one != default]
    told = next((answer for answer in answers if answer.on or answer.value == ""), None)
    if told is None and default is not None:
        return Meant(True, True, default.removeprefix(_ELSE))
    return told or answers[0]


def _answer(configuration: Configuration, candidate: str) -> Meant:
    if " at " in candidate:
        return _device(configuration, candidate)
    if "/" in candidate and " " not in candidate:
        reason = configuration.files.get(candidate)
        reason = reason or configuration.files.get(candidate.removeprefix("sys/"))
        chain = reason.chain if reason else ()
        return Meant(reason is not None, True, candidate, None, chain)
    kind, _, name = candidate.partition(" ")
    kinds = {"option": ("options", "option")}.get(kind, (kind,))
    found = [configuration.settings[k, name] for k in kinds if (k, name) in configuration.settings]
    return _setting(found[0]) if found else Meant(False, True, candidate)


def _setting(setting: Setting) -> Meant:
    words = f"{setting.kind} {setting.name}"
    value = None if setting.kind == "device" else setting.value
    return Meant(setting.on and value != "", True, words, value, setting.chain)


def _device(configuration: Configuration, candidate: str) -> Meant:
    """``virtio at pci`` stands for ``virtio* at pci?``, ``virtio0 at pci0``, ..."""
    settings: Mapping[str, Setting] = configuration.devices
    for name, setting in settings.items():
        device, _, place = name.partition(" at ")
        plain = f"{_PLACE.sub('', device)} at {_PLACE.sub('', place)}"
        if plain == candidate and setting.state is not State.REMOVED:
            return _setting(setting)
    return Meant(False, True, candidate)
