from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from guest_kernels.build import guest_kernel
from kernels import build
from recordings import healthy_boot
from timehands import boot as module
from timehands.boot import (
    Booted,
    Prepared,
    Request,
    boot,
    open_recording,
    prepare,
    tell,
    with_proof,
)
from timehands.errors import (
    AcceleratorUnavailable,
    CompilerMissing,
    KernelError,
    PatchImpossible,
    RecordingError,
    UsageError,
)
from timehands.findings.model import Proof
from timehands.guests.linux import Linux
from timehands.machines.host_qemu import Qemu
from timehands.machines.machine import Machine
from timehands.story.model import Mark
from timehands.watch.interventions import Did
from timehands.watch.recorder import Recorder

QEMU = Qemu(Path("/usr/bin/qemu-system-x86_64"), "10.0.2", 4, ("microvm",), ("tcg",), True)


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with a QEMU that is never started, and a ramdisk that is never built."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "find_qemu", lambda _path, **_options: QEMU)
    monkeypatch.setattr(Linux, "ramdisk", lambda _self: Path("/ours.cpio"))


def _linux(folder: Path, *, packed: bool = True, pvh: bool = True) -> Path:
    elf = build.linux_elf(build.LAYOUTS["6.4-relative"])
    if not pvh:
        elf = elf.replace(build.pvh_note(0x1000850), build.note(b"Xen", 6, bytes(8)))
    path = folder / "kernel"
    path.write_bytes(build.bzimage(build.lz4_legacy(elf), len(elf)) if packed else elf)
    return path


def _prepared(request: Request) -> Prepared:
    return prepare(request)


def test_linux_gets_what_a_boot_needs(tmp_path: Path) -> None:
    kernel = _linux(tmp_path)
    prepared = _prepared(Request(kernel, arguments=("quiet",)))
    assert prepared.knowledge.name == "linux"
    assert prepared.identity.entry == "PVH"
    assert prepared.load.arguments == (
        "console=ttyS0", "nokaslr", "reboot=t", "panic=-1", "quiet",
    )  # fmt: skip
    assert prepared.load.initrd == Path("/ours.cpio")
    assert prepared.load.kernel != kernel  # the unpacked kernel
    assert prepared.load.kernel.read_bytes()[:4] == b"\x7fELF"


def test_an_argument_of_the_users_replaces_ours_of_the_same_name(tmp_path: Path) -> None:
    arguments = _prepared(Request(_linux(tmp_path), arguments=("panic=5",))).load.arguments
    assert arguments == ("console=ttyS0", "nokaslr", "reboot=t", "panic=5")


def test_a_disk_stands_instead_of_our_ramdisk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.touch()
    load = _prepared(Request(_linux(tmp_path), disk=disk)).load
    assert (load.initrd, load.disk) == (None, disk)


@pytest.mark.parametrize("name", ["initrd", "disk"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    request = replace(Request(_linux(tmp_path)), **{name: tmp_path / "absent"})
    with pytest.raises(UsageError, match=f"the {name} is no file"):
        _prepared(request)


def test_kaslr_enters_a_bzimage_by_its_own_entry(tmp_path: Path) -> None:
    kernel = _linux(tmp_path)
    prepared = _prepared(Request(kernel, kaslr=True))
    assert "nokaslr" not in prepared.load.arguments
    assert prepared.identity.entry == "bzImage"
    assert prepared.load.kernel == kernel


def test_the_entry_asked_for_is_taken(tmp_path: Path) -> None:
    kernel = _linux(tmp_path)
    assert _prepared(Request(kernel, entry="bzimage")).load.kernel == kernel
    pvh = _prepared(Request(kernel, entry="pvh", kaslr=True))
    assert pvh.identity.entry == "PVH"


def test_a_bzimage_without_a_pvh_note_is_entered_by_its_own_entry(tmp_path: Path) -> None:
    kernel = _linux(tmp_path, pvh=False)
    assert _prepared(Request(kernel)).identity.entry == "bzImage"
    with pytest.raises(UsageError, match="no PVH entry"):
        _prepared(Request(kernel, entry="pvh"))


def test_an_elf_has_no_entry_of_a_bzimage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bzImage"):
        _prepared(Request(_linux(tmp_path, packed=False), entry="bzimage"))


def test_an_accelerator_that_qemu_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AcceleratorUnavailable, match="kvm"):
        _prepared(Request(_linux(tmp_path), Machine(accelerator="kvm", cpu="host")))


def test_what_is_no_kernel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a kernel")
    with pytest.raises(KernelError):
        _prepared(Request(tmp_path / "text"))


def test_only_tcg_is_watched_and_only_when_asked(tmp_path: Path) -> None:
    prepared = _prepared(Request(_linux(tmp_path)))
    assert prepared.watched
    assert not replace(prepared, request=replace(prepared.request, watch=False)).watched
    on_kvm = replace(prepared.request, machine=Machine(accelerator="kvm", cpu="host"))
    assert not replace(prepared, request=on_kvm).watched


def _freebsd() -> Path:
    try:
        return guest_kernel("freebsd")
    except CompilerMissing:
        pytest.skip("no C compiler is installed")


def _ran(request: Request, monkeypatch: pytest.MonkeyPatch) -> tuple[Booted, list[bytes]]:
    """A boot in which no guest runs; also the kernel that QEMU would have been given."""
    given: list[bytes] = []

    async def run(_qemu: str, recorder: Recorder, *_rest: object, **_options: object) -> None:
        given.append(recorder.header.load.kernel.read_bytes())
        recorder.close()

    monkeypatch.setattr(module, "run", run)
    return asyncio.run(boot(_prepared(request))), given


def test_a_patched_kernel_is_what_runs_and_the_one_that_was_given_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = _freebsd()
    folder = tmp_path / "r"
    request = Request(kernel, survey=False, folder=folder, patches=("i8254_freq=0x1234",))
    booted, (given,) = _ran(request, monkeypatch)
    was = kernel.read_bytes()
    assert len(given) == len(was)
    assert 0 < sum(a != b for a, b in zip(given, was, strict=True)) <= 4
    assert booted.recording.header.load.kernel == kernel
    (done,) = booted.report.interventions
    assert (done.kind, done.what, done.stop) == (
        Did.PATCH, "i8254_freq = 0x1234 (was 0x1234de)", None,
    )  # fmt: skip
    assert not (folder / "kernel.patched").exists()


def test_a_patch_that_does_not_fit_is_refused_before_anything_runs() -> None:
    with pytest.raises(PatchImpossible, match="i8254_freq"):
        _prepared(Request(_freebsd(), patches=("i8254_frec=1",)))


def test_a_packed_kernel_cannot_be_patched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"packed kernel.*\n.*--entry pvh"):
        _prepared(Request(_linux(tmp_path), entry="bzimage", patches=("a=1",)))


def test_a_ramdisk_is_looked_at_and_what_will_become_of_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ramdisk = tmp_path / "ramdisk"
    ramdisk.write_bytes(b"070701")
    folder = tmp_path / "r"
    request = Request(_freebsd(), survey=False, folder=folder, initrd=ramdisk)
    booted, _given = _ran(request, monkeypatch)
    assert booted.recording.header.ramdisk_note.startswith("FreeBSD takes")


@pytest.mark.parametrize(
    ("until", "line", "ends"),
    [
        (None, "  <empty line>    Abort manual input", True),
        (None, "Timecounters tick every 10.000 msec", False),
        (Mark.TIMER_ARMED, "Timecounters tick every 10.000 msec", True),
        (Mark.TIMER_ARMED, "KDB: enter: panic", True),
    ],
)
def test_a_kernel_that_waits_for_a_person_is_at_its_end(
    until: Mark | None, line: str, *, ends: bool
) -> None:
    prepared = _prepared(Request(_freebsd(), until=until))
    assert module._limits(prepared, prepared.plan).stop_at_line(line) is ends


def test_a_recording_opens_as_the_report_of_its_boot(tmp_path: Path) -> None:
    recording = healthy_boot().write(tmp_path / "r")
    booted = open_recording(tmp_path / "r")
    assert (booted.report.story, booted.report.findings) == tell(recording)
    assert booted.report.recording == str(tmp_path / "r")
    assert booted.report.survey is None
    assert booted.report.kernel == recording.header.kernel


def test_a_survey_that_makes_no_sense_is_left_out(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.header = {"survey": {"cpuid": 5}}
    tape.write(tmp_path / "r")
    assert open_recording(tmp_path / "r").report.survey is None


def test_a_proof_joins_the_report(tmp_path: Path) -> None:
    healthy_boot().write(tmp_path / "r")
    booted = open_recording(tmp_path / "r")
    assert with_proof(booted, Proof(())).report.proof == Proof(())
    assert booted.report.proof is None


def test_an_empty_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        open_recording(tmp_path)
