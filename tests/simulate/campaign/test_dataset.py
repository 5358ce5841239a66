"""The folder of a campaign: one campaign only, one writer only, and no torn part is believed."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from campaign_jobs import MadeUp, made_up_row
from timehands.errors import CampaignRefused, ExtraMissing
from timehands.simulate.campaign import ALL_VCPUS, CampaignRequest, Row, run_campaign
from timehands.simulate.campaign.dataset import Dataset, schema

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
JOB = MadeUp()


def rows(seeds: range) -> list[Row]:
    """Rows of some seeds."""
    return [made_up_row(seed, vcpu) for seed in seeds for vcpu in (ALL_VCPUS, 0)]


def filled(folder: Path) -> Path:
    """A folder with three parts of ten seeds each."""
    with Dataset(folder, JOB.identity) as dataset:
        for start in (0, 10, 20):
            dataset.write(rows(range(start, start + 10)))
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    """The folder's files and what is in them."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_come_back_with_the_columns_in_their_order(tmp_path: Path) -> None:
    import pyarrow.parquet

    folder = filled(tmp_path / "c.parquet")
    table = pyarrow.parquet.read_table(folder)
    assert table.schema.names == list(Row._fields)
    assert table.schema.equals(schema())
    back = [Row(**row)._replace(wall_ns=0) for row in table.to_pylist()]
    assert back == [row._replace(wall_ns=0) for row in rows(range(30))]


def test_parts_are_counted_on(tmp_path: Path) -> None:
    folder = filled(tmp_path / "c.parquet")
    with Dataset(folder, JOB.identity) as dataset:
        assert dataset.write(rows(range(30, 31))).name.startswith("part-000003-")
        (seeds,) = zip(*dataset.columns("seed"), strict=True)
    assert sorted({seed for part in seeds for seed in part.to_pylist()}) == list(range(31))


def truncate(path: Path) -> None:
    """The end is lost."""
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    """As after a power cut."""
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """One bit is another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)


def strange(path: Path) -> None:
    """A whole file, but of something else."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"seed": [1, 2]}), path)
    path.rename(path.with_name(f"part-000001-{zlib.crc32(path.read_bytes()):08x}.parquet"))


def renamed(path: Path) -> None:
    """Somebody's copy."""
    path.rename(path.with_name("part-1.parquet"))


@pytest.mark.parametrize("tear", [truncate, empty, flip, strange, renamed])
def test_a_torn_part_is_run_again(tear: Callable[[Path], None], tmp_path: Path) -> None:
    folder = filled(tmp_path / "c.parquet")
    tear(next(folder.glob("part-000001-*")))
    summary = run_campaign(CampaignRequest(JOB, range(30), jobs=1, out=folder))
    assert (summary.done, summary.resumed) == (30, 20)
    assert len(summary.torn) == 1
    assert summary.torn[0].startswith(("part-000001-", "part-1.parquet"))
    with Dataset(folder, JOB.identity) as dataset:
        seeds = [s for part in dataset.columns("seed") for s in part[0].to_pylist()]
        assert sorted(set(seeds)) == list(range(30))
        assert dataset.torn == []


def test_another_campaign_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    folder = filled(tmp_path / "c.parquet")
    before = everything(folder)
    with pytest.raises(CampaignRefused, match=r"its scenario is .*, not another") as caught:
        Dataset(folder, {**JOB.identity, "scenario": "another"})
    assert caught.value.path == folder
    with pytest.raises(CampaignRefused, match="its reader is linux, not netbsd"):
        Dataset(folder, {**JOB.identity, "reader": "netbsd"})
    assert everything(folder) == before


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    folder = filled(tmp_path / "c.parquet")
    with Dataset(folder, JOB.identity), pytest.raises(CampaignRefused, match="another process"):
        Dataset(folder, JOB.identity)
    with Dataset(folder, JOB.identity) as dataset:
        assert len(dataset.parts) == 3


def test_a_file_and_a_folder_of_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(CampaignRefused, match="is a file"):
        Dataset(tmp_path / "notes", JOB.identity)
    with pytest.raises(CampaignRefused, match="no campaign"):
        Dataset(tmp_path, JOB.identity)
    assert everything(tmp_path) == {"notes": b"mine"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"campaign": 5}', "[" * 60_000, "x" * 70_000])
def test_a_damaged_identity_is_refused(text: str, tmp_path: Path) -> None:
    folder = filled(tmp_path / "c.parquet")
    (folder / "_campaign.json").write_text(text)
    with pytest.raises(CampaignRefused, match="damaged"):
        Dataset(folder, JOB.identity)


def test_without_pyarrow_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'timehands\[campaigns\]'"):
        run_campaign(CampaignRequest(JOB, range(5), jobs=1, out=tmp_path / "c.parquet"))
    assert not (tmp_path / "c.parquet").exists()
    assert run_campaign(CampaignRequest(JOB, range(5), jobs=1)).done == 5
