"""Calibration of the hypothesis test on hand-made worlds: what it sets, what it says it is worth, what it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.metrics import event_worlds as worlds
from tests.metrics.event_worlds import FACTS, RETURN
from worldsim.certify.calibrate import FLOORS, Asked, Calibration, gather, lines, measure_error, save
from worldsim.cli.calibrate import calibrate_command
from worldsim.errors import ConfigError
from worldsim.metrics.events import questions
from worldsim.metrics.functional.calibration import DEGRADATIONS
from worldsim.metrics.functional.hypothesis import judge, measure
from worldsim.metrics.thresholds import thresholds_for
from worldsim.types import Episode

COUNT = 24


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    """Each fact is the truth as often among the even worlds as among the odd ones."""
    return [worlds.episode(w, FACTS[(w // 2) % 4]) for w in range(COUNT)]


@pytest.fixture(scope="module")
def asked(episodes: list[Episode]) -> list[Asked]:
    return gather(episodes, ("identity",))


@pytest.fixture(scope="module")
def found(asked: list[Asked]) -> Calibration:
    return measure_error(asked)


def test_what_is_asked_and_what_knows_nothing(episodes: list[Episode], asked: list[Asked]) -> None:
    assert [a.world for a in asked] == list(range(COUNT))
    for a, e in zip(asked, episodes, strict=True):
        np.testing.assert_array_equal(a.true, e.truth.frames[RETURN])
        assert set(a.floors) == set(FLOORS)
        np.testing.assert_array_equal(a.floors["frozen"], e.truth.frames[worlds.CONTEXT - 1])
        others = [np.array_equal(a.floors["other-episode"], o.truth.frames[RETURN]) for o in episodes if o is not e]
        assert sum(others) == 1 and not np.array_equal(a.floors["other-episode"], a.true)
    again = gather(episodes, ("identity",))
    assert all(np.array_equal(a.floors["noise"], b.floors["noise"]) for a, b in zip(asked, again, strict=True))
    assert gather(episodes, ("evolution",)) == []
    assert set(gather(episodes[:1], ("identity",))[0].floors) == {"noise", "frozen"}  # there is no other world


def test_half_of_the_worlds_set_what_the_other_half_measures(asked: list[Asked], found: Calibration) -> None:
    assert found.size == (64, 64) and found.questions == (COUNT // 2, COUNT // 2) and found.alone == {}
    assert set(found.truth) == set(DEGRADATIONS) and set(found.floors) == set(FLOORS)
    for counts in (*found.truth.values(), *found.floors.values()):
        assert sum(counts.values()) == COUNT // 2
    assert found.truth["clean"] == {"right": COUNT // 2}
    assert sum(counts.get("wrong", 0) for counts in found.truth.values()) == 0
    assert sum(counts.get("right", 0) for counts in found.truth.values()) >= 0.9 * len(DEGRADATIONS) * COUNT // 2
    assert found.floors["noise"] == found.floors["other-episode"] == {"lost the place": COUNT // 2}
    assert "lost the place" not in found.floors["frozen"]  # here the view is left and come back to unchanged


def test_what_is_measured_did_not_set_what_it_is_measured_with(asked: list[Asked], found: Calibration) -> None:
    """One of the measuring worlds shows another place: that world is lost, and all others are judged as they were."""
    strange = [replace(a, true=asked[0].true) if a.world == 1 else a for a in asked]
    changed = measure_error(strange)
    assert changed.truth["clean"] == {"right": COUNT // 2 - 1, "lost the place": 1}
    for name, counts in changed.truth.items():
        was = found.truth[name]
        assert counts.get("lost the place", 0) == was.get("lost the place", 0) + 1, name
        assert was["right"] - 1 <= counts["right"] <= was["right"], name
    assert changed.floors == found.floors


def test_the_thresholds_are_of_use(asked: list[Asked], found: Calibration) -> None:
    """With them the truth is believed and a ghost is not."""
    t = found.thresholds
    assert 0 < t.residual < 1 and 0 < t.lead < 1 and 0 < t.fit < 1 and t.excess >= 1 and t.scale > 0
    (question,) = questions(worlds.episode(100, "present"), ("identity",))
    present, absent = question.renders[0, 0, :2]
    assert judge(measure(present, question.renders[0]), t).label == 0
    ghost = ((present.astype(np.int16) + absent) // 2).astype(np.uint8)
    assert judge(measure(ghost, question.renders[0]), t).outcome == "something else"


def test_the_order_of_questions_changes_no_threshold(asked: list[Asked], found: Calibration) -> None:
    seen: list[int] = []
    again = measure_error(asked[::-1], seen.append)
    assert again.thresholds == found.thresholds and again.truth == found.truth and again.floors == found.floors
    assert seen == [1] * COUNT


def test_questions_that_the_truth_cannot_decide_are_counted(asked: list[Asked], found: Calibration) -> None:
    lost = replace(asked[0].question, true=None)
    more = [*asked, Asked(question=lost, world=99, true=asked[0].true, floors=asked[0].floors)]
    again = measure_error(more)
    assert again.alone == {"what happened is not among the alternatives": 1} and again.thresholds == found.thresholds


def test_too_few_worlds_are_refused(asked: list[Asked]) -> None:
    for few in (asked[:7], [], [replace(a, world=a.world % 7) for a in asked]):
        with pytest.raises(ConfigError, match="at least 8 worlds, got"):
            measure_error(few)


def test_the_tables_say_what_was_counted(found: Calibration) -> None:
    told = "\n".join(lines(found))
    assert f"{COUNT // 2} questions of worlds that did not set the thresholds ({COUNT // 2} did), 64x64" in told
    assert "| clean | 100.0 % | 0.0 % | 0.0 % | 0.0 % |" in told
    assert "| noise | lost the place 100.0 % |" in told and "not decided" not in told
    mixed = replace(found, floors={"frozen": {"absent": 1, "present": 3}}, alone={"two alternatives look the same": 2})
    told = "\n".join(lines(mixed))
    assert "| frozen | present 75.0 %, absent 25.0 % |" in told
    assert told.endswith("not decided by the truth: two alternatives look the same (2)")


def test_the_file_keeps_other_sizes_and_is_read_again(tmp_path: Path, found: Calibration) -> None:
    path = tmp_path / "data" / "thresholds.json"
    save(found, path, "by hand")
    wide = replace(found, size=(128, 128), thresholds=replace(found.thresholds, residual=0.5))
    save(wide, path, "again")
    save(replace(found, thresholds=replace(found.thresholds, lead=0.25)), path, "a third time")
    kept = json.loads(path.read_text())
    assert set(kept["thresholds"]) == {"64", "128"} and kept["made_by"] == {"64": "a third time", "128": "again"}
    assert thresholds_for(128, path).residual == 0.5 and thresholds_for(64, path).lead == 0.25
    assert thresholds_for(64, path).fit == pytest.approx(found.thresholds.fit, rel=1e-5)
    for height, nearest in ((32, 64), (80, 64), (100, 128), (512, 128)):  # by ratio
        assert thresholds_for(height, path) == thresholds_for(nearest, path)


@pytest.mark.parametrize(
    "text", [None, "{", "{}", '{"thresholds": {"64": {"lead": 1}}}', '{"thresholds": {"wide": {}}}']
)
def test_a_file_without_thresholds_is_answered(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "thresholds.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match="worldsim calibrate"):
        thresholds_for(64, path)


SCENARIOS = """
name: small
version: 1
scenarios:
  - name: deed
    env: blocks
    env_kwargs: {preset: arena}
    controller: script
    controller_kwargs: {probe: place_leave_return, slot: 3, block: red_wool, angle: 90, hold: 0}
    context: 8
    horizon: 26
    sham: true
    branches:
      - name: effect
        at: acted
        judge: [acted]
        window: 1
        alternatives:
          edited: {edit: SetCell, position: $focus.cell, kind: $focus.block, say: the block is there}
          not_edited: {edit: SetCell, position: $focus.cell, kind: air, say: there is no block}
"""


def test_the_command_measures_worlds_of_the_validation_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenarios, out = tmp_path / "small.yaml", tmp_path / "thresholds.json"
    scenarios.write_text(SCENARIOS)
    given = ["--scenarios", str(scenarios), "--episodes", "10", "--save", str(out), "--quiet"]
    assert calibrate_command(given) == 0
    told = capsys.readouterr().out
    assert "10 questions of worlds that did not set the thresholds (10 did), 64x64" in told  # twins are asked, too
    assert f"thresholds: {out}" in told and thresholds_for(64, out).lead > 0
    assert json.loads(out.read_text())["made_by"]["64"].endswith(f"--episodes 10 --save {out}")
    with pytest.raises(ConfigError, match="more --episodes"):
        calibrate_command(["--scenarios", str(scenarios), "--episodes", "2", "--quiet"])
