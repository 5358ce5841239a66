"""A campaign comes to the same whoever does its work, and goes on where it was stopped."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from campaign_jobs import Dies, Fails, Holds, MadeUp, made_up_row
from timehands.errors import SeedFailed, UsageError, WorkersLost
from timehands.simulate.campaign import ALL_VCPUS, CampaignRequest, Row, run, run_campaign
from timehands.simulate.campaign.job import Done, Job, run_seeds
from timehands.simulate.campaign.workers import Processes

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
TESTS = Path(__file__).parents[2]
DEADLINE_S = 60


def kept(folder: Path) -> list[tuple[object, ...]]:
    """All rows of a folder, sorted, without the one column that differs between runs."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder).drop_columns(["wall_ns"])
    order = [("seed", "ascending"), ("vcpu", "ascending")]
    return [tuple(row.values()) for row in table.sort_by(order).to_pylist()]


def expected(seeds: range) -> list[tuple[object, ...]]:
    """What these seeds must leave behind."""
    return [
        made_up_row(seed, vcpu)[:-1]  # wall_ns is the last column
        for seed in seeds
        for vcpu in (ALL_VCPUS, 0, 1)
    ]


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_rows_hang_on_the_seeds_alone(jobs: int, tmp_path: Path) -> None:
    out = tmp_path / "made-up.parquet"
    summary = run_campaign(CampaignRequest(MadeUp(), range(5, 105), jobs=jobs, out=out))
    assert kept(out) == expected(range(5, 105))
    assert (summary.done, summary.resumed, summary.interrupted) == (100, 0, False)
    unkept = run_campaign(CampaignRequest(MadeUp(), range(5, 105), jobs=1))
    assert replace(unkept, took_ns=0, out=None) == replace(summary, took_ns=0, out=None)


def test_a_campaign_goes_on_and_grows(tmp_path: Path) -> None:
    out = tmp_path / "made-up.parquet"
    run_campaign(CampaignRequest(MadeUp(), range(40, 50), jobs=1, out=out))
    first = run_campaign(CampaignRequest(MadeUp(), range(30), jobs=1, out=out))
    assert (first.done, first.resumed) == (30, 0)
    more = run_campaign(CampaignRequest(MadeUp(), range(60), jobs=1, out=out))
    assert (more.done, more.resumed) == (60, 40)
    assert kept(out) == expected(range(60))
    again = run_campaign(CampaignRequest(Fails(at=10), range(60), jobs=1, out=out))
    assert (again.done, again.resumed, again.figures) == (60, 60, more.figures)


def test_a_seed_that_fails_is_named_and_those_before_it_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "made-up.parquet"
    with pytest.raises(SeedFailed, match="seed 13 failed: ArithmeticError: the clock struck") as e:
        run_campaign(CampaignRequest(Fails(), range(100), jobs=1, out=out))
    assert e.value.seed == 13
    assert "campaign_jobs.py" in e.value.traceback
    assert kept(out) == expected(range(13))


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "made-up.parquet"
    job = Dies(once=tmp_path / "died")
    summary = run_campaign(CampaignRequest(job, range(40), jobs=2, out=out))
    assert summary.lost_workers == 1
    assert kept(out) == expected(range(40))


def test_seeds_that_kill_every_worker_are_named(tmp_path: Path) -> None:
    out = tmp_path / "made-up.parquet"
    with pytest.raises(WorkersLost, match="SIGKILL") as caught:
        run_campaign(CampaignRequest(Dies(), range(40), jobs=2, out=out))
    assert 13 in caught.value.seeds
    assert {row[1] for row in kept(out)} <= set(range(40)) - {13}


@dataclass
class Slow:
    """Workers of whom each has a range in hand, and give them back last first."""

    job: Job
    room: int = 4
    lost: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.hands: list[range] = []

    @property
    def busy(self) -> bool:
        return bool(self.hands)

    def hand_in(self, seeds: range) -> None:
        assert self.room > 0
        self.hands.append(seeds)
        self.room -= 1
        self.most = max(self.most, sum(map(len, self.hands)))

    def wait(self) -> list[Done]:
        self.room += 1
        return [run_seeds(self.job, self.hands.pop())]

    def close(self) -> None:
        self.hands.clear()


def test_what_is_in_flight_is_bounded_whatever_the_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workers = Slow(MadeUp())
    monkeypatch.setattr(run, "_workers", lambda _request: workers)
    monkeypatch.setattr(run, "ROWS_PER_PART", 300)
    out = tmp_path / "made-up.parquet"
    run_campaign(CampaignRequest(MadeUp(), range(5000), out=out))
    assert kept(out) == expected(range(5000))
    assert workers.most <= 4 * 256
    assert len(list(out.glob("part-*"))) > 10


def test_huge_figures_are_kept_as_the_bound() -> None:
    row = made_up_row(1, 0)._replace(worst_warp_ns=2**64, offset_worst_ns=-(2**64))
    bounded = row.bounded()
    assert (bounded.worst_warp_ns, bounded.offset_worst_ns) == (2**63 - 1, -(2**63 - 1))
    assert bounded.reads == row.reads


@pytest.mark.parametrize(
    ("seeds", "jobs", "scheduler", "words"),
    [
        (range(0), None, None, "0 seeds"),
        (range(0, 10, 2), None, None, "seeds"),
        (range(-1, 5), None, None, "seed -1"),
        (range(2**63, 2**63 + 1), None, None, "2\\^63"),
        (range(5), 0, None, "0 jobs"),
        (range(5), 2, "tcp://127.0.0.1:1", "scheduler"),
    ],
)
def test_what_cannot_be_run_is_refused(
    seeds: range, jobs: int | None, scheduler: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        CampaignRequest(MadeUp(), seeds, jobs=jobs, scheduler=scheduler)


# Ends that nobody planned: the campaign runs in a process of its own, in a group of its own.

_SCRIPT = """
import os
import signal
import sys
import threading
from pathlib import Path
from campaign_jobs import Holds
from timehands.simulate.campaign import CampaignRequest, run, run_campaign

def end_with_the_test():
    os.read(int(sys.argv[2]), 1)
    os._exit(1)

if __name__ == "__main__":
    # Tests that run in the background of a shell inherit an ignored Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=end_with_the_test, daemon=True).start()
    folder = Path(sys.argv[1])
    run._PART_NS, run._RANGE_SEEDS = 0, 3  # many ranges, each a part at once
    job = Holds(at=20, pipe=folder / "pipe", gate=folder / "gate")
    request = CampaignRequest(job, range(100), jobs=2, out=folder / "made-up.parquet")
    summary = run_campaign(request)
    print("interrupted" if summary.interrupted else "ended", summary.done)
"""


class Pipe:
    """What workers say, and the end of it: when all of them are gone. Nobody waits for ever."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._text = b""

    def lines(self, count: int) -> list[bytes]:
        """So many lines."""
        while self._text.count(b"\n") < count:
            assert self._more(), f"the workers are gone; they said {self._text!r}"
        *lines, self._text = self._text.split(b"\n", count)
        return lines

    def at_end(self) -> bool:
        """Wait for the end; whether nothing else was said."""
        while self._more():
            pass
        return not self._text

    def _more(self) -> bytes:
        assert select.select([self._file], [], [], DEADLINE_S)[0], "nothing happens any more"
        more = os.read(self._file, 4096)
        self._text += more
        return more

    def close(self) -> None:
        os.close(self._file)


@contextmanager
def held(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Pipe]]:
    """A campaign whose workers wait at the 20th seed; and what they say in their pipe."""
    pipe = Pipe(folder / "pipe")
    ends, lives = os.pipe()  # nobody else holds `lives`: it ends with this process at the latest
    script = folder / "script.py"
    script.write_text(_SCRIPT)
    with (folder / "gate").open("wb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, str(script), str(folder), str(ends)],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=(ends,),
        )
        try:
            yield process, pipe
        finally:
            pipe.close()
            os.close(ends)
            os.close(lives)
            process.kill()
            process.communicate(timeout=DEADLINE_S)


def test_after_a_kill_nothing_is_left_running_and_the_rest_is_done(tmp_path: Path) -> None:
    out = tmp_path / "made-up.parquet"
    with held(tmp_path) as (process, pipe):
        assert len(set(pipe.lines(2))) == 2
        os.kill(process.pid, signal.SIGKILL)
        assert pipe.at_end()  # no worker holds it any longer
    done = {row[1] for row in kept(out)}
    assert 10 < len(done) < 100
    (out / ".part-000099.parquet.tmp").write_bytes(b"half a part")
    summary = run_campaign(CampaignRequest(MadeUp(), range(100), jobs=2, out=out))
    assert summary.resumed == len(done)
    assert kept(out) == expected(range(100))
    assert not list(out.glob(".part-*"))


def test_ctrl_c_leaves_what_was_done_and_no_trace_of_the_workers(tmp_path: Path) -> None:
    out = tmp_path / "made-up.parquet"
    with held(tmp_path) as (process, pipe):
        pipe.lines(2)
        os.killpg(process.pid, signal.SIGINT)
        assert pipe.at_end()
        said, errors = process.communicate(timeout=DEADLINE_S)
    seeds = {row[1] for row in kept(out)}
    assert len(seeds) > 10
    assert kept(out) == [row for row in expected(range(100)) if row[1] in seeds]
    assert (said, errors, process.returncode) == (f"interrupted {len(seeds)}\n", "", 0)


def test_workers_are_gone_after_close(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path / "pipe")
    workers = Processes(Holds(pipe=tmp_path / "pipe", gate=tmp_path / "gate"), 2)
    with (tmp_path / "gate").open("wb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        try:
            workers.hand_in(range(1))
            workers.hand_in(range(1, 2))
            pipe.lines(2)
            assert (workers.room, workers.busy) == (0, True)
        finally:
            workers.close()
        assert pipe.at_end()
    pipe.close()
    assert not workers.busy


# What the document says.

DOCUMENT = TESTS.parent / "docs" / "campaigns.md"


def test_all_columns_are_documented() -> None:
    words = DOCUMENT.read_text()
    assert [name for name in Row._fields if f"`{name}`" not in words] == []


def test_the_document_s_programs_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    by_arrow = next(block for block in blocks if "pyarrow" in block.splitlines()[0])
    own = next(block for block in blocks if "run_campaign" in block)
    monkeypatch.chdir(tmp_path)
    run_campaign(CampaignRequest(MadeUp(), range(9), jobs=1, out=Path("disagree.parquet")))
    names: dict[str, Any] = {}
    exec(by_arrow, names)
    assert names["runs"].num_rows == 9
    script = tmp_path / "own.py"
    script.write_text(own.replace("range(20)", "range(2)"))
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.stderr == ""
    assert "'worst_warp_across_ns': 0" in done.stdout
    assert len(kept(tmp_path / "linux.parquet")) == 2 * 3
