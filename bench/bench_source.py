#!/usr/bin/env python3
"""How fast a tree answers: ``why``, and an index of its C against cscope's of the same files.

    bench/bench_source.py TREE [--config NAME] [--arch amd64] [--only why|index] [--jobs N]
                               [--names 300] [--files 100] [--seed 1] [--json]

``why``: of files drawn from those that the lists of the tree name, each asked in this process with
the configuration resolved anew, up to the text that is printed: with nothing kept, and with what is
worth keeping in a folder; then the command from the shell, once for each of a few of the files,
with a cache folder that is empty at first.

Both indexes are made anew in a temporary folder: ``cscope -bqk`` first, then ours. Memory is the
largest sum of what our processes hold (/proc, looked at five times a second; shared pages are
counted in each). Then: a refresh when nothing changed; one after a single file seems to have
changed (its time in the index is set back: the tree itself is not touched); finds of names drawn
from the index and of the most frequent ones, each timed in this process after one to warm up.
On a host that does other work, too, compare the CPU times, ours divided by the processes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from timehands.cli.source_show import text
from timehands.sources.code import Index
from timehands.sources.code.columns import unpack
from timehands.sources.code.files import files_of
from timehands.sources.config import asking, pages, resolve
from timehands.sources.tree import SourceTree

_CONFIGS = {"freebsd": "FIRECRACKER", "netbsd": "MICROVM", "openbsd": "GENERIC"}
_COMMANDS = 10
_FREQUENT = ("i", "error", "sc", "printf", "NULL", "uint32_t", "ret", "dev", "KASSERT", "u_int")


class _Memory(threading.Thread):
    """The largest memory that a process and its descendants hold together."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most_kb, self._stop_now = 0, threading.Event()

    def run(self) -> None:
        while not self._stop_now.wait(0.2):
            self.most_kb = max(self.most_kb, _held_kb())

    def stop(self) -> int:
        self._stop_now.set()
        self.join()
        return self.most_kb


def _held_kb() -> int:
    parents, held = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                pages = int((folder / "statm").read_text().split()[1])
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
            held[int(folder.name)] = pages * resource.getpagesize() // 1024
    return sum(kb for process, kb in held.items() if _is_ours(process, parents))


def _is_ours(process: int, parents: dict[int, int]) -> bool:
    while process > 1:
        if process == os.getpid():
            return True
        process = parents.get(process, 0)
    return False


def cscope(tree: SourceTree, files: list[str], folder: Path) -> dict[str, Any]:
    """Time of ``cscope -bqk``."""
    names = folder / "files"
    names.write_text("".join(f"{name}\n" for name in files))
    begin, before = time.monotonic(), _cpu_s()
    subprocess.run(
        ["cscope", "-bqk", "-i", str(names), "-f", str(folder / "cscope.out")],
        cwd=tree.root,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    seconds = time.monotonic() - begin
    size = sum(path.stat().st_size for path in folder.glob("cscope.out*"))
    return {"seconds": seconds, "cpu_s": _cpu_s() - before, "bytes": size}


def _cpu_s() -> float:
    """CPU time of this process and of those that it has waited for."""
    own, others = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def ours(tree: SourceTree, arch: str, jobs: int | None, cache: Path) -> dict[str, Any]:
    """Time, memory and size of our index, and of refreshes."""
    memory = _Memory()
    memory.start()
    begin, before = time.monotonic(), _cpu_s()
    index = Index.open(tree, cache=cache, arch=arch, jobs=jobs)
    result: dict[str, Any] = {"seconds": time.monotonic() - begin, "files": index.built.files}
    result["cpu_s"] = _cpu_s() - before
    result["memory_mb"] = memory.stop() // 1024
    result["unparsed_files"] = len(index.unparsed())
    index.close()
    result["bytes"] = sum(path.stat().st_size for path in cache.glob("*.sqlite"))
    result["no_change_s"] = _refresh(tree, arch, cache)
    _touch(next(cache.glob("*.sqlite")))
    result["one_file_s"] = _refresh(tree, arch, cache)
    return result


def _refresh(tree: SourceTree, arch: str, cache: Path) -> float:
    begin = time.monotonic()
    Index.open(tree, cache=cache, arch=arch).close()
    return time.monotonic() - begin


def _touch(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as database:
        database.execute("UPDATE file SET changed = 0 WHERE id = (SELECT max(id) / 2 FROM file)")


def finds(tree: SourceTree, arch: str, cache: Path, many: int, seed: int) -> dict[str, Any]:
    """Times of finds, in ms."""
    index = Index.open(tree, cache=cache, arch=arch)
    draw = random.Random(seed)
    names = [name.decode() for name in draw.sample(_names(cache), many)]
    index.find("main")
    result = {}
    for kind, words in (("drawn", names), ("frequent", list(_FREQUENT))):
        times = [_find_ms(index, word) for word in words]
        result[kind] = {"median_ms": statistics.median(times), "worst_ms": max(times)}
    index.close()
    return result


def _names(cache: Path) -> list[bytes]:
    import sqlite3

    with sqlite3.connect(next(cache.glob("*.sqlite"))) as database:
        rows = database.execute("SELECT data FROM block").fetchall()
    return sorted({name for (data,) in rows for name in unpack(data)[0]})


def _find_ms(index: Index, word: str) -> float:
    begin = time.monotonic()
    index.find(word, limit=40)
    return (time.monotonic() - begin) * 1000


def whys(root: Path, config: str, arch: str, many: int, seed: int) -> dict[str, Any]:
    """Times of ``why``, in ms: in this process, and of the command from the shell."""
    named = sorted(resolve(SourceTree.open(root), config, arch).rules)
    drawn = random.Random(seed).sample(named, min(many, len(named)))
    result: dict[str, Any] = {"config": config, "files": len(drawn)}
    result["cold"] = _spread([_why_ms(root, config, arch, file, None) for file in drawn])
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        _why_ms(root, config, arch, drawn[0], cache)
        result["kept"] = _spread([_why_ms(root, config, arch, file, cache) for file in drawn])
    with tempfile.TemporaryDirectory() as name:
        shell = [_command_ms(root, config, arch, file, name) for file in drawn[:_COMMANDS]]
    result["command"] = {"first_ms": shell[0], "median_ms": statistics.median(shell[1:])}
    return result


def _spread(times: list[tuple[float, float]]) -> dict[str, float]:
    walls, cpus = zip(*times, strict=True)
    return {
        "median_ms": statistics.median(walls),
        "worst_ms": max(walls),
        "cpu_median_ms": statistics.median(cpus),
        "cpu_worst_ms": max(cpus),
    }


def _why_ms(
    root: Path, config: str, arch: str, file: str, cache: Path | None
) -> tuple[float, float]:
    gc.collect()  # of what the file before left: a command has one file
    begin, before = time.monotonic(), time.process_time()
    tree = SourceTree.open(root)
    kernel = resolve(tree, config, arch, cache=cache)
    _, (answer, *_rest) = asking.why(tree, kernel, file)
    text(pages.why_page(kernel, answer))
    return (time.monotonic() - begin) * 1000, (time.process_time() - before) * 1000


def _command_ms(root: Path, config: str, arch: str, file: str, cache: str) -> float:
    words = ["source", str(root), "why", file, "--config", config, "--arch", arch]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "timehands", *words],
        env={**os.environ, "XDG_CACHE_HOME": cache},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"timehands {' '.join(words)} failed")
    return (time.monotonic() - begin) * 1000


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tree")
    parser.add_argument("--config", help="default: a microVM's, or GENERIC; Linux: a .config")
    parser.add_argument("--arch", default="amd64")
    parser.add_argument("--only", choices=("why", "index"))
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--names", type=int, default=300)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tree = SourceTree.open(options.tree)
    config = options.config or _CONFIGS.get(tree.kind)
    result: dict[str, Any] = {}
    if options.only != "index" and config:
        result["why"] = whys(tree.root, config, options.arch, options.files, options.seed)
    if options.only != "why":
        result |= _indexed(tree, options)
    result["load_average"] = os.getloadavg()[0]
    print(json.dumps(result, indent=2) if options.json else _words(result))
    return 0


def _indexed(tree: SourceTree, options: argparse.Namespace) -> dict[str, Any]:
    found = list(files_of(tree, tree.sys, options.arch))
    result: dict[str, Any] = {"source_bytes": sum(size for _, size, _ in found)}
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name) / "cache"
        result["cscope"] = cscope(tree, sorted(path for path, _, _ in found), Path(name))
        result["ours"] = ours(tree, options.arch, options.jobs, cache)
        result["find"] = finds(tree, options.arch, cache, options.names, options.seed)
    result["times_cscope"] = result["ours"]["seconds"] / result["cscope"]["seconds"]
    return result


def _words(result: dict[str, Any]) -> str:
    lines = []
    if why := result.get("why"):
        lines.append(f"why           {why['files']} files of {why['config']}")
        for kind in ("cold", "kept"):
            median, worst, cpu, cpu_worst = why[kind].values()
            words = f"median {median:.0f} ms (CPU {cpu:.0f}), worst {worst:.0f} ms"
            lines.append(f"  {kind:<12}{words} (CPU {cpu_worst:.0f})")
        first, later = why["command"].values()
        lines.append(f"  command     {first:.0f} ms at first, then {later:.0f} ms")
    if "ours" in result:
        lines += _index_words(result)
    return "\n".join([*lines, f"load average  {result['load_average']:.1f}"])


def _index_words(result: dict[str, Any]) -> list[str]:
    own, other, find = result["ours"], result["cscope"], result["find"]
    lines = [
        f"{own['files']:,} files, {result['source_bytes'] / 1e6:.1f} MB",
        f"cscope -bqk   {other['seconds']:.1f} s (CPU {other['cpu_s']:.1f} s), "
        f"{other['bytes'] / 1e6:.1f} MB",
        f"ours          {own['seconds']:.1f} s (CPU {own['cpu_s']:.1f} s), "
        f"{result['times_cscope']:.2f} times cscope's, {own['bytes'] / 1e6:.1f} MB",
        f"              memory {own['memory_mb']:,} MB; "
        f"{own['unparsed_files']:,} files not parsed wholly",
        f"refresh       {own['no_change_s']:.2f} s, after one change {own['one_file_s']:.2f} s",
    ]
    for kind, times in find.items():
        words = f"median {times['median_ms']:.0f} ms, worst {times['worst_ms']:.0f} ms"
        lines.append(f"find, {kind:<9}{words}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
