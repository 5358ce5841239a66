"""The verb ``pvclock``: scale, decode and check; their pages, their JSON, their exit status."""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import KVM_RECORDS, SCALES, Row
from clocks.pvclock.test_xen import page as shared_info
from timehands.cli import pvclock, pvclock_decode, pvclock_scale
from timehands.cli.main import main
from timehands.clocks.pvclock.layout import TimeInfo, WallClock
from timehands.clocks.pvclock.scale import time_scale
from timehands.clocks.pvclock.verdicts import TROUBLES

GOOD = KVM_RECORDS[0]
HEX = GOOD.build().hex()
WALL = WallClock(2, 1795232565, 721313481)


def run(*words: str) -> int:
    return main(["pvclock", *words])


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert run(*words) == status
    return capsys.readouterr().out


def json_of(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Any:
    data = json.loads(said(capsys, *words, "--json", status=status))
    assert data["schema"] == 1
    return data


def test_each_subverb_has_a_file_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in pvclock.SUBVERBS:
        importlib.import_module(f"timehands.cli.{name}")
        with pytest.raises(SystemExit, match="0"):
            run(name.removeprefix("pvclock_"), "--help")
        assert name.removeprefix("pvclock_") in capsys.readouterr().out


def test_a_subverb_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run()
    assert "SUBVERB" in capsys.readouterr().err


# scale


@pytest.mark.parametrize("row", SCALES, ids=lambda row: str(row.tsc_khz))
def test_scale_as_json(row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    data = json_of(capsys, "scale", "--tsc-khz", str(row.tsc_khz))
    assert (data["provider"], data["tsc_hz"]) == ("kvm", row.tsc_khz * 1000)
    assert (data["mul"], data["mul_hex"], data["shift"]) == (row.mul, hex(row.mul), row.shift)
    inverses = data["inverses"]
    assert inverses["linux_khz"] == row.linux_khz
    assert inverses["linux_khz_lost"] == row.tsc_khz - row.linux_khz
    assert inverses["freebsd_hz"] == row.freebsd_hz
    assert inverses["kvm_khz"] == row.tsc_khz
    assert Fraction(inverses["exact_hz"]) >= row.tsc_khz * 1000
    day = data["error"]["within"][-1]
    assert day["seconds"] == 86_400
    assert Fraction(day["low_ns"]) <= row.day_error_ns <= Fraction(day["high_ns"])


def test_scale_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "scale", "--tsc-khz", "2900015", "--after", "60").splitlines() == [
        "factors    mul 2,962,031,090 (0xb08d01f2), shift -1",
        "           as KVM (kvm_get_time_scale) gives them for 2,900,015,000 Hz",
        "stands for 2,900,015,000.18 Hz",
        "           Linux reads 2,900,014 kHz (1 kHz lost: it divides before it shifts)",
        "           FreeBSD reads 2,900,015,000 Hz",
        "rate       -0.062 ppb, -5.368 us a day",
        "           against a TSC of 2,900,015,000 Hz",
        "one read   loses at most 1.345 ns by rounding",
        "           within 60 s of an update: -5.072 to 0 ns off",
        "overflow   cycles << shift never leaves 64 bits",
        "           a product of only 64 bits is wrong from 12,455,469,584 cycles on, 4.2"
        "95 s after an update",
    ]


@given(st.integers(1, (1 << 32) - 1))
def test_any_frequency_is_shown_in_a_hundred_columns(tsc_khz: int) -> None:
    hz = tsc_khz * 1000
    asked = pvclock_scale.Asked("kvm", time_scale(tsc_khz), hz, Fraction(hz), (1, 10**12))
    assert all(len(line) <= 100 for line in pvclock_scale.page(asked))


def test_scale_as_xen_and_against_a_true_frequency(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("scale", "--xen", "--tsc-hz", "2499998321", "--true-hz", "4999996643/2")
    data = json_of(capsys, *asked)
    assert (data["provider"], data["mul"], data["shift"]) == ("xen", 3435976145, -1)
    assert data["true_hz"] == "4999996643/2"
    kvm = json_of(capsys, "scale", "--tsc-khz", "2499998")
    xen = json_of(capsys, "scale", "--tsc-khz", "2499998", "--xen")
    assert (xen["provider"], xen["mul"]) == ("xen", kvm["mul"])
    assert data["overflow"]["shift"] is None
    low = json_of(capsys, "scale", "--tsc-khz", "1000")["overflow"]["shift"]
    assert low == {"cycles": 1 << 54, "ns": str((1 << 54) * 1000)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tsc-khz", "0"), "tsc_khz is 0"),
        (("--tsc-khz", "4294967296"), "It goes from 1 to 4,294,967,295."),
        (("--tsc-hz", "5"), "KVM scales from whole kHz"),
        (("--xen", "--tsc-hz", "0"), "tsc_hz is 0"),
    ],
)
def test_scale_refuses(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("scale", *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--tsc-khz", "x"),
        ("--tsc-khz", "5", "--tsc-hz", "5"),
        ("--tsc-khz", "5", "--true-hz", "0"),
        ("--tsc-khz", "5", "--true-hz", "1/0"),
        ("--tsc-khz", "5", "--true-hz", "1e999999999"),
        ("--tsc-khz", "5", "--after", "0"),
        ("--tsc-khz", "5", "--after", "1" * 30),
    ],
)
def test_scale_does_not_understand(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("scale", *words)
    assert "usage: timehands pvclock scale" in capsys.readouterr().err


# decode


def test_decode_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = replace(GOOD, flags=2).build().hex()
    assert said(capsys, "decode", stopped, "--tsc", "7656155786828").splitlines() == [
        "pvclock of the command line",
        "version    2: complete",
        "updated    at TSC 7,656,153,286,830 the time was 0.001148131 s",
        "factors    mul 3,435,976,585 (0xccccd789), shift -1",
        "frequency  2,499,998,000.423 Hz, KVM's for 2,499,998 kHz",
        "           Linux reads 2,499,998 kHz, FreeBSD 2,499,998,000 Hz",
        "rounding   -14.616 us a day; a read loses at most 1.4 ns",
        "           a cycle counts 0.4 ns",
        "flags      0x02: GUEST_STOPPED (was paused, not cleared by the guest yet)",
        "a read     at TSC 7,656,155,786,828 gives 0.002148130 s",
        "           2,499,998 cycles (0.000999999 s) after the update",
        "",
        "· PV113    GUEST_STOPPED: flags are 0x02",
        "           The guest was paused. Linux spares its watchdogs once and clears the bit; no "
        "other guest",
        "           is known to. A provider must keep it until the guest clears it.",
        "· PV114    TSC_STABLE not set: flags are 0x02",
        "           vCPUs may disagree: Linux and FreeBSD keep a last value for all vCPUs (slow, "
        "and no vDSO",
        "           in Linux), OpenBSD lowers the quality to 500 (its first revision refuses).",
    ]


def test_decode_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert json_of(capsys, "decode", HEX, "--tsc", hex(GOOD.tsc_timestamp + 2_499_998_000)) == {
        "schema": 1,
        "source": "the command line",
        "time_info": {
            "hex": HEX,
            "version": 2,
            "tsc_timestamp": 7656153286830,
            "system_time": 1148131,
            "tsc_to_system_mul": 3435976585,
            "tsc_shift": -1,
            "flags": 1,
            "pad0": 0,
            "pad": 0,
            "frequency": {
                "exact_hz": "1717986918400000000/687195317",
                "kvm_khz": 2499998,
                "linux_khz": 2499998,
                "freebsd_hz": 2499998000,
            },
            "reading": {"tsc": 7658653284830, "cycles": 2499998000, "ns": 1001148130},
        },
        "wall_clock": None,
        "verdicts": [],
    }


def test_decode_a_wall_clock(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((WALL.build().hex(),), ("--wall-clock", WALL.build().hex() + "00" * 20)):
        assert json_of(capsys, "decode", *words)["wall_clock"] == {
            "hex": WALL.build().hex(),
            "version": 2,
            "sec": 1795232565,
            "nsec": 721313481,
            "sec_hi": 0,
            "epoch_ns": 1795232565721313481,
            "epoch": "2026-11-21 03:42:45.721313481 UTC",
        }
    assert "the date at which kvmclock was 0" in said(capsys, "decode", WALL.build().hex())


@pytest.mark.parametrize("bits", [32, 64])
def test_decode_xens_page(bits: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shared_info").write_bytes(shared_info(3, bits))
    words = ("decode", str(tmp_path / "shared_info"), "--xen", str(bits), "--vcpu", "3")
    data = json_of(capsys, *words, "--tsc", str(GOOD.tsc_timestamp))
    assert data["time_info"]["hex"] == HEX
    assert (data["wall_clock"]["sec"], data["wall_clock"]["sec_hi"]) == (5, 7)
    shown = said(capsys, *words, "--tsc", str(GOOD.tsc_timestamp))
    assert "with kvmclock at 0.001148131 s" in shown.replace("\n           ", " ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "a page is wanted"),
        (("0200",), "has 32 bytes; here are 2"),
        (("--wall-clock", "0200"), "has 12 bytes; here are 2"),
        (("--xen", "64", "0200"), "wc_sec_hi has 3088 bytes"),
        (("--xen", "64", "--vcpu", "32", "00" * 4096), "no vCPU 32"),
        (("--qmp", "/none"), "go together"),
        (("--qmp", "/none", "--address", "1", HEX), "a page is wanted"),
        (("nonsense",), "no such file, and no hex digits"),
        (("00", "nonsense"), "no hex dump"),
    ],
)
def test_decode_refuses(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-1", "x", str(1 << 64), "9" * 5000])
def test_numbers_are_u64(number: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        pvclock_decode.integer(number)


@given(st.binary(min_size=32, max_size=32), st.none() | st.integers(0, (1 << 64) - 1))
def test_any_page_is_shown_in_a_hundred_columns(data: bytes, tsc: int | None) -> None:
    args = argparse.Namespace(xen=None, wall_clock=False, tsc=tsc)
    subject = pvclock_decode.subject_of(data, "a page", args)
    assert all(len(line) <= 100 for line in pvclock_decode.page(subject))
    json.dumps(pvclock_decode.to_json(subject))


# check


def log(path: Path, *samples: tuple[int, TimeInfo]) -> str:
    """A log of samples, a millisecond apart for the host."""
    lines = [
        json.dumps({"tsc": tsc, "page": info.build().hex(), "host_ns": n * 10**6})
        for n, (tsc, info) in enumerate(samples)
    ]
    path.write_text("\n".join(lines))
    return str(path)


def test_check_a_good_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page").write_bytes(b"ab" + GOOD.build())
    assert "complete" in said(capsys, "check", str(tmp_path / "page"), "--offset", "2")
    (tmp_path / "text").write_text(HEX)
    assert json_of(capsys, "check", str(tmp_path / "text"))["verdicts"] == []


def test_check_a_bad_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page").write_bytes(replace(GOOD, tsc_to_system_mul=0).build())
    data = json_of(capsys, "check", str(tmp_path / "page"), status=1)
    assert [verdict["code"] for verdict in data["verdicts"]] == ["PV104"]
    assert "✗ PV104" in said(capsys, "check", str(tmp_path / "page"), status=1)
    (tmp_path / "page").write_bytes(b"\x00" * 5)
    assert "PV101" in said(capsys, "check", str(tmp_path / "page"), status=1)


def test_check_a_page_with_notes_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page").write_bytes(replace(GOOD, flags=0).build())
    assert "· PV114" in said(capsys, "check", str(tmp_path / "page"))


def test_check_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tsc = GOOD.tsc_timestamp
    good = log(tmp_path / "good", (tsc, GOOD), (tsc + 2_499_998, GOOD))
    assert "nothing to be said against it" in said(capsys, "check", good)
    assert json_of(capsys, "check", good) == {
        "schema": 1, "source": good, "samples": 2, "pages": 1, "rate_ppb": -1000, "verdicts": [],
    }  # fmt: skip
    back = replace(GOOD, version=4, system_time=5)
    bad = log(tmp_path / "bad", (tsc, GOOD), (tsc, back), (tsc, replace(back, version=6)))
    data = json_of(capsys, "check", bad, status=1)
    assert {verdict["code"] for verdict in data["verdicts"]} == {
        "PV205", "PV206", "PV211", "PV212",
    }  # fmt: skip
    assert data["verdicts"][0]["ns"] == 1148126
    assert "✗ PV205" in said(capsys, "check", bad, status=1)


def test_check_a_log_with_a_line_without_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = log(tmp_path / "log", (GOOD.tsc_timestamp, GOOD))
    with Path(good).open("a") as file:
        file.write("\n" + "[" * 100_000 + "\n" + Path(good).read_text())
    data = json_of(capsys, "check", good, status=1)
    assert data["samples"] == 2
    assert [(v["code"], v["count"], v["line"]) for v in data["verdicts"]] == [("PV214", 1, 2)]


def test_check_several_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for number, record in enumerate((*KVM_RECORDS, GOOD)):
        (tmp_path / str(number)).write_bytes(record.build())
        names.append(str(tmp_path / str(number)))
    data = json_of(capsys, "check", *names[:3])
    assert (data["source"], data["samples"], data["rate_ppb"]) == ("3 pages", 3, None)
    assert {verdict["code"] for verdict in data["verdicts"]} == {"PV113", "PV207"}
    data = json_of(capsys, "check", *names, status=1)
    (back,) = (verdict for verdict in data["verdicts"] if verdict["code"] == "PV205")
    assert (back["ns"], back["line"]) == (4_998_851_869, 4)
    (tmp_path / "0").write_bytes(b"short")
    assert "PV101" in said(capsys, "check", *names[:2], "--raw", status=1)
    assert run("check", *names, "--tsc", "5") == 2
    assert "for a single file" in capsys.readouterr().err


def test_check_what_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("check", str(tmp_path / "none")) == 2
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "empty").write_bytes(b"")
    assert "PV101" in said(capsys, "check", str(tmp_path / "empty"), status=1)


def test_the_document_has_each_code_with_its_words() -> None:
    text = (Path(__file__).parents[2] / "docs" / "pvclock-pages.md").read_text()
    for code, trouble in TROUBLES.items():
        words = (code, trouble.severity.name.lower(), trouble.title, trouble.meaning)
        assert f"| {' | '.join(words)} |\n" in text
