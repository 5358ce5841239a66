"""Logs as they come out of browsers and programs; all texts are our own."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_repositories import Repository, git
from timehands.errors import PastedLogUnusable
from timehands.sources.history.model import Change
from timehands.sources.history.pasted import parse, read_pasted
from timehands.sources.history.pasted.dates import find_date

GITHUB = """\
Commits on Nov 21, 2024
clock: count upwards

@ada
ada authored and bob committed on Nov 21, 2024
·
3 / 3
Verified
Copy full SHA for 25af4ef
25af4ef
Browse repository at this point
clock: do not stop
carl committed
1234567
Commits on Nov 3, 2024
Fix 100 % of it (#12)
Dora and Emil authored
Copy full SHA for abcdef0
abcdef0
"""
#: As browsers copy the page's newer form: each part on a line of its own.
GITHUB_APART = """\
Commits on Nov 21, 2024
clock: count upwards
ada
ada
authored and
bob
committed
on Nov 20, 2024
25af4ef
clock: committed to memory
carl
committed
last week
1234567
"""
CGIT = """\
index : src\t
Age\tCommit message (Expand)\tAuthor\tFiles\tLines
2024-11-21\tclock: count upwards\tAda Example\t2\t-3/+5
It went down before.

2024-11-20\tclock: do not stop\tBob Example\t1\t-0/+7
3 days\tclock: a word\tCarl Example\t1\t-1/+1
"""
CGIT_COMMIT = """\
author\tAda Example <ada@example.org>\t2024-11-21 10:00:00 +0100
committer\tBob Example <bob@example.org>\t2024-11-21 11:00:00 +0100
commit\t25af4ef0123456789abcdef0123456789abcdef0 (patch)
tree\t1234567
parent\t89abcde
download\tsrc-25af4ef.tar.gz
clock: count upwards

It went down before.
Diffstat
-rw-r--r--\tsys/kern/clock.c\t8\t
"""
OPENGROK = """\
History log of /src/sys/kern/clock.c (Results 1 – 25 of 140)
Revision\tDate\tAuthor\tComments
1.140\t2-Sep-2024\tada\tCount upwards:
it went down
 before.

/src/sys/kern/clock.c
 1.139 \t01-Sep-2024 \tbob \tDo not stop.
"""
CVSWEB = """\
CVS log for src/sys/kern/clock.c
Default branch: MAIN
Revision 1.140 / (download) - annotate - [select for diffs], Mon Sep 2 10:00:00 2024 UTC by ada
Branch: MAIN
CVS Tags: netbsd-11-base, HEAD
Changes since 1.139: +5 -3 lines
Diff to previous 1.139 (colored)

Count upwards.

Revision 2 of the idea, not a header.
Revision 1.139 / (download) - annotate - [select for diffs], Sun Sep 1 10:00:00 2024 UTC by bob
Branch: MAIN
Changes since 1.138: +1 -1 lines
Diff to previous 1.138 (colored)

Do not stop.
"""
VIEWVC = """\
Revision 300000 - (view) (download) (annotate) - [select for diffs]
Modified Mon May 16 10:00:00 2016 UTC (9 years ago) by ada
Original Path: head/sys/kern/clock.c
File length: 5000 byte(s)
Diff to previous 299999
Count upwards.
"""
CVS = """\
RCS file: /cvs/src/sys/kern/clock.c,v
description:
----------------------------
revision 1.140
date: 2024-09-02 10:00:00 +0000;  author: ada;  state: Exp;  lines: +5 -3;  commitid: x;
branches:  1.140.2;
Count upwards.
----------------------------
revision 1.139
date: 2024/09/01 10:00:00;  author: bob;  state: Exp;
Do not stop.
=============================================================================
"""
SVN = """\
------------------------------------------------------------------------
r300000 | ada | 2016-05-16 10:00:00 +0000 (Mon, 16 May 2016) | 3 lines
Changed paths:
   M /head/sys/kern/clock.c

Count upwards.

It went down before.
------------------------------------------------------------------------
r299999 | bob | 2016-05-15 10:00:00 +0000 (Sun, 15 May 2016) | 1 line

Do not stop.
------------------------------------------------------------------------
"""


def brief(change: Change) -> tuple[str, str, str, str]:
    return change.revision[:10], change.day, change.author, change.subject


def test_github_s_page_may_have_each_part_on_its_own_line() -> None:
    found = parse(GITHUB_APART)
    assert found is not None
    told = [(one.revision, one.author, one.day, one.subject, one.body) for one in found.changes]
    assert told == [
        ("25af4ef", "ada", "2024-11-20", "clock: count upwards", ""),
        ("1234567", "carl", "2024-11-21", "clock: committed to memory", ""),
    ]


@pytest.mark.parametrize(
    ("text", "form", "changes"),
    [
        (
            GITHUB,
            "GitHub's commits",
            [
                ("25af4ef", "2024-11-21", "ada", "clock: count upwards"),
                ("1234567", "2024-11-21", "carl", "clock: do not stop"),
                ("abcdef0", "2024-11-03", "Dora", "Fix 100 % of it (#12)"),
            ],
        ),
        (
            CGIT,
            "cgit's log",
            [
                ("", "2024-11-21", "Ada Example", "clock: count upwards"),
                ("", "2024-11-20", "Bob Example", "clock: do not stop"),
                ("", "", "Carl Example", "clock: a word"),
            ],
        ),
        (
            CGIT_COMMIT,
            "cgit's log",
            [("25af4ef012", "2024-11-21", "Ada Example", "clock: count upwards")],
        ),
        (
            CVSWEB,
            "cvsweb's or ViewVC's log",
            [
                ("1.140", "2024-09-02", "ada", "Count upwards."),
                ("1.139", "2024-09-01", "bob", "Do not stop."),
            ],
        ),
        (
            VIEWVC,
            "cvsweb's or ViewVC's log",
            [("300000", "2016-05-16", "ada", "Count upwards.")],
        ),
        (
            OPENGROK,
            "OpenGrok's history",
            [
                ("1.140", "2024-09-02", "ada", "Count upwards: it went down before."),
                ("1.139", "2024-09-01", "bob", "Do not stop."),
            ],
        ),
        (
            CVS,
            "cvs log",
            [
                ("1.140", "2024-09-02", "ada", "Count upwards."),
                ("1.139", "2024-09-01", "bob", "Do not stop."),
            ],
        ),
        (
            SVN,
            "svn log",
            [
                ("r300000", "2016-05-16", "ada", "Count upwards."),
                ("r299999", "2016-05-15", "bob", "Do not stop."),
            ],
        ),
    ],
    ids=["github", "cgit", "cgit-commit", "cvsweb", "viewvc", "opengrok", "cvs", "svn"],
)
def test_each_form_is_known(text: str, form: str, changes: list[tuple[str, ...]]) -> None:
    for shape in (text, text.replace("\n", "\r\n")):
        found = parse(shape)
        assert found is not None
        assert found.form == form
        assert [brief(one) for one in found.changes] == changes


def test_what_a_log_tells_beyond_the_line_is_kept() -> None:
    cvsweb, cgit, svn = parse(CVSWEB), parse(CGIT), parse(SVN)
    assert cvsweb is not None
    assert cgit is not None
    assert svn is not None
    assert cvsweb.changes[0].told == (5, 3)
    assert cvsweb.changes[0].body == "Revision 2 of the idea, not a header."
    assert (cgit.changes[0].told, cgit.changes[0].body) == ((5, 3), "It went down before.")
    assert svn.changes[0].body == "It went down before."
    assert cgit.complaints == (
        "1 of 3 have no date that can be told",
        "3 of 3 have no revision",
    )


def test_git_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    repository = Repository()
    for number in range(3):
        repository.commit({"a": str(number)}, message=f"Change {number}\n\nWhy:\n    because")
    ids = repository.write(tmp_path / "r")
    for more in ((), ("--stat",), ("--decorate", "--format=fuller")):
        found = parse(git(tmp_path / "r", "log", *more))
        assert found is not None
        assert found.form == "git log"
        assert [one.revision for one in found.changes] == ids[::-1]
        assert [one.subject for one in found.changes] == ["Change 2", "Change 1", "Change 0"]
        assert found.changes[0].email == "ada@example.org"
        assert found.changes[0].body.startswith("Why:")
        assert found.changes[0].date == datetime(2024, 1, 1, 3, tzinfo=UTC)


def test_files_that_are_no_log_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "text").write_text("Nothing of the kind.\n")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("empty", "text", "folder", "pipe", "missing"):
        with pytest.raises(PastedLogUnusable, match=name):
            read_pasted(tmp_path / name)


@given(
    st.lists(
        st.sampled_from(
            [
                line
                for text in (GITHUB, CGIT, CGIT_COMMIT, CVSWEB, OPENGROK, CVS, SVN)
                for line in text.splitlines()
            ]
        )
        | st.text(max_size=30),
        max_size=30,
    )
)
def test_no_mixture_of_lines_breaks_it(lines: list[str]) -> None:
    found = parse("\n".join(lines))
    assert found is None or found.changes


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)))
def test_dates_are_found_as_they_are_written(when: datetime) -> None:
    when = when.replace(microsecond=0, tzinfo=UTC)
    forms = ("%Y-%m-%d %H:%M:%S +0000", "%Y/%m/%d %H:%M:%S", "%a %b %d %H:%M:%S %Y UTC")
    for form in forms:
        assert find_date("x " + when.strftime(form)) == when
    found = find_date(when.strftime("%b %d, %Y"))
    assert found is not None
    assert found.date() == when.date()
