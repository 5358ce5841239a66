from __future__ import annotations

import os
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from code_trees import FILES, tree
from timehands.errors import SourcesError
from timehands.sources.code import Index, Place, segment
from timehands.sources.code import build as building

TSC = "sys/arch/amd64/amd64/tsc.c"


def line_of(file: str, text: str, after: str = "") -> int:
    """The line of ``file`` where ``text`` stands, after a line with ``after``."""
    lines = FILES[file].split("\n")
    start = next(at for at, line in enumerate(lines) if after in line)
    return next(at for at in range(start, len(lines)) if text in lines[at]) + 1


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index.open(tree(tmp_path / "src"), cache=tmp_path / "cache", jobs=1)


def rows(places: tuple[Place, ...]) -> list[tuple[str, int, str]]:
    return [(place.where.file, place.where.line, place.function) for place in places]


def test_definitions_are_told_from_declarations_and_locals(index: Index) -> None:
    found = index.find("tsc_freq")
    assert rows(found.definitions) == [(TSC, 1, "")]
    header = "sys/sys/timetc.h"
    assert rows(found.declarations) == [(header, line_of(header, "extern"), "")]
    local = line_of(TSC, "tsc_freq = 3")
    assert rows(found.locals) == [(TSC, local, "i8254_get_timecount")]


def test_writers_are_every_way_to_write(index: Index) -> None:
    found = index.find("tsc_freq")
    clean = [(p.where.line, p.what) for p in found.writers if p.doubt is None]
    added = line_of(TSC, "+= 5")
    assert clean == [
        (line_of(TSC, "= 1000"), "="),
        (added, "changed in place"),
        (added, "changed in place"),
    ]


def test_what_may_be_no_write_has_its_doubt(index: Index) -> None:
    doubts = {p.where.line: p.doubt for p in index.find("tsc_freq").writers if p.doubt}
    assert doubts == {
        line_of(TSC, "get_freq"): "who gets the address may write",
        line_of(TSC, "tsc_freq = 4"): "a local variable of that name",
        line_of(TSC, "sc->tsc_freq"): "a member of that name, of whichever structure",
    }


def test_a_line_within_if_0_says_so(index: Index) -> None:
    (dead,) = (p for p in index.find("tsc_freq").readers if p.where.file.endswith("kern_tc.c"))
    assert dead.doubt == "within #if 0"


def test_parts_of_arrays_and_structures_are_written(index: Index) -> None:
    for name, text in (("counts", "counts[n] = 1"), ("row", "table.row"), ("table", "table.row")):
        last = index.find(name).writers
        assert [p.where.line for p in last] == [line_of(TSC, text)]
        assert last[0].what == "a part of it is written"
    found = index.find("tsc_timecounter").writers
    assert (line_of(TSC, "tc_frequency ="), "a part of it is written") in [
        (p.where.line, p.what) for p in found
    ]


def test_comments_and_strings_hold_no_names(index: Index) -> None:
    everything = index.find("tsc_freq")
    places = everything.readers + everything.writers + everything.callers
    assert not [p for p in places if p.where.file.endswith("init_main.c")]


def test_callers_and_callees(index: Index) -> None:
    file = "sys/kern/init_main.c"
    found = index.find("configure")
    assert rows(found.callers) == [(file, line_of(file, "\tconfigure();"), "main")]
    called = [(p.function, p.what) for p in index.find("mi_startup").callees]
    assert called == [
        ("TAILQ_FOREACH", "called"),
        ("func", "what it points to is called"),
    ]


def test_initialisers_and_members(index: Index) -> None:
    found = index.find("tc_get_timecount")
    assert [p.what for p in found.definitions] == ["member"]
    assert [p.where.line for p in found.initialisers] == [line_of(TSC, ".tc_get_timecount")]
    function = index.find("tsc_get_timecount")
    assert [p.what for p in function.initialisers] == ["is a value in an initialiser"]
    assert [p.where.line for p in function.definitions] == [line_of(TSC, "tsc_get_timecount(tc)")]


def test_macros(index: Index) -> None:
    found = index.find("DELAY")
    assert [p.what for p in found.definitions] == ["macro"]
    assert {p.function for p in found.callers} == {"configure", "delay"}
    assert [p.what for p in index.find("MULTIPROCESSOR").macros] == [
        "in a condition of the preprocessor"
    ]


def test_other_architectures_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    source = tree(tmp_path / "src")
    every = Index.open(source, cache=tmp_path / "cache", arch="all", jobs=1)
    assert "sys/arch/sparc/clock.c" in [p.where.file for p in every.find("tsc_freq").definitions]
    below = Index.open(source, cache=tmp_path / "cache", under="sys/kern", jobs=1)
    assert below.built.files == 2
    assert not below.find("tsc_freq").definitions


def test_a_name_that_is_not_there_has_neighbours(index: Index) -> None:
    found = index.find("tsc_dellay")
    assert not found
    assert found.near == ("tsc_delay",)


def test_a_name_that_is_defined_300_times_is_cut_and_counted(tmp_path: Path) -> None:
    many = {"sys/kern/many.c": "".join(f"static int many;\nint g{at};\n" for at in range(300))}
    index = Index.open(tree(tmp_path / "src", many), cache=tmp_path / "cache", jobs=1)
    found = index.find("many", limit=40)
    assert len(found.definitions) == 40
    assert dict(found.left_out) == {"definitions": 260}


# ---- refreshes


def everything(index: Index) -> dict[str, object]:
    return {name: index.find(name) for name in ("tsc_freq", "tc_init", "DELAY", "func", "late")}


def test_nothing_changed_scans_nothing(tmp_path: Path, index: Index) -> None:
    again = Index.open(index.tree, cache=tmp_path / "cache")
    assert (again.built.scanned, again.built.gone) == (0, 0)
    assert everything(again) == everything(index)


def test_an_edit_a_new_file_and_one_that_went_are_taken_up(tmp_path: Path, index: Index) -> None:
    root = index.tree.root
    index.close()
    edited = root / TSC
    edited.write_text("\n" + edited.read_text())
    os.utime(edited, ns=(1, 1))
    (root / "sys/kern/new.c").write_text("void fresh(void) { tc_init(0); }\n")
    (root / "sys/kern/kern_tc.c").unlink()
    again = Index.open(index.tree, cache=tmp_path / "cache", jobs=1)
    assert (again.built.scanned, again.built.gone, again.built.whole) == (2, 2, False)
    anew = Index.open(index.tree, cache=tmp_path / "other", jobs=1)
    assert everything(again) == everything(anew)
    assert rows(again.find("tsc_freq").definitions) == [(TSC, 2, "")]
    assert [p.function for p in again.find("tc_init").callers if "new.c" in p.where.file] == [
        "fresh"
    ]


def test_an_edit_that_leaves_size_and_time_as_they_were_is_seen(
    tmp_path: Path, index: Index
) -> None:
    edited = index.tree.root / TSC
    index.close()
    facts, text = edited.stat(), edited.read_text()
    edited.write_text(text.replace("tsc_freq", "tsc_fast"))
    os.utime(edited, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    again = Index.open(index.tree, cache=tmp_path / "cache", jobs=1)
    assert (again.built.scanned, again.built.gone) == (1, 1)
    assert again.find("tsc_fast").definitions


def test_a_worn_index_is_made_anew(tmp_path: Path, index: Index) -> None:
    root = index.tree.root
    index.close()
    for at in range(building._MAX_SEGMENTS_ADDED + 1):
        (root / f"sys/kern/new{at}.c").write_text(f"int new{at};\n")
        last = Index.open(index.tree, cache=tmp_path / "cache", jobs=1)
        last.close()
    assert last.built.whole


def test_a_damaged_index_is_made_anew(tmp_path: Path, index: Index) -> None:
    index.close()
    (file,) = (tmp_path / "cache").glob("*.sqlite")
    file.write_bytes(b"no database" * 1000)
    again = Index.open(index.tree, cache=tmp_path / "cache", jobs=1)
    assert again.built.scanned == again.built.files
    assert again.find("tsc_freq").definitions


def test_a_damaged_block_is_an_error_with_words(tmp_path: Path, index: Index) -> None:
    index.close()
    (file,) = (tmp_path / "cache").glob("*.sqlite")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE block SET data = x'00'")
    again = Index.open(index.tree, cache=tmp_path / "cache", jobs=1)
    with pytest.raises(SourcesError, match="the index is damaged"):
        again.find("tsc_freq")


def test_several_processes_make_the_same_index(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_SEGMENT_BYTES", 500)
    again = Index.open(index.tree, cache=tmp_path / "other", jobs=2)
    assert everything(again) == everything(index)


# ---- bad input


def test_a_folder_without_c_is_an_error_with_words(tmp_path: Path) -> None:
    source = tree(tmp_path / "src")
    (source.root / "sys/empty").mkdir()
    with pytest.raises(SourcesError, match="no C files"):
        Index.open(source, cache=tmp_path / "cache", under="sys/empty")


def test_a_file_that_cannot_be_parsed_is_counted_and_named(tmp_path: Path) -> None:
    broken = {"sys/kern/broken.c": "int fine(void)\n{\n\treturn good();\n}\n)( ] int [ = = ;\n"}
    index = Index.open(tree(tmp_path / "src", broken), cache=tmp_path / "cache", jobs=1)
    (unparsed,) = index.unparsed()
    assert unparsed.file == "sys/kern/broken.c"
    assert 1 <= unparsed.lines[0] <= 6
    assert rows(index.find("good").callers) == [("sys/kern/broken.c", 3, "fine")]


def test_a_file_that_is_too_large_is_named(tmp_path: Path) -> None:
    source = tree(tmp_path / "src")
    with (source.root / "sys/kern/large.c").open("wb") as file:
        file.truncate((16 << 20) + 1)
    index = Index.open(source, cache=tmp_path / "cache", jobs=1)
    assert index.unread() == [("sys/kern/large.c", "larger than 16 MB; not read")]


def test_a_file_with_nul_bytes_is_read_and_named(tmp_path: Path) -> None:
    source = tree(tmp_path / "src", {"sys/kern/nul.c": "int\0here;\n"})
    index = Index.open(source, cache=tmp_path / "cache", jobs=1)
    assert index.unread() == [("sys/kern/nul.c", "has NUL bytes, as UTF-16 has; taken for blanks")]
    assert rows(index.find("here").definitions) == [("sys/kern/nul.c", 1, "")]


def test_links_out_of_the_tree_are_not_followed(tmp_path: Path) -> None:
    source = tree(tmp_path / "src")
    (tmp_path / "secret.c").write_text("int secret;\n")
    (source.root / "sys/kern/secret.c").symlink_to(tmp_path / "secret.c")
    (source.root / "sys/loop").symlink_to(source.root)
    index = Index.open(source, cache=tmp_path / "cache", jobs=1)
    assert not index.find("secret")


def die(*_: object) -> None:
    """In a process of the pool: ended as by the kernel when memory is out."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "make", die)
    monkeypatch.setattr(building, "_SEGMENT_BYTES", 1)
    root = tree(tmp_path / "src")
    with pytest.raises(SourcesError, match="was ended from outside"):
        Index.open(root, cache=tmp_path / "cache", jobs=2)
    monkeypatch.undo()
    assert Index.open(root, cache=tmp_path / "cache", jobs=1).find("tsc_freq").definitions


def test_a_function_that_a_types_name_declares_is_no_variable(tmp_path: Path) -> None:
    files = {
        "sys/kern/tun.h": "read_f other_read;\n",
        "sys/kern/tun.c": "static read_f tun_read;\nint\ntun_read(int n)\n{\n\treturn n;\n}\n",
        "sys/kern/other.c": "int other_read(int n) { return n; }\nint tun_read;\n",
    }
    index = Index.open(tree(tmp_path / "src", files), cache=tmp_path / "cache", jobs=1)
    for name, file in (("tun_read", "sys/kern/tun.c"), ("other_read", "sys/kern/tun.h")):
        assert rows(index.find(name).declarations) == [(file, 1, "")]
    assert [place.what for place in index.find("tun_read").definitions] == ["variable", "function"]


def test_several_that_make_one_index_at_once_make_it_once(tmp_path: Path, index: Index) -> None:
    cache, start = tmp_path / "shared", Barrier(4)

    def once(_number: int) -> tuple[int, int, bool]:
        start.wait(60)
        one = Index.open(index.tree, cache=cache, jobs=1)
        built = (one.built.scanned, one.built.gone, one.find("tsc_freq") == index_found)
        one.close()
        return built

    index_found = index.find("tsc_freq")
    with ThreadPoolExecutor(4) as pool:
        made = sorted(pool.map(once, range(4)))
    files = index.built.files
    assert made == [(0, 0, True)] * 3 + [(files, 0, True)]


def test_how_far_it_is_is_told(tmp_path: Path, index: Index) -> None:
    told: list[tuple[int, int]] = []
    arguments = {"cache": tmp_path / "other", "jobs": 1}
    Index.open(index.tree, **arguments, progress=lambda *one: told.append(one)).close()
    total = sum(
        (index.tree.root / index.file(at)).stat().st_size for at in range(1, index.built.files + 1)
    )
    assert (told[0], told[-1]) == ((0, total), (total, total))
    told.clear()
    Index.open(index.tree, **arguments, progress=lambda *one: told.append(one)).close()
    assert told == []


def test_an_architecture_that_the_tree_has_not_is_refused(tmp_path: Path, index: Index) -> None:
    with pytest.raises(SourcesError, match="no architecture 'vax'") as caught:
        Index.open(index.tree, cache=tmp_path / "other", arch="vax")
    assert "amd64" in str(caught.value.advice)
    Index.open(index.tree, cache=tmp_path / "other", arch="all", jobs=1).close()


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, index: Index) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourcesError, match="cannot be kept") as caught:
        Index.open(index.tree, cache=tmp_path / "file" / "below", jobs=1)
    assert "XDG_CACHE_HOME" in str(caught.value.advice)
