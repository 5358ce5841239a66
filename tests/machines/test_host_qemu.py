"""Finding a QEMU and asking it. Binaries are made by the C compiler, or are the real QEMU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from timehands.errors import PluginUnavailable, QemuMissing
from timehands.machines import host_qemu
from timehands.machines.host_qemu import (
    Qemu,
    ask_qemu,
    exported_plugin_api,
    find_qemu,
    qemu_paths,
    run_bounded,
)

GREETING = {"QMP": {"version": {"qemu": {"major": 9, "minor": 8, "micro": 7}}}}
MACHINES = {"return": [{"name": "microvm"}, {"name": "pc-q35-9.8", "alias": "q35"}]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for each test, and no QEMU named by the environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TIMEHANDS_QEMU", raising=False)
    return tmp_path / "cache"


def fake_qemu(folder: Path, *, replies: str | None = None, sandbox: bool = True) -> Path:
    """A program that answers as QEMU does, counts its starts, and may refuse the sandbox."""
    folder.mkdir(exist_ok=True, parents=True)
    program = folder / "qemu-system-x86_64"
    answer = replies if replies is not None else f"{json.dumps(GREETING)}\n{json.dumps(MACHINES)}"
    (folder / "answer").write_text(answer + "\n")
    refuse = "" if sandbox else 'case "$*" in *-sandbox*) exit 1;; esac\n'
    program.write_text(
        f"#!/bin/sh\necho start >>'{folder}/starts'\n{refuse}"
        'case "$*" in *"-accel help"*) printf "Accelerators:\\ntcg\\n"; exit 0;; esac\n'
        f"cat '{folder}/answer'\n"
    )
    program.chmod(0o755)
    return program


def starts(program: Path) -> int:
    return len((program.parent / "starts").read_text().splitlines())


def shared_object(folder: Path, *names: str, called: str = "", style: str = "gnu") -> Path:
    cc = shutil.which("cc") or pytest.skip("no C compiler")
    source = "".join(f"void {name}(void) {{}}\n" for name in names)
    if called:
        source += f"void {called}(void);\nvoid caller(void) {{ {called}(); }}\n"
    target = folder / "object.so"
    command = [cc, "-shared", "-fPIC", f"-Wl,--hash-style={style}", "-x", "c", "-", "-o", target]
    subprocess.run(command, input=source.encode(), check=True, timeout=30)
    return target


@pytest.mark.parametrize("style", ["gnu", "sysv"])
@pytest.mark.parametrize(
    ("names", "api"),
    [
        (("qemu_plugin_num_vcpus", "qemu_plugin_read_memory_vaddr"), 4),
        (("qemu_plugin_read_memory_vaddr", "qemu_plugin_write_register"), 5),
        (("qemu_plugin_num_vcpus", "qemu_plugin_read_register"), 2),
        (("qemu_plugin_n_vcpus",), 1),
        (("unrelated",), None),
    ],
)
def test_plugin_api_follows_from_the_exported_functions(
    tmp_path: Path, style: str, names: tuple[str, ...], api: int | None
) -> None:
    assert exported_plugin_api(shared_object(tmp_path, *names, style=style)) == api


@pytest.mark.parametrize("style", ["gnu", "sysv"])
def test_a_function_that_is_only_called_is_not_exported(tmp_path: Path, style: str) -> None:
    name = "qemu_plugin_read_memory_vaddr"
    assert exported_plugin_api(shared_object(tmp_path, "f", called=name, style=style)) is None


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01\x01" * 40])
def test_a_file_that_is_no_elf_proves_no_plugin_api(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert exported_plugin_api(path) is None


def test_a_truncated_elf_proves_no_plugin_api_and_does_not_crash(tmp_path: Path) -> None:
    whole = shared_object(tmp_path, "qemu_plugin_read_memory_vaddr").read_bytes()
    part = tmp_path / "part"
    for length in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        part.write_bytes(whole[:length])
        assert exported_plugin_api(part) in (None, 4)


def test_what_qemu_answers_is_understood(tmp_path: Path) -> None:
    program = fake_qemu(tmp_path / "a")
    assert ask_qemu(program) == Qemu(program, "9.8.7", None, ("microvm", "q35"), ("tcg",), True)


def test_a_qemu_that_refuses_the_sandbox_is_asked_without(tmp_path: Path) -> None:
    qemu = ask_qemu(fake_qemu(tmp_path / "a", sandbox=False))
    assert qemu is not None
    assert (qemu.version, qemu.sandbox) == ("9.8.7", False)


@pytest.mark.parametrize("replies", ["", "nonsense", "[]", "{}", '{"QMP": 3}', "[" * 100_000])
def test_a_program_that_answers_otherwise_is_no_qemu(tmp_path: Path, replies: str) -> None:
    program = fake_qemu(tmp_path / "a", replies=replies)
    assert ask_qemu(program) is None
    with pytest.raises(QemuMissing, match="does not answer as QEMU does"):
        find_qemu(program)


def test_qemu_is_asked_once_and_again_when_it_changes(tmp_path: Path) -> None:
    program = fake_qemu(tmp_path / "a")
    first = ask_qemu(program)
    asked = starts(program)
    assert ask_qemu(program) == first
    assert starts(program) == asked
    os.utime(program, ns=(1, 1))
    assert ask_qemu(program) == first
    assert starts(program) == 2 * asked


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"key": 1, "qemu": {}}'])
def test_a_damaged_cache_is_asked_anew(tmp_path: Path, own_cache: Path, content: str) -> None:
    program = fake_qemu(tmp_path / "a")
    first = ask_qemu(program)
    (entry,) = (own_cache / "timehands" / "qemu").glob("*.json")
    entry.write_text(content)
    assert ask_qemu(program) == first


def test_a_cached_answer_of_the_wrong_shape_is_asked_anew(tmp_path: Path, own_cache: Path) -> None:
    program = fake_qemu(tmp_path / "a")
    first = ask_qemu(program)
    (entry,) = (own_cache / "timehands" / "qemu").glob("*.json")
    stored = json.loads(entry.read_text())
    for name, wrong in (("version", 3), ("plugin_api", "4"), ("accelerators", [1]), ("path", 0)):
        changed = {"key": stored["key"], "qemu": {**stored["qemu"], name: wrong}}
        entry.write_text(json.dumps(changed))
        assert ask_qemu(program) == first


def test_the_first_fit_qemu_in_path_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = fake_qemu(tmp_path / "old"), fake_qemu(tmp_path / "new")
    api = {old: 1, new: 4}
    monkeypatch.setattr(host_qemu, "exported_plugin_api", api.__getitem__)
    monkeypatch.setenv("PATH", f"{old.parent}:{new.parent}:{os.environ['PATH']}")
    assert find_qemu().path == new
    assert find_qemu(plugin=False).path == old
    assert find_qemu(old, plugin=False).path == old


def test_the_environment_names_the_only_qemu_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = fake_qemu(tmp_path / "named")
    monkeypatch.setenv("TIMEHANDS_QEMU", str(named))
    assert tuple(qemu_paths()) == (named,)
    assert tuple(qemu_paths(fake_qemu(tmp_path / "said"))) == (tmp_path / "said" / named.name,)
    monkeypatch.setenv("TIMEHANDS_QEMU", str(tmp_path / "nothing"))
    with pytest.raises(QemuMissing, match="there is no program"):
        find_qemu(plugin=False)


def test_the_same_qemu_under_two_names_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_qemu(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", f"{tmp_path}/a:{tmp_path}/b")
    assert tuple(qemu_paths()) == (program,)


def test_no_qemu_is_an_error_that_says_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QemuMissing, match="no qemu-system-x86_64 was found in PATH") as caught:
        find_qemu()
    assert "qemu-system-x86" in caught.value.mend


@pytest.mark.parametrize(("api", "said"), [(None, "no TCG plugins"), (1, "read no registers")])
def test_a_qemu_without_fit_plugins_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: int | None, said: str
) -> None:
    program = fake_qemu(tmp_path / "a")
    monkeypatch.setattr(host_qemu, "exported_plugin_api", lambda _path: api)
    with pytest.raises(PluginUnavailable, match=said) as caught:
        find_qemu(program)
    assert str(program) in str(caught.value)
    assert caught.value.mend


def test_plugins_are_of_no_use_without_tcg(tmp_path: Path) -> None:
    assert Qemu(tmp_path, "10.0.2", 4, (), ("tcg",), True).plugin_reads
    assert not Qemu(tmp_path, "10.0.2", 4, (), ("kvm",), True).plugin_reads


def test_a_program_that_floods_is_stopped() -> None:
    yes = shutil.which("yes") or pytest.skip("no program yes")
    began = time.monotonic()
    status, output = run_bounded((yes,))
    assert status is None
    assert len(output) <= host_qemu._MAX_ANSWER + 1
    assert time.monotonic() - began < host_qemu._ASK_SECONDS


def test_a_program_that_hangs_is_stopped_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_qemu, "_ASK_SECONDS", 0.3)
    script = f"sleep 60 & echo $! >'{tmp_path}/child'; wait"
    assert run_bounded(("/bin/sh", "-c", script))[0] is None
    child = Path(f"/proc/{int((tmp_path / 'child').read_text())}/stat")
    deadline = time.monotonic() + 5
    while child.exists() and child.read_text().rsplit(") ", 1)[1][0] not in "ZX":
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.01)


def test_a_program_that_cannot_be_started_has_no_status(tmp_path: Path) -> None:
    assert run_bounded((str(tmp_path / "nothing"),)) == (None, b"")


def test_the_real_qemu_is_found_and_says_the_same_as_its_help() -> None:
    path = shutil.which("qemu-system-x86_64") or pytest.skip("no qemu-system-x86_64 in PATH")
    qemu = ask_qemu(Path(path).resolve())
    assert qemu is not None

    def said(*words: str) -> str:
        return subprocess.run(
            [path, *words], capture_output=True, text=True, timeout=30, check=True
        ).stdout

    assert f"version {qemu.version}" in said("--version")
    named = {line.split()[0] for line in said("-machine", "help").splitlines() if line.strip()}
    assert set(qemu.machine_types) == named & {"microvm", "q35", "pc"}
    assert set(qemu.accelerators) == set(said("-accel", "help").split("\n")[1:]) - {""}


def test_the_exported_functions_of_the_real_qemu_are_those_that_nm_lists() -> None:
    path = shutil.which("qemu-system-x86_64") or pytest.skip("no qemu-system-x86_64 in PATH")
    nm = shutil.which("nm") or pytest.skip("no nm (binutils)")
    listed = subprocess.run(
        [nm, "-D", "--defined-only", path], capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    expected = next((v for v, name in host_qemu.PLUGIN_API_MARKS if name in listed), None)
    assert exported_plugin_api(Path(path)) == expected
