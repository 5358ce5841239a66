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
    ├── RecordingError          a recording cannot be written or opened
    │   └── RecordingDamaged
    └── SnapshotError           a snapshot cannot be written or opened
        ├── SnapshotDamaged
        └── SnapshotRefused     it needs what this host lacks, or is of another machine

The message says what happened and to what; ``advice`` says what to do next; the evidence is kept
as attributes.
"""

from __future__ import annotations

from timehands.errors.base import (
    TimehandsError,
)
from timehands.errors.campaigns import (
    CampaignError,
    CampaignRefused,
    ClusterUnavailable,
    SeedFailed,
    WorkersLost,
)
from timehands.errors.files import (
    CpuidDumpDamaged,
    RecordingDamaged,
    RecordingError,
    SnapshotDamaged,
    SnapshotError,
    SnapshotRefused,
    TslogDamaged,
)
from timehands.errors.gdb import (
    CannotSteer,
    GdbError,
    ProtocolBroken,
    StubGone,
    StubRefused,
    StubSilent,
    WrongState,
)
from timehands.errors.kernels import (
    KernelDamaged,
    KernelError,
    KernelUnreadable,
    NotAKernel,
    WrongArchitecture,
)
from timehands.errors.machines import (
    AcceleratorUnavailable,
    BreakpointImpossible,
    CompilerMissing,
    ExtraMissing,
    HostError,
    KvmLacks,
    KvmRefused,
    KvmUnavailable,
    MachineError,
    PluginUnavailable,
    QemuFailed,
    QemuMissing,
    QemuRefused,
    SurveyFailed,
    VmmMissing,
)
from timehands.errors.sources import (
    ConfigurationUnknown,
    FileUnusable,
    HistoryUnavailable,
    PastedLogUnusable,
    SourcesError,
    TreeUnusable,
)
from timehands.errors.usage import (
    ExpressionError,
    FrequencyOutOfRange,
    NoSuchMember,
    PatchImpossible,
    RecordTooShort,
    ScenarioError,
    SourceUnknown,
    UsageError,
    ValueUnreadable,
)

__all__ = [
    "AcceleratorUnavailable",
    "BreakpointImpossible",
    "CampaignError",
    "CampaignRefused",
    "CannotSteer",
    "ClusterUnavailable",
    "CompilerMissing",
    "ConfigurationUnknown",
    "CpuidDumpDamaged",
    "ExpressionError",
    "ExtraMissing",
    "FileUnusable",
    "FrequencyOutOfRange",
    "GdbError",
    "HistoryUnavailable",
    "HostError",
    "KernelDamaged",
    "KernelError",
    "KernelUnreadable",
    "KvmLacks",
    "KvmRefused",
    "KvmUnavailable",
    "MachineError",
    "NoSuchMember",
    "NotAKernel",
    "PastedLogUnusable",
    "PatchImpossible",
    "PluginUnavailable",
    "ProtocolBroken",
    "QemuFailed",
    "QemuMissing",
    "QemuRefused",
    "RecordTooShort",
    "RecordingDamaged",
    "RecordingError",
    "ScenarioError",
    "SeedFailed",
    "SnapshotDamaged",
    "SnapshotError",
    "SnapshotRefused",
    "SourceUnknown",
    "SourcesError",
    "StubGone",
    "StubRefused",
    "StubSilent",
    "SurveyFailed",
    "TimehandsError",
    "TreeUnusable",
    "TslogDamaged",
    "UsageError",
    "ValueUnreadable",
    "VmmMissing",
    "WorkersLost",
    "WrongArchitecture",
    "WrongState",
]
