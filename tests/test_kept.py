from __future__ import annotations

import json
from pathlib import Path

import pytest

from timehands import kept
from timehands.kept import plan_and_facts
from timehands.watch.plan import Function, Plan, Read

PLAN = Plan(
    (
        Function(
            "tsc_init",
            0x1000,
            0x1100,
            anchor=True,
            code=bytes(range(8)),
            reads=(Read("name", 64, (48, 0), argument=0, string=True), Read("khz", 4, address=9)),
            parts=((0x2000, 0x2010), (0x3000, 0x3001)),
        ),
        Function("panic", 0x4000, 0x4100, leave=False),
    ),
    return_thunk=0x9000,
    detour=(0x8000, 0x8100),
)


class Kernel:
    """As much of a kernel as is asked for, and how often it was."""

    sha256 = "ab" * 32
    debug_key = ""
    symbol_source = None
    symbols = ()
    clock_functions: dict[str, list[str]] = {"linux": ["tsc_init"]}  # noqa: RUF012


class Knowledge:
    """Counts the plans that it makes."""

    def __init__(self) -> None:
        self.plans = 0

    def plan(self, _kernel: object) -> Plan:
        self.plans += 1
        return PLAN


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "timehands" / "plans"


def ask(knowledge: Knowledge) -> tuple[Plan, dict[str, object]]:
    return plan_and_facts(Kernel(), knowledge)  # type: ignore[arg-type]


def test_a_plan_goes_to_json_and_back() -> None:
    assert Plan.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN
    assert Plan.from_json(json.loads(json.dumps(Plan().to_json()))) == Plan()


def test_a_plan_is_made_once_for_a_kernel() -> None:
    knowledge = Knowledge()
    assert ask(knowledge) == ask(knowledge)
    assert knowledge.plans == 1


def test_the_facts_are_kept_with_it() -> None:
    ask(Knowledge())
    _plan, facts = ask(Knowledge())
    assert facts == {"symbols": 0, "symbol_source": None, "clock_functions": ["tsc_init"]}


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"plan": {}, "facts": {}}', b'{"plan": 1}'])
def test_a_damaged_entry_is_made_anew(cache: Path, damage: bytes) -> None:
    knowledge = Knowledge()
    ask(knowledge)
    (entry,) = cache.iterdir()
    entry.write_bytes(damage)
    assert ask(knowledge)[0] == PLAN
    assert knowledge.plans == 2


def test_other_code_makes_other_plans(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    knowledge = Knowledge()
    ask(knowledge)
    monkeypatch.setattr(kept, "_code_key", lambda: "0" * 12)
    ask(knowledge)
    assert knowledge.plans == 2
    assert len(list(cache.iterdir())) == 1


def test_another_debug_file_makes_another_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    knowledge = Knowledge()
    ask(knowledge)
    monkeypatch.setattr(Kernel, "debug_key", "12345678")
    ask(knowledge)
    assert knowledge.plans == 2
