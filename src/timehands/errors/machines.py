"""This host, a machine, or its survey: what it lacks or refuses."""

from __future__ import annotations

from errno import errorcode
from os import strerror
from pathlib import Path

from timehands.errors.base import TimehandsError


class HostError(TimehandsError):
    """This host lacks something. ``mend`` is the command that mends it, or empty."""

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message, advice=f"To mend it: {mend}" if mend else "")
        self.mend = mend


class QemuMissing(HostError):
    """No usable qemu-system-x86_64 was found."""


class CompilerMissing(HostError):
    """No C compiler was found, or it failed; ``output`` is what it printed."""

    def __init__(self, message: str, *, mend: str = "", output: str = "") -> None:
        super().__init__(f"{message}\n{output}" if output else message, mend=mend)
        self.output = output


class PluginUnavailable(HostError):
    """QEMU is there, but cannot load a TCG plugin that reads registers (plugin API 4)."""


class AcceleratorUnavailable(HostError):
    """The accelerator asked for is not to be had on this host."""


class VmmMissing(HostError):
    """A virtual machine monitor that was named is not there, or cannot be run."""


class ExtraMissing(HostError):
    """A library that only some of the work needs is not installed. ``library`` is its name."""

    def __init__(self, library: str, *, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed",
            mend=f"pip install 'timehands[{extra}]'",
        )
        self.library = library


class KvmUnavailable(HostError):
    """``device`` cannot be used as KVM: ``reason`` says why, in words.

    ``exists`` and ``opens`` tell how far we came; ``api_version`` is what it answered, or None.
    """

    def __init__(
        self,
        reason: str,
        *,
        device: Path,
        exists: bool = True,
        opens: bool = True,
        api_version: int | None = None,
        mend: str = "",
    ) -> None:
        super().__init__(f"{device}: {reason}", mend=mend)
        self.reason, self.device = reason, device
        self.exists, self.opens, self.api_version = exists, opens, api_version


class KvmLacks(HostError):
    """The KVM of this host lacks ``capability`` (KVM_CAP_...), which ``wanted`` needs."""

    def __init__(self, capability: str, *, wanted: str, words: str = "") -> None:
        of = f" ({words})" if words else ""
        super().__init__(f"{wanted} needs {capability}{of}, which this host's KVM does not have")
        self.capability, self.wanted = capability, wanted


class MachineError(TimehandsError):
    """A machine cannot be made as described."""


class KvmRefused(MachineError):
    """KVM refused ``request`` (an ioctl's name); ``on`` says which object.

    ``errno`` is 0 when the request did a part of its work without saying why not the rest.
    """

    def __init__(self, request: str, *, on: str, errno: int = 0, needs: str = "") -> None:
        why = f": {strerror(errno)} ({errorcode.get(errno, errno)})" if errno else ""
        advice = f"{request} needs {needs}." if needs else ""
        super().__init__(f"{on}: {request} failed{why}", advice=advice)
        self.request, self.on, self.errno = request, on, errno


class BreakpointImpossible(MachineError):
    """A guest of the monitor cannot be stopped at a ``point``; ``reason`` says why."""

    def __init__(self, point: object, reason: str, *, advice: str = "") -> None:
        super().__init__(f"{point} cannot be: {reason}", advice=advice)
        self.point, self.reason = point, reason


class QemuFailed(MachineError):
    """QEMU ended before a guest ran; ``stderr`` is what it said, ``command`` what was run."""

    def __init__(self, message: str, *, command: tuple[str, ...] = (), stderr: str = "") -> None:
        whole = f"{message}\n{stderr.rstrip()}" if stderr.strip() else message
        super().__init__(whole, advice=_advice_on(stderr))
        self.command = command
        self.stderr = stderr


class QemuRefused(QemuFailed):
    """QEMU answered a command with an error: it goes on, the command did nothing."""


#: What QEMU says when it refuses a machine, and what to do about it.
_ADVICE = {
    "failed to set MSR 0x10a": "This KVM lacks an MSR: give --cpu host,-arch-capabilities.",
    "Could not access KVM kernel module": "This host has no usable /dev/kvm: see timehands doctor.",
    "failed to initialize kvm": "This host has no usable /dev/kvm: see timehands doctor.",
}


def _advice_on(stderr: str) -> str:
    return next((advice for words, advice in _ADVICE.items() if words in stderr), "")


class SurveyFailed(TimehandsError):
    """The survey guest did not finish, or what it printed made no sense; ``output`` is that."""

    def __init__(self, message: str, *, output: str = "", advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.output = output
