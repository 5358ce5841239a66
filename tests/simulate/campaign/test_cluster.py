"""The same campaign on a real Dask cluster: a scheduler and worker processes on this host."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campaign_jobs import Dies, Fails, MadeUp
from timehands.errors import ClusterUnavailable, ExtraMissing, SeedFailed, WorkersLost
from timehands.simulate.campaign import CampaignRequest, CampaignSummary, run_campaign
from timehands.simulate.campaign.cluster import AHEAD, Cluster

dask = pytest.importorskip("dask", reason="dask is not installed")
distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")
WORKERS = 3


def local_cluster(workers: int) -> Any:
    """A cluster of worker processes, reached by nobody but us."""
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three workers, for all tests of this file. Two that die with a task make Dask give it up."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        local_cluster(WORKERS) as running,
    ):
        yield running


def campaign(cluster: Any, job: MadeUp, seeds: range, out: Path | None = None) -> CampaignSummary:
    """Run one on the cluster, when all its workers are there."""
    with distributed.Client(cluster) as client:
        client.wait_for_workers(WORKERS)
    request = CampaignRequest(job, seeds, scheduler=cluster.scheduler_address, out=out)
    return run_campaign(request)


def table(folder: Path) -> list[tuple[object, ...]]:
    """All rows, sorted, without the time that they took."""
    import pyarrow.parquet

    whole = pyarrow.parquet.read_table(folder).drop_columns(["wall_ns"])
    return sorted((tuple(row.values()) for row in whole.to_pylist()), key=repr)


def test_the_results_are_those_of_processes(cluster: Any, tmp_path: Path) -> None:
    there, here = tmp_path / "there.parquet", tmp_path / "here.parquet"
    summary = campaign(cluster, MadeUp(), range(200), there)
    alone = run_campaign(CampaignRequest(MadeUp(), range(200), jobs=2, out=here))
    assert table(there) == table(here)
    assert summary.figures == alone.figures
    assert summary.done == 200


def test_the_campaign_survives_the_death_of_a_worker(cluster: Any, tmp_path: Path) -> None:
    there, here = tmp_path / "there.parquet", tmp_path / "here.parquet"
    summary = campaign(cluster, Dies(once=tmp_path / "died"), range(100), there)
    assert (tmp_path / "died").exists()
    assert (summary.done, summary.interrupted) == (100, False)
    assert summary.lost_workers > 0
    run_campaign(CampaignRequest(MadeUp(), range(100), jobs=1, out=here))
    assert table(there) == table(here)


def test_what_is_with_the_cluster_is_bounded(cluster: Any) -> None:
    with distributed.Client(cluster) as client:
        client.wait_for_workers(WORKERS)
    workers = Cluster(MadeUp(), cluster.scheduler_address)
    try:
        handed = 0
        while workers.room:
            workers.hand_in(range(handed, handed + 1))
            handed += 1
        assert handed == AHEAD * WORKERS
        done = []
        while workers.busy:
            done += workers.wait()
        assert sorted(one.seeds.start for one in done) == list(range(handed))
    finally:
        workers.close()


def test_a_seed_that_fails_is_named_and_the_cluster_is_left_as_it_was(cluster: Any) -> None:
    with pytest.raises(SeedFailed, match="seed 13 failed"):
        campaign(cluster, Fails(), range(50))
    assert campaign(cluster, MadeUp(), range(10)).done == 10


def test_a_cluster_without_workers_is_told() -> None:
    with (
        local_cluster(0) as empty,
        pytest.raises(ClusterUnavailable, match="has no workers"),
    ):
        Cluster(MadeUp(), empty.scheduler_address, workers_s=0.2)


def test_seeds_that_kill_every_worker_are_named(cluster: Any) -> None:
    with pytest.raises(WorkersLost, match="seeds 13 in hand") as caught:
        campaign(cluster, Dies(), range(13, 14))
    assert caught.value.seeds == range(13, 14)


def test_a_scheduler_that_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timehands.simulate.campaign.cluster.CONNECT_S", 1)
    with local_cluster(1) as short:
        workers = Cluster(MadeUp(), short.scheduler_address)
        try:
            workers.hand_in(range(1))
            assert [one.seeds for one in workers.wait()] == [range(1)]
            short.close()
            workers.hand_in(range(1, 2))
            with pytest.raises(ClusterUnavailable, match="failed"):
                workers.wait()
        finally:
            workers.close()


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timehands.simulate.campaign.cluster.CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ClusterUnavailable, match=f"127.0.0.1:{port}"):
        Cluster(MadeUp(), f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["", "nonsense://x", "tcp://127.0.0.1:port"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(ClusterUnavailable):
        Cluster(MadeUp(), address)


def test_without_dask_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'timehands\[campaigns\]'"):
        Cluster(MadeUp(), "tcp://127.0.0.1:8786")
