"""The QEMU of this host: where it is and what it can do, found by asking it.

A binary is asked once; the answer is kept in the cache under its path, size and time, because
asking costs about a tenth of a second and a boot should not pay it each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timehands.errors import PluginUnavailable, QemuMissing
from timehands.machines.cache import cache_folder, write_atomically
from timehands.machines.host_system import survey_system

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

QEMU_NAME = "qemu-system-x86_64"
#: Names the QEMU to use, a path or a name in PATH, and no other.
QEMU_VARIABLE = "TIMEHANDS_QEMU"
#: The plugin API from which on plugins read registers and memory (QEMU 9.2).
PLUGIN_API_NEEDED = 4
#: Functions that a QEMU exports from a plugin API version on, the highest version first. Source:
#: include/qemu/qemu-plugin.h ("Versioning plugins") and plugins/qemu-plugins.symbols.
#: Version 3 changed a function without adding one, so it shows as 2.
PLUGIN_API_MARKS = (
    (5, "qemu_plugin_write_register"),
    (4, "qemu_plugin_read_memory_vaddr"),
    (2, "qemu_plugin_num_vcpus"),
    (1, "qemu_plugin_n_vcpus"),
    (0, "qemu_plugin_register_vcpu_tb_trans_cb"),
)
MACHINE_TYPES = ("microvm", "q35", "pc")
_ASK_SECONDS = 10
_MAX_ANSWER = 4 << 20
_CACHE_VERSION = 1
_QUESTIONS = b'{"execute":"qmp_capabilities"}\n{"execute":"query-machines"}\n{"execute":"quit"}\n'


@dataclass(frozen=True, slots=True)
class Qemu:
    """One QEMU binary. ``path`` is resolved, ``version`` is as it says itself (``10.0.2``).

    ``plugin_api`` is the highest plugin API version that its exported functions prove
    (`PLUGIN_API_MARKS`); None means that it has no TCG plugins, or is no ELF file that tells.
    ``sandbox`` says whether it starts with ``-sandbox on`` under this host's kernel.
    """

    path: Path
    version: str
    plugin_api: int | None
    machine_types: tuple[str, ...]
    accelerators: tuple[str, ...]
    sandbox: bool

    @property
    def plugin_reads(self) -> bool:
        """Whether a TCG plugin can read registers and memory: what watching needs."""
        return (
            "tcg" in self.accelerators
            and self.plugin_api is not None
            and self.plugin_api >= PLUGIN_API_NEEDED
        )


def find_qemu(explicit: Path | None = None, *, plugin: bool = True) -> Qemu:
    """The QEMU to use: ``explicit``, else what TIMEHANDS_QEMU names, else the first fit in PATH.

    With ``plugin`` it must load plugins that read registers. Raises `QemuMissing` when there is
    none that works, `PluginUnavailable` when the ones that work lack such plugins.
    """
    paths = tuple(qemu_paths(explicit))
    unfit: Qemu | None = None
    for qemu in filter(None, map(ask_qemu, paths)):  # no more of them is asked than is needed
        if qemu.plugin_reads or not plugin:
            return qemu
        unfit = unfit or qemu
    mend = survey_system().install_qemu()
    if unfit:
        raise PluginUnavailable(_plugin_words(unfit), mend=mend)
    raise QemuMissing(_missing_words(explicit, paths), mend=mend)


def _missing_words(explicit: Path | None, paths: tuple[Path, ...]) -> str:
    wanted = explicit or os.environ.get(QEMU_VARIABLE)
    if paths:
        return f"{paths[0]} does not answer as QEMU does"
    return f"there is no program {wanted}" if wanted else f"no {QEMU_NAME} was found in PATH"


def _plugin_words(qemu: Qemu) -> str:
    has = "has no TCG plugins" if qemu.plugin_api is None else "has plugins that read no registers"
    return f"{qemu.path} (QEMU {qemu.version}) {has}; plugin API {PLUGIN_API_NEEDED} is needed"


def qemu_paths(explicit: Path | None = None) -> Iterator[Path]:
    """The programs that `find_qemu` considers, in its order, resolved, each once."""
    wanted = str(explicit) if explicit else os.environ.get(QEMU_VARIABLE)
    if wanted:
        if path := shutil.which(wanted):
            yield Path(path).resolve()
        return
    seen: set[Path] = set()
    for folder in os.get_exec_path():
        path = shutil.which(QEMU_NAME, path=folder)
        if path and (resolved := Path(path).resolve()) not in seen:
            seen.add(resolved)
            yield resolved


def ask_qemu(path: Path) -> Qemu | None:
    """What the binary can do, from the cache or by asking it; None when it does not answer."""
    try:
        key = _cache_key(path)
    except OSError:
        return None
    entry = cache_folder("qemu") / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.json"
    if known := _from_cache(entry, key):
        return known
    qemu = _ask(path)
    if qemu:
        _to_cache(entry, key, qemu)
    return qemu


# --- the cache -------------------------------------------------------------------------------


def _cache_key(path: Path) -> list[Any]:
    """The sandbox depends on the kernel too, so its release counts."""
    stat = path.stat()
    return [_CACHE_VERSION, str(path), stat.st_size, stat.st_mtime_ns, os.uname().release]


def _from_cache(entry: Path, key: list[Any]) -> Qemu | None:
    try:
        stored = json.loads(entry.read_bytes()[:_MAX_ANSWER])
        if stored["key"] != key:
            return None
        return _qemu_of(stored["qemu"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _qemu_of(values: dict[str, Any]) -> Qemu:
    """The value stored as JSON. Raises TypeError or KeyError when it has not the right shape."""
    qemu = Qemu(
        path=Path(values["path"]),
        version=values["version"],
        plugin_api=values["plugin_api"],
        machine_types=tuple(values["machine_types"]),
        accelerators=tuple(values["accelerators"]),
        sandbox=values["sandbox"],
    )
    right = (
        isinstance(qemu.version, str)
        and isinstance(qemu.plugin_api, int | None)
        and all(isinstance(name, str) for name in (*qemu.machine_types, *qemu.accelerators))
        and isinstance(qemu.sandbox, bool)
        and set(values) == {field.name for field in fields(Qemu)}
    )
    if not right:
        raise TypeError("not a stored Qemu")
    return qemu


def _to_cache(entry: Path, key: list[Any], qemu: Qemu) -> None:
    content = json.dumps({"key": key, "qemu": {**asdict(qemu), "path": str(qemu.path)}})
    try:
        write_atomically(entry, content.encode())
    except OSError:
        return  # a full disk costs time, not the answer


# --- asking ----------------------------------------------------------------------------------


def _ask(path: Path) -> Qemu | None:
    """One start that answers on QMP, with the sandbox if it can be had, and one for ``-accel``."""
    greeted = _ask_qmp(path, "-sandbox", "on")
    sandbox = greeted is not None
    greeted = greeted or _ask_qmp(path)
    if greeted is None:
        return None
    version, machine_types = greeted
    return Qemu(
        path=path,
        version=version,
        plugin_api=exported_plugin_api(path),
        machine_types=machine_types,
        accelerators=_accelerators(path),
        sandbox=sandbox,
    )


def _ask_qmp(path: Path, *options: str) -> tuple[str, tuple[str, ...]] | None:
    """QEMU's version and the machine types it has, from a start without a machine."""
    words = ("-nodefaults", "-no-user-config", "-display", "none", "-machine", "none")
    status, output = run_bounded((str(path), *words, *options, "-qmp", "stdio"), _QUESTIONS)
    if status != 0:
        return None
    try:
        replies = [json.loads(line) for line in output.splitlines() if line.strip()]
        numbers = replies[0]["QMP"]["version"]["qemu"]
        version = f"{numbers['major']}.{numbers['minor']}.{numbers['micro']}"
        return version, _machine_types(replies)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None


def _machine_types(replies: list[Any]) -> tuple[str, ...]:
    answers = (reply.get("return") for reply in replies)
    listed = next(answer for answer in answers if isinstance(answer, list))
    names = {entry.get(key) for entry in listed for key in ("name", "alias")}
    return tuple(name for name in MACHINE_TYPES if name in names)


def _accelerators(path: Path) -> tuple[str, ...]:
    """The accelerators that ``-accel help`` lists, below its heading, in QEMU's order."""
    status, output = run_bounded((str(path), "-accel", "help"))
    lines = output.decode("utf-8", errors="replace").splitlines()
    return tuple(line.strip() for line in lines[1:] if line.strip()) if status == 0 else ()


def exported_plugin_api(path: Path) -> int | None:
    """The plugin API version that the functions exported by an ELF file prove, or None.

    Read from the dynamic symbols, which a plugin is linked against when it is loaded.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            for version, name in PLUGIN_API_MARKS:
                if _exports(elf, name):
                    return version
    except (OSError, ELFError, ValueError, AttributeError, KeyError, TypeError):
        return None
    return None


def _exports(elf: ELFFile, name: str) -> bool:
    """By the hash table that the dynamic linker uses; reading all of .dynsym takes 0.5 s."""
    from elftools.elf.hash import ELFHashSection, GNUHashSection

    for table in (".gnu.hash", ".hash"):
        section = elf.get_section_by_name(table)
        if isinstance(section, GNUHashSection | ELFHashSection):
            symbol = section.get_symbol(name)
            return symbol is not None and symbol["st_shndx"] != "SHN_UNDEF"
    return False


def run_bounded(command: tuple[str, ...], given: bytes = b"") -> tuple[int | None, bytes]:
    """Run a program that should answer at once: its exit status and standard output.

    The status is None when it could not be started, did not end within 10 s, or printed more than
    4 MiB; it and what it started are then killed.
    """
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return None, b""
    return _collect(process)


def _collect(process: subprocess.Popen[bytes]) -> tuple[int | None, bytes]:
    assert process.stdout is not None
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        _kill_group(process)

    timer = threading.Timer(_ASK_SECONDS, stop)
    timer.start()
    try:
        output = process.stdout.read(_MAX_ANSWER + 1)
        if len(output) > _MAX_ANSWER:
            stop()
        status = process.wait()
    except BaseException:
        stop()
        raise
    finally:
        timer.cancel()
        process.stdout.close()
    return (None if stopped.is_set() else status), output


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
