"""What a survey guest says, line by line, to test with."""

from __future__ import annotations

from timehands.machines.survey_lines import Line

#: The lines of a microvm under TCG, but for the samples.
LINES = """\
timehands-survey 1
C 0 0 d 68747541 444d4163 69746e65
C 1 0 663 800 fefa3203 f8bfbff
C 2 0
C 6 0 4 0 0 0
C 7 0 1 219c07ab 410004 0
C d 0 21f 240 a88 0
C d 1 1 0 0 0
C 40000000 0 40000001 54474354 43544743 47435447
C 40000001 0
G 40000010 21f 240 a88 0
C 80000000 0 8000000a 68747541 444d4163 69746e65
C 80000007 0
M 10 0
M 1b fee00900
M e7 -
I 1 0 0 0 2
L pace=host hpet=off
Y 0 9fc00 1
Y 100000 ff00000 1
P 1 ffdc ffc9 1 ffb5 ffa5
Q ff ff 1
A fee00000 50014 1 ffffd2da ffffb095
H -
K -
R 26 2 0 80
D 8 59 7 21 11 26 20
F c 1000000 2ab98bc 2ac0000""".splitlines()

TSC_HZ, PIT_HZ, LAPIC_HZ = 2_500_000_000, 1_193_182, 1_000_000_000
SAMPLES_MS = (0, 1, 2, 50, 100, 150, 198, 199, 200)


def samples(delay_ns: int = 30_000) -> tuple[list[Line], list[int]]:
    """The lines of the samples, and when each was asked for: known rates, a known delay."""
    lines, sent = [Line(0, "B host")], []
    for ms in SAMPLES_MS:
        at_ns = 10**9 + ms * 10**6
        counts = [hz * ms // 1000 for hz in (TSC_HZ, PIT_HZ, LAPIC_HZ)]
        tsc, pit, lapic = counts
        sent.append(at_ns - delay_ns)
        arrived = at_ns + delay_ns
        lines += [
            Line(arrived, "t"),
            Line(arrived, f"S {tsc:x} {pit:x} {lapic:x} - - {tsc + 90:x}"),
        ]
    return lines, sent


def spoken(lines: list[str] | None = None) -> list[Line]:
    """A whole survey with samples."""
    said = [Line(10**9, text) for text in (LINES if lines is None else lines)]
    return [*said, *samples()[0], Line(2 * 10**9, "E 1234567")]
