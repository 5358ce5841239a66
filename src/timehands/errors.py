"""Every error that a user of Timehands can see, as one tree.

::

    TimehandsError
    ├── UsageError              what was asked does not make sense
    │   ├── ExpressionError     a C expression is wrong, or has no value
    │   ├── NoSuchMember        a structure has no member of that name
    │   ├── SourceUnknown       no source file or line of that name, or several
    │   ├── PatchImpossible     a change of a kernel's data cannot be made
    │   ├── FrequencyOutOfRange a frequency for which a clock's arithmetic has no answer
    │   └── ScenarioError       a scenario of a simulation is wrong, or asks for too much
    ├── RecordTooShort          fewer bytes than a clock's record has
    ├── ValueUnreadable         a value of the guest cannot be read, or is nowhere
    ├── KernelError             a kernel file cannot be used
    │   ├── KernelUnreadable    missing, not a file, no permission
    │   ├── NotAKernel          readable, but no kernel of a known format
    │   ├── KernelDamaged       truncated, bit-flipped, or larger than its bounds
    │   └── WrongArchitecture   a kernel, for another processor
    ├── HostError               this host lacks something; ``mend`` says what to run
    │   ├── QemuMissing
    │   ├── CompilerMissing
    │   ├── PluginUnavailable   QEMU cannot load TCG plugins that read registers
    │   ├── AcceleratorUnavailable
    │   ├── KvmUnavailable      /dev/kvm is not there, may not be opened, or is no KVM
    │   ├── KvmLacks            the KVM of this host lacks a capability
    │   ├── VmmMissing          a virtual machine monitor that was named cannot be run
    │   └── ExtraMissing        a library that only some of the work needs is not installed
    ├── MachineError            a machine cannot be made, or QEMU refused it
    │   ├── QemuFailed          QEMU ended before a guest ran
    │   ├── KvmRefused          KVM refused a request
    │   └── BreakpointImpossible a guest cannot be stopped at that point
    ├── SurveyFailed            the survey guest ran, but did not finish or made no sense
    ├── GdbError                something went wrong with a stub of the GDB remote protocol
    │   ├── StubGone            it closed the connection, or there is none
    │   ├── StubSilent          it did not answer in time
    │   ├── StubRefused         it answered with an error, or does not know the request
    │   ├── ProtocolBroken      it sent what the protocol does not allow
    │   └── WrongState          asked at a moment when that cannot be asked
    ├── CannotSteer             a change that the guest or its machine does not let us make
    ├── CpuidDumpDamaged        a file is no dump in the format of ``cpuid -r``
    ├── TslogDamaged            a text is no boot log in the format of ``sysctl debug.tslog``
    ├── CampaignError           a campaign of simulations cannot be run, or not to its end
    │   ├── CampaignRefused     the folder holds another campaign, or is used by another process
    │   ├── SeedFailed          one seed's run failed
    │   ├── WorkersLost         the processes that do the work died again and again
    │   └── ClusterUnavailable  the Dask scheduler does not answer, or has no workers
    ├── SourcesError            something is wrong with a source tree
    │   ├── TreeUnusable        no folder, or it may not be read
    │   ├── FileUnusable        a file of it is missing, too large, or outside of it
    │   ├── ConfigurationUnknown  no kernel configuration of that name
    │   ├── HistoryUnavailable  no repository, or one that cannot be read
    │   └── PastedLogUnusable   a pasted log in which no revision was found
    └── RecordingError          a recording cannot be written or opened
        └── RecordingDamaged

The message says what happened and to what; ``advice`` says what to do next; the evidence is kept
as attributes.
"""

from __future__ import annotations

from errno import errorcode
from os import strerror
from pathlib import Path


class TimehandsError(Exception):
    """The root. ``str(error)`` is the whole message that the user reads, advice included."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message


class UsageError(TimehandsError):
    """What was asked does not make sense."""


class ExpressionError(UsageError):
    """A C expression is wrong, or has no value. ``text`` is the whole, ``position`` from 0."""

    def __init__(
        self, message: str, *, text: str = "", position: int = 0, advice: str = ""
    ) -> None:
        shown = f"{message}\n    {text}\n    {' ' * position}^" if text else message
        super().__init__(shown, advice=advice)
        self.reason, self.text, self.position = message, text, position


class NoSuchMember(UsageError, AttributeError):
    """A structure has no member of that name. ``near`` are names like it."""

    def __init__(self, message: str, *, near: tuple[str, ...] = ()) -> None:
        super().__init__(message, advice=f"Perhaps {', '.join(near)}." if near else "")
        self.near = near


class SourceUnknown(UsageError):
    """No source file or line of that name has code, or several do: ``candidates``."""

    def __init__(self, message: str, *, candidates: tuple[str, ...] = (), advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.candidates = candidates


class PatchImpossible(UsageError):
    """A change of a kernel's data cannot be made. ``words`` is the change as it was asked for."""

    def __init__(self, message: str, *, words: str, advice: str = "") -> None:
        super().__init__(f"the patch {words!r} cannot be made: {message}", advice=advice)
        self.words = words


class FrequencyOutOfRange(UsageError, ValueError):
    """A frequency for which a clock's arithmetic has no answer. ``name``, ``value``, ``limit``."""

    def __init__(self, name: str, value: int, limit: int) -> None:
        super().__init__(
            f"{name} is {value:,}, which no clock can be scaled from",
            advice=f"It goes from 1 to {limit:,}.",
        )
        self.name, self.value, self.limit = name, value, limit


class ScenarioError(UsageError):
    """A scenario of a simulation is wrong.

    ``key`` is where, ``possible`` what it may be, ``source`` the file (empty for one made in
    Python).
    """

    def __init__(
        self, message: str, *, possible: str = "", key: str = "", source: str = ""
    ) -> None:
        shown = f"{source}: {message}" if source else message
        super().__init__(shown, advice=f"Possible: {possible}." if possible else "")
        self.reason, self.possible, self.key, self.source = message, possible, key, source


class RecordTooShort(TimehandsError, ValueError):
    """Fewer bytes than a clock's record has. ``what``, ``needed`` and ``got`` (bytes)."""

    def __init__(self, what: str, needed: int, got: int) -> None:
        super().__init__(f"{what} has {needed} bytes; here are {got}")
        self.what, self.needed, self.got = what, needed, got


class ValueUnreadable(TimehandsError):
    """A value of the guest cannot be read. ``address`` is None when it is nowhere."""

    def __init__(self, message: str, *, address: int | None = None) -> None:
        super().__init__(message)
        self.address = address


class KernelError(TimehandsError):
    """A kernel file cannot be used. ``path`` is the file, None when it came from memory."""

    def __init__(self, message: str, *, path: Path | None = None, advice: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message, advice=advice)
        self.path = path


class KernelUnreadable(KernelError):
    """The file is missing, is not a regular file, or may not be read."""


class NotAKernel(KernelError):
    """The file can be read but holds no kernel of a known format."""


class KernelDamaged(KernelError):
    """The file claims a format and then breaks it: truncated, flipped, or beyond its bounds."""


class WrongArchitecture(KernelError):
    """A kernel, but not for x86-64. ``machine`` is what the file says it is for."""

    def __init__(self, machine: str, *, path: Path | None = None) -> None:
        super().__init__(
            f"this kernel is for {machine}, not for x86-64",
            path=path,
            advice="Timehands boots x86-64 kernels only.",
        )
        self.machine = machine


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


class GdbError(TimehandsError):
    """Something went wrong with a stub of the GDB remote protocol.

    ``sent`` is the request and ``received`` what came (payloads of packets, at most 200 bytes),
    ``state`` the client's state then, as a word.
    """

    def __init__(
        self,
        message: str,
        *,
        sent: bytes = b"",
        received: bytes = b"",
        state: str = "",
        advice: str = "",
    ) -> None:
        super().__init__(message, advice=advice)
        self.sent = sent[:200]
        self.received = received[:200]
        self.state = state


class StubGone(GdbError):
    """The stub closed the connection (its guest's machine may have died), or there is none."""


class StubSilent(GdbError):
    """The stub did not answer in time. Nothing more can be asked: a late answer would be wrong."""


class StubRefused(GdbError):
    """The stub answered with an error (``received`` is ``E..``) or does not know the request."""


class ProtocolBroken(GdbError):
    """The stub sent what the protocol does not allow, or contradicts what it said before."""


class WrongState(GdbError):
    """Asked at a moment when that cannot be asked: the message says what to call first."""


class CannotSteer(TimehandsError):
    """A change that the guest or its machine does not let us make. The guest is as it was."""


class CpuidDumpDamaged(TimehandsError):
    """A text is no dump in the format of ``cpuid -r``. ``line`` counts from 1; 0: the whole."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(
            f"line {line}: {message}" if line else message,
            advice="Make a dump with: cpuid -1 -r > FILE",
        )
        self.line = line


class TslogDamaged(TimehandsError):
    """A text is no boot log of FreeBSD's or NetBSD's TSLOG. ``line`` counts from 1."""

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(
            f"line {line}: {message}",
            advice="A log is made in the guest with: sysctl -b debug.tslog > FILE",
        )
        self.line = line


class CampaignError(TimehandsError):
    """A campaign of simulations cannot be run, or not to its end. What was done is kept."""


class CampaignRefused(CampaignError):
    """A folder cannot take this campaign's results: ``path`` is the folder. It is as it was."""

    def __init__(self, message: str, *, path: Path, advice: str = "") -> None:
        super().__init__(f"{path}: {message}", advice=advice)
        self.path = path


class SeedFailed(CampaignError):
    """The run of one seed failed; ``seed`` is which, ``traceback`` where."""

    def __init__(self, seed: int, message: str, *, traceback: str = "") -> None:
        super().__init__(
            f"the run of seed {seed} failed: {message}",
            advice=f"The seeds before it are kept. Run it alone with --seed {seed} to see more.",
        )
        self.seed = seed
        self.traceback = traceback


class WorkersLost(CampaignError):
    """The processes that do the work died again and again; ``seeds`` were in their hands."""

    def __init__(self, seeds: range, *, how: str) -> None:
        span = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
        super().__init__(
            f"workers died again and again with the seeds {span} in hand ({how})",
            advice="What was done is kept. Look for a lack of memory (dmesg), and run these seeds "
            "alone with --jobs 1.",
        )
        self.seeds = seeds


class ClusterUnavailable(CampaignError):
    """The Dask scheduler does not answer, or has no workers that can do the work."""


class SourcesError(TimehandsError):
    """Something is wrong with a source tree, its configuration or its history."""


class TreeUnusable(SourcesError):
    """There is no source tree at ``path``, or it may not be read."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(f"{path}: {message}", advice="Name a source tree, as /usr/src.")
        self.path = path


class FileUnusable(SourcesError):
    """A file of a tree cannot be read. ``file`` is its path within the tree, ``reason`` why."""

    def __init__(self, reason: str, *, file: str, advice: str = "") -> None:
        super().__init__(f"{file}: {reason}", advice=advice)
        self.file, self.reason = file, reason


class ConfigurationUnknown(SourcesError):
    """A tree has no kernel configuration of that ``name``."""

    def __init__(self, message: str, *, name: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.name = name


class HistoryUnavailable(SourcesError):
    """There is no history to be read at ``path``: no repository, or a broken one."""

    def __init__(self, message: str, *, path: Path, advice: str = "") -> None:
        super().__init__(f"{path}: {message}", advice=advice)
        self.path = path


class PastedLogUnusable(SourcesError):
    """A pasted text is no log in a form that is known. ``path`` is where it was read from."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(
            f"{path}: {message}",
            advice="Known are git log, and the log pages of GitHub, cgit and cvsweb or ViewVC.",
        )
        self.path = path


class RecordingError(TimehandsError):
    """A recording cannot be written or opened. ``path`` is its folder."""

    def __init__(self, message: str, *, path: Path, advice: str = "") -> None:
        super().__init__(f"{path}: {message}", advice=advice)
        self.path = path


class RecordingDamaged(RecordingError):
    """The folder is there, but what is in it cannot be understood."""


class SnapshotError(TimehandsError):
    """A snapshot cannot be taken, or restored. ``path`` is its folder."""

    def __init__(self, message: str, *, path: Path, advice: str = "") -> None:
        super().__init__(f"{path}: {message}", advice=advice)
        self.path = path


class SnapshotDamaged(SnapshotError):
    """The folder is there, but it is no snapshot, or not all of one, or not as it was written."""


class SnapshotRefused(SnapshotError):
    """This host cannot give the guest what the snapshot needs: the message says what."""
