from __future__ import annotations

import json
from pathlib import Path

import pytest

from sourced_kernels import FILES
from timehands.cli.main import main


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "src"


def test_pages_have_an_anchor_at_each_line(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "sys/kern/odd.c").write_text("int a; /* <b>&\x1b[2J\u202e */\n\tint b;\n")
    out = tmp_path / "pages"
    assert main(["source", str(tree), "pages", "sys/kern", "--out", str(out)]) == 0
    assert "2 pages" in capsys.readouterr().out
    text = (out / "sys/kern/odd.c.html").read_text()
    assert '<span id="L2"><a class="no" href="#L2">2</a>        int b;</span>' in text
    assert "&lt;b&gt;&amp;\\x1b[2J\\u202e" in text
    assert "script" not in text.split("<body>")[1]
    index = (out / "index.html").read_text()
    assert 'href="sys/kern/odd.c.html"' in index


def test_pages_say_why_their_file_is_compiled(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pages"
    words = ["source", str(tree), "pages", "sys/x86/x86/clock.c", "--out", str(out)]
    assert main([*words, "--config", "SMALL", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["complaints"] == []
    assert {"sys/x86/x86/clock.c", "sys/conf/files.amd64", "sys/amd64/conf/SMALL"} <= set(
        data["files"]
    )
    text = (out / "sys/x86/x86/clock.c.html").read_text()
    assert "is compiled into SMALL" in text
    assert 'href="../../../sys/amd64/conf/SMALL.html#L3"' in text
    assert 'id="L3"' in (out / "sys/amd64/conf/SMALL.html").read_text()


def test_what_cannot_be_written_is_said(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pages"
    words = ["source", str(tree), "pages"]
    assert main([*words, "none.c", "sys/kern/init_main.c", "--out", str(out)]) == 1
    assert "none.c" in capsys.readouterr().err
    assert (out / "sys/kern/init_main.c.html").exists()
    assert main([*words, "--out", str(out)]) == 2
    assert "no files are named" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([*words, "sys/kern", "--out", str(tmp_path / "file")]) == 2
    assert main([*words, "../..", "--out", str(out)]) == 2
