"""The main job: a kernel and a machine in, a recording, a story, findings and a proof out.

::

    request = Request(Path("vmlinuz"))
    booted = asyncio.run(boot(request))
    print(booted.report.story.selected, booted.report.findings)
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from timehands.errors import AcceleratorUnavailable, SurveyFailed, UsageError
from timehands.findings.frequency import calibration_varies
from timehands.findings.model import Finding, Proof
from timehands.findings.rules import Case, find, worst_first
from timehands.guests.base import Knowledge
from timehands.guests.registry import knowledge_named, knowledge_of
from timehands.guests.telling import INLINED_IN
from timehands.kept import plan_and_facts
from timehands.kernels.enums import Container
from timehands.kernels.kernel import Kernel
from timehands.kernels.patch import changes, patched
from timehands.machines.host_qemu import find_qemu
from timehands.machines.machine import Load, Machine
from timehands.machines.survey import Survey, survey
from timehands.machines.vmm import QemuVmm, Vmm
from timehands.reports.model import Report
from timehands.story.model import Mark, Story
from timehands.story.outcome import reset_addresses
from timehands.story.stops import with_stops
from timehands.watch.entered import chosen
from timehands.watch.interventions import Did, Intervention
from timehands.watch.plan import Function, Plan
from timehands.watch.plugin import EXITS, INSTRUMENT, UNWATCHED, plugin_path
from timehands.watch.recorder import Recorder, new_folder
from timehands.watch.recording import Header, KernelIdentity, Recording
from timehands.watch.records import Kind, RawRecord
from timehands.watch.run import Limits, run
from timehands.watch.stuck import stuck_in

Entry = Literal["pvh", "bzimage"]
#: Called with one short line for each stage of the work.
Progress = Callable[[str], None]
#: Addresses from here up are the kernel's half of a 64-bit address space.
_KERNEL_HALF = 1 << 63
#: How much of a ramdisk is looked at, in bytes.
_RAMDISK_HEAD = 64 << 10
DETERMINISTIC_QUIET_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Request:
    """What to boot, on what, how far.

    ``arguments`` are the user's own; those that the system needs for a boot are added unless one of
    the same name is given. ``initrd`` None takes our own ramdisk where there is one, unless a disk
    is given. ``entry``: through which entry point; None takes PVH where the kernel has it.
    ``patches`` change the kernel's data in a temporary copy (`timehands.kernels.patch`).
    ``functions``: each entry of these is an event, on our monitor (`timehands.watch.entered`).
    """

    kernel: Path
    machine: Machine = field(default_factory=Machine)
    arguments: tuple[str, ...] = ()
    initrd: Path | None = None
    disk: Path | None = None
    network: bool = False
    forwards: tuple[str, ...] = ()
    entry: Entry | None = None
    kaslr: bool = False
    until: Mark | None = None
    timeout_s: float = 60.0
    folder: Path | None = None
    survey: bool = True
    watch: bool = True
    qemu: Path | None = None
    patches: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request made ready to run: nothing is started yet."""

    request: Request
    kernel: Kernel
    knowledge: Knowledge
    vmm: Vmm
    load: Load
    identity: KernelIdentity
    plan: Plan
    ramdisk_note: str = ""
    chosen: tuple[Function, ...] = ()

    @property
    def watched(self) -> bool:
        """Whether the plugin watches: only under TCG."""
        return by_plugin(self.request)


@dataclass(frozen=True, slots=True)
class Booted:
    """What came out of a boot."""

    report: Report
    recording: Recording


def prepare(request: Request) -> Prepared:
    """Open the kernel, find what runs it, settle the load.

    Raises `KernelError`, `HostError`, and `UsageError` or `MachineError` for what does not fit.
    """
    kernel = Kernel.open(request.kernel)
    functions = _chosen(request, kernel)
    knowledge = knowledge_of(kernel)
    vmm = vmm_for(request.machine, request.qemu, plugin=by_plugin(request))
    for name in ("initrd", "disk"):
        path = getattr(request, name)
        if path is not None and not path.is_file():
            raise UsageError(f"the {name} is no file: {path}")
    entry = _entry(request, kernel, knowledge)
    load = _load(request, kernel, knowledge, entry)
    vmm.command(request.machine, load)  # what cannot be made is refused before anything is begun
    _check_patches(request, kernel, entry)
    plan, facts = plan_and_facts(kernel, knowledge)
    identity, note = _identity(kernel, entry, facts), _on_ramdisk(kernel, knowledge, load)
    return Prepared(request, kernel, knowledge, vmm, load, identity, plan, note, functions)


def by_plugin(request: Request) -> bool:
    """Whether QEMU's plugin is to watch: only under TCG."""
    return request.watch and request.machine.accelerator == "tcg"


def vmm_for(machine: Machine, qemu: Path | None = None, *, plugin: bool = False) -> Vmm:
    """What makes this machine: our monitor, or the QEMU of this host that can.

    Raises `HostError` when there is none, `MachineError` for what the monitor cannot make.
    """
    if machine.type == "monitor":
        from timehands.watch.exits import (  # other boots do without KVM's structures
            MonitorVmm,
            check,
        )

        check(machine)
        return MonitorVmm()
    found = find_qemu(qemu, plugin=plugin)
    if machine.accelerator not in found.accelerators:
        raise AcceleratorUnavailable(
            f"{found.path} has no accelerator {machine.accelerator}", mend="timehands doctor"
        )
    return QemuVmm(str(found.path), found.version, found.sandbox)


def _check_patches(request: Request, kernel: Kernel, entry: Entry) -> None:
    if not request.patches:
        return
    if entry == "bzimage":
        advice = "Boot it by --entry pvh: the unpacked kernel is changed then."
        raise UsageError("a packed kernel (bzImage entry) cannot be patched", advice=advice)
    changes(kernel, ",".join(request.patches))


def _chosen(request: Request, kernel: Kernel) -> tuple[Function, ...]:
    if not request.functions:
        return ()
    if request.machine.type != "monitor":
        raise UsageError(
            f"functions are chosen for our monitor, not for {request.machine.type}",
            advice="QEMU's plugin watches what the story needs; timehands debug stops at any.",
        )
    if request.kaslr:
        raise UsageError("a kernel that moves itself has its functions at no address known before")
    return chosen(kernel, request.functions)


def _on_ramdisk(kernel: Kernel, knowledge: Knowledge, load: Load) -> str:
    """What this kernel will do with the ramdisk that it is given; empty: nothing against it."""
    if load.initrd is None:
        return ""
    try:
        with load.initrd.open("rb") as file:
            return knowledge.on_ramdisk(kernel, file.read(_RAMDISK_HEAD)) or ""
    except OSError:  # QEMU will say so
        return ""


def _entry(request: Request, kernel: Kernel, knowledge: Knowledge) -> Entry:
    is_bzimage = kernel.container is Container.BZIMAGE
    wanted = request.entry == "pvh" or kernel.container is Container.ELF64
    if wanted and kernel.pvh_entry is None:  # a 32-bit ELF may have a multiboot header instead
        raise UsageError(
            f"{kernel.path} has no PVH entry (no ELF note XEN_ELFNOTE_PHYS32_ENTRY)",
            advice=knowledge.loader,
        )
    if request.entry == "bzimage" and not is_bzimage:
        raise UsageError(f"{kernel.path} is no bzImage but {kernel.format}")
    if request.entry:
        return request.entry
    if request.kaslr and is_bzimage:
        return "bzimage"
    return "pvh" if kernel.pvh_entry is not None or not is_bzimage else "bzimage"


def _load(request: Request, kernel: Kernel, knowledge: Knowledge, entry: Entry) -> Load:
    file = kernel.elf_path() if entry == "pvh" else kernel.path
    initrd = request.initrd
    if initrd is None and request.disk is None:
        initrd = knowledge.ramdisk()
    given = {argument.split("=", 1)[0] for argument in request.arguments}
    wanted = knowledge.arguments(request.machine)
    if request.kaslr:
        wanted = tuple(word for word in wanted if word != "nokaslr")
    defaults = tuple(word for word in wanted if word.split("=", 1)[0] not in given)
    return Load(
        file.absolute(),
        (*defaults, *request.arguments),
        initrd.absolute() if initrd else None,
        request.disk.absolute() if request.disk else None,
        request.network,
        request.forwards,
    )


def _identity(kernel: Kernel, entry: Entry, facts: dict[str, Any]) -> KernelIdentity:
    return KernelIdentity(
        path=str(kernel.path),
        sha256=kernel.sha256,
        size=kernel.size,
        os=kernel.os,
        version=kernel.os_version,
        format=kernel.format,
        entry="PVH" if entry == "pvh" else "bzImage",
        symbols=facts["symbols"],
        symbol_source=facts["symbol_source"],
        types=tuple(types.value for types in kernel.types),
        orc=kernel.orc,
        clock_functions=tuple(facts["clock_functions"]),
        debug_file=str(kernel.debug_file.path) if kernel.debug_file else "",
    )


async def boot(
    prepared: Prepared, *, surveyed: Survey | None = None, progress: Progress = lambda _text: None
) -> Booted:
    """Survey the machine, boot, record, and tell.

    ``surveyed`` is a survey of the same machine, to be used instead of a new one. A survey that
    fails is no reason not to boot: it is left out. Raises `QemuFailed`, `RecordingError`.
    """
    async with begun(prepared, surveyed=surveyed, progress=progress) as start:
        await run(_vmm_of(prepared), start.recorder, start.plan, start.limits)
    return open_recording(start.recorder.folder)


def _vmm_of(prepared: Prepared) -> Vmm:
    """What runs the kernel itself: of the guest that surveys, no function is watched."""
    if not prepared.chosen:
        return prepared.vmm
    from timehands.watch.exits import MonitorVmm

    return MonitorVmm(prepared.chosen)


@dataclass(frozen=True, slots=True)
class Start:
    """What a guest is run with: where it is recorded, what is watched, when it is ended."""

    recorder: Recorder
    plan: Plan | None
    limits: Limits


@contextlib.asynccontextmanager
async def begun(
    prepared: Prepared, *, surveyed: Survey | None = None, progress: Progress = lambda _text: None
) -> AsyncIterator[Start]:
    """A recording that is begun, for a guest that is run while this lasts; then it can be told.

    Surveys and patches as `boot` does. Raises `RecordingError`.
    """
    request = prepared.request
    if surveyed is None and request.survey:
        progress(f"surveying the machine: {request.machine}")
        surveyed = await _survey(prepared, progress)
    plan = prepared.plan if prepared.watched else None
    folder = request.folder or new_folder()
    recorder = Recorder(folder, _header(prepared, surveyed), plan or Plan(prepared.chosen))
    if prepared.ramdisk_note:
        progress(f"the ramdisk: {prepared.ramdisk_note}")
    progress(f"booting {prepared.identity.os} {prepared.identity.version}")
    try:
        with _patched(prepared, recorder):
            yield Start(recorder, plan, _limits(prepared, plan))
    finally:
        _name_addresses(prepared, recorder)


@contextlib.contextmanager
def _patched(prepared: Prepared, recorder: Recorder) -> Iterator[None]:
    """While this lasts the load's kernel is a patched copy, if patches are asked for.

    Each change is an intervention of the recording; its load names the kernel that was given.
    """
    patches, header = prepared.request.patches, recorder.header
    if not patches:
        yield
        return
    for number, change in enumerate(changes(prepared.kernel, ",".join(patches))):
        now_ns = time.monotonic_ns()
        recorder.intervened(Intervention(number, now_ns, Did.PATCH, change.text))
    with patched(prepared.kernel, patches, recorder.folder) as path:
        header.load = replace(header.load, kernel=path.absolute())
        try:
            yield
        finally:
            header.load = prepared.load
            recorder.write_header()


async def _survey(prepared: Prepared, progress: Progress) -> Survey | None:
    try:
        return await survey(prepared.request.machine, prepared.vmm)
    except SurveyFailed as error:
        progress(f"no survey: {error.message}")
        return None


def _header(prepared: Prepared, surveyed: Survey | None) -> Header:
    return Header(
        kernel=prepared.identity,
        machine=prepared.request.machine,
        load=prepared.load,
        instrument=_instrument(prepared),
        qemu_version=prepared.vmm.version,
        survey=surveyed.to_json() if surveyed else None,
        stopped_by=prepared.request.until,
        ramdisk_note=prepared.ramdisk_note,
        chosen=bool(prepared.chosen),
    )


def _instrument(prepared: Prepared) -> str:
    if prepared.request.machine.type == "monitor":
        return EXITS
    return INSTRUMENT if prepared.watched else UNWATCHED


def _limits(prepared: Prepared, plan: Plan | None) -> Limits:
    known, until = prepared.knowledge, prepared.request.until
    plan = plan or Plan()

    # A kernel that waits for a person is at its end; the boundary asked for may come before.
    ends = (until, Mark.ENDED) if until else (Mark.ENDED,)

    def at_record(record: RawRecord) -> bool:
        return any(known.reaches(mark, plan, record) for mark in ends)

    def at_line(text: str) -> bool:
        return any(known.told(mark, text) for mark in ends)

    # A look stops the guest. A deterministic one is given more time to show that it gets on.
    quiet_s = DETERMINISTIC_QUIET_SECONDS if prepared.request.machine.deterministic else None
    look = functools.partial(known.look, prepared.kernel)
    return Limits(prepared.request.timeout_s, at_record, at_line, quiet_s, look)


def _name_addresses(prepared: Prepared, recorder: Recorder) -> None:
    """Keep the names of all addresses that occur, so that the kernel is not needed any more."""
    recording = Recording.open(recorder.folder)
    moved = next((e.values[0] for e in recording.events if e.kind is Kind.SLIDE), 0)
    callers = set(prepared.knowledge.addresses(recording))
    if prepared.chosen:
        callers.update(e.values[4] for e in recording.events if e.kind is Kind.ENTER)
    wanted = {*callers, *(event.pc for event in recording.events)}
    wanted.update(spot.pc for spot in recording.header.spots)
    wanted.update(reset_addresses(recording.reset_log))
    if (stuck := stuck_in(recording.machine_events)) and stuck.pc is not None:
        wanted.add(stuck.pc)
    names: dict[int, str] = {}
    for address in wanted:
        place = prepared.kernel.symbols.find(address - moved) if address >= _KERNEL_HALF else None
        if place and place.offset:
            inlined = _inlined(prepared.kernel, address - moved - 1) if address in callers else ()
            names[address] = INLINED_IN.join((*inlined, f"{place.name}+{place.offset:#x}"))
        elif place:
            names[address] = place.name
    recorder.write_symbols(names)


def _inlined(kernel: Kernel, address: int) -> tuple[str, ...]:
    from timehands.kernels.unwind.source import inlined_at  # only where callers were seen

    return inlined_at(kernel, address)


def open_recording(folder: Path) -> Booted:
    """Tell a recording again, without the guest. Raises `RecordingError`."""
    recording = Recording.open(folder)
    story, findings = tell(recording)
    return Booted(_report(recording, story, findings), recording)


def tell(recording: Recording) -> tuple[Story, tuple[Finding, ...]]:
    """The story of a recording, and what is wrong in it."""
    story = knowledge_named(recording.header.kernel.os).tell(recording)
    story = with_stops(story, recording)
    return story, find(Case(recording, story, _surveyed(recording)))


def _surveyed(recording: Recording) -> Survey | None:
    try:
        data = recording.header.survey
        return Survey.from_json(data) if data else None
    except SurveyFailed:
        return None


def _report(recording: Recording, story: Story, findings: tuple[Finding, ...]) -> Report:
    header = recording.header
    return Report(
        kernel=header.kernel,
        machine=header.machine,
        load=header.load,
        story=story,
        findings=findings,
        watching=recording.watching,
        qemu_version=header.qemu_version,
        survey=_surveyed(recording),
        recording=str(recording.folder),
        started_ns=header.started_ns,
        stops=recording.stops,
        interventions=recording.interventions,
    )


def with_proof(booted: Booted, proof: Proof, later: tuple[Finding, ...] = ()) -> Booted:
    """The same with a proof in its report, and what only several boots can show.

    ``later`` are findings of the proof's own boots.
    """
    report = booted.report
    case = Case(booted.recording, report.story, report.survey)
    findings = worst_first((*report.findings, *later, *calibration_varies(case, proof.trials)))
    return replace(booted, report=replace(report, proof=proof, findings=findings))


def ready_payloads(prepared: Prepared) -> None:
    """Build what a boot needs to build, so that it does not count as boot time."""
    if prepared.watched:
        plugin_path()


async def boot_request(request: Request, progress: Progress = lambda _text: None) -> Booted:
    """`prepare` and `boot` in one."""
    prepared = await asyncio.to_thread(prepare, request)
    ready_payloads(prepared)
    return await boot(prepared, progress=progress)
