"""``state.json``: what is written is read, and nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.snapshot.states import some_state
from timehands.errors import SnapshotDamaged
from timehands.monitor.snapshot import document
from timehands.monitor.snapshot.fields import Unfit
from timehands.monitor.snapshot.state import State


def written(folder: Path) -> bytes:
    """The file of `some_state`."""
    document.write(some_state(), folder)
    return (folder / document.NAME).read_bytes()


def sealed(plain: object) -> bytes:
    """A file with this in it, and the right checksum."""
    head = {"format": document.FORMAT, "version": document.VERSION}
    return json.dumps({**head, "sha256": document._digest(plain), "state": plain}).encode()


PLAIN: dict[str, Any] = json.loads(json.dumps(document._plain(some_state())))


def with_devices(**values: Any) -> dict[str, Any]:
    """The plain state, with some devices another way."""
    return {**PLAIN, "devices": {**PLAIN["devices"], **values}}


def with_ring(**values: int) -> dict[str, Any]:
    """The plain state, with the disk's ring another way."""
    virtio = PLAIN["devices"]["virtio"]
    disk = {**virtio["disk"], "ring": {**virtio["disk"]["ring"], **values}}
    return with_devices(virtio={**virtio, "disk": disk})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written(tmp_path)
    assert document.read(tmp_path) == some_state()


def test_a_second_one_is_not_written_over_it(tmp_path: Path) -> None:
    before = written(tmp_path)
    with pytest.raises(FileExistsError):
        document.write(some_state(), tmp_path)
    assert (tmp_path / document.NAME).read_bytes() == before


@pytest.mark.parametrize("share", [0, 1, 100, 5000, 9000])
def test_a_part_of_it_is_damaged(tmp_path: Path, share: int) -> None:
    (tmp_path / document.NAME).write_bytes(written(tmp_path)[: -1 - share] if share else b"")
    with pytest.raises(SnapshotDamaged, match=str(tmp_path)):
        document.read(tmp_path)


@given(at=st.integers(min_value=0), to=st.integers(0, 255))
def test_each_byte_of_it_counts(at: int, to: int) -> None:
    text = bytearray(sealed(PLAIN))
    text[at % len(text)] = to
    with suppress(Unfit):
        assert document.parse_state(bytes(text)) == some_state()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "not an object"),
        (b"{}", "has no format"),
        (b'{"format": "a picture"}', "no timehands snapshot"),
        (b'{"format": "timehands snapshot", "version": 1}', "of version 1"),
        (b'{"format": "timehands snapshot", "version": true}', "not a whole number"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"9" * 10_000, "no JSON"),
        (b"NaN", "NaN"),
        (sealed({}), "has no memory"),
        (sealed([]), "not an object"),
        (sealed({**PLAIN, "more": 1}), "'more'"),
        (sealed({**PLAIN, "processors": []}), "empty"),
        (sealed({**PLAIN, "processors": PLAIN["processors"] * 65}), "0 to 64 entries"),
        (sealed({**PLAIN, "needs": ["SUPERPOWERS"]}), "no capability"),
        (sealed({**PLAIN, "memory": {"size": 2**60, "sha256": ""}}), "memory.size"),
        (sealed({**PLAIN, "clocks": {"pit": "ours"}}), "does not fit"),
        (sealed({**PLAIN, "clocks": {"tsc_khz": 10**30}}), "state.clocks"),
        (sealed(with_devices(disk=None)), "disk does not fit"),
        (sealed(with_devices(virtio={})), "disk does not fit"),
        (sealed(with_devices(virtio={"printer": {}})), "names out of disk, entropy"),
        (sealed(with_ring(size=100)), "ring cannot be in use"),
        (sealed(with_ring(size=256)), "ring.size"),
        (sealed(with_ring(descriptors=8)), "ring cannot be in use"),
        (sealed(with_ring(taken=1 << 16)), "ring.taken"),
    ],
)
def test_what_is_none_is_told(text: bytes, said: str) -> None:
    with pytest.raises(Unfit, match=said):
        document.parse_state(text)


def test_one_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / document.NAME).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SnapshotDamaged, match="16 MiB"):
        document.read(tmp_path)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value within a tree of JSON."""
    yield path
    if isinstance(value, dict | list):
        children = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in children:
            yield from places(child, (*path, key))


PLACES = [place for place in places(PLAIN) if place]
HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**31, 2**32, 2**63, 2**64, -1, 10**100]),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["00", "0" * 8192, "zz", "../..", ""]),
    st.lists(st.integers(), max_size=8),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)


def changed(place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """The plain state with something done to the container at the way's end."""
    plain: Any = json.loads(json.dumps(PLAIN))
    at = plain
    for key in place[:-1]:
        at = at[key]
    change(at, place[-1])
    return plain  # type: ignore[no-any-return]


@settings(max_examples=400)
@given(place=st.sampled_from(PLACES), value=HOSTILE)
def test_a_value_that_does_not_fit_is_told_and_one_that_does_is_taken(
    place: tuple[Any, ...], value: Any
) -> None:
    def put(container: Any, key: Any) -> None:
        container[key] = value

    read_or_unfit(changed(place, put))


@given(place=st.sampled_from(PLACES))
def test_a_value_that_is_missing_is_told(place: tuple[Any, ...]) -> None:
    def drop(container: Any, key: Any) -> None:
        del container[key]

    plain = changed(place, drop)
    optional = {"clocks", "msrs", "needs", "cpuid", "values", "parts"}
    if optional & set(place[:-1]) or place == ("devices", "virtio", "entropy"):
        read_or_unfit(plain)
    else:
        with pytest.raises(Unfit):
            document.parse_state(sealed(plain))


def read_or_unfit(plain: object) -> None:
    """A hostile state is a state, and then it can be written again, or it is `Unfit`."""
    try:
        state = document.parse_state(sealed(plain))
    except Unfit as error:
        assert str(error)
        assert len(str(error)) < 400
        return
    assert isinstance(state, State)
    assert document.parse_state(sealed(document._plain(state))) == state
