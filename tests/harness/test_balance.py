"""Balanced truths: each alternative is made the truth equally often, in view, and none gives itself away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from worldsim.evaluate import Prepared, open_run, render, rollout
from worldsim.store import RunStore

Ready = Callable[..., Prepared]

ALTERNATIVES: dict[str, Any] = {
    "present": {"say": "it is still there"},
    "absent": {"edit": "RemoveObject", "object_id": 1, "say": "it is gone"},
    "altered": {"edit": "RecolourObject", "object_id": 1, "colour": "yellow", "say": "it is yellow now"},
}


def asked(alternatives: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The walk of the toy hall: the mark `departure` (frame 6) lies in the context, `return` (10) does not."""
    point = {
        "name": "identity",
        "at": "departure",
        "judge": ["return"],
        "alternatives": alternatives or ALTERNATIVES,
        "balance": True,
        "window": 2,
        **changes.pop("point", {}),
    }
    return {"context": 8, "horizon": 6, "branches": [point], **changes}


def run(prepared: Prepared) -> RunStore:
    store = open_run(prepared, [])
    assert rollout(prepared, store)
    render(prepared, store)
    return store


def test_each_label_equally_often_and_true_bit_for_bit(ready: Ready) -> None:
    store = run(ready("worldsim/Oracle", scenario=asked(), episodes=9))
    episodes = [store.episode(row) for row in store.done()]
    assert Counter(e.label for e in episodes) == dict.fromkeys(ALTERNATIVES, 3)
    different = 0
    for e in episodes:
        drawn = {b.name: b for b in e.branches}
        assert set(drawn) == set(ALTERNATIVES)
        true = np.asarray(e.truth.frames)[drawn[e.label].steps]
        assert np.array_equal(drawn[e.label].frames, true)
        assert drawn[e.label].changed is not None and not drawn[e.label].changed.any()
        different += sum(not np.array_equal(b.frames, true) for b in drawn.values())
        assert np.array_equal(e.generated[0].trajectory.frames, e.truth.frames), "the oracle knows it, too"
        exists = [s.objects[0].exists for s in e.truth.states or ()]
        assert exists[:7] == [True] * 7, "up to the mark nothing has happened"
        assert exists[7:] == [e.label != "absent"] * (len(exists) - 7)
    assert different > 0


def test_only_the_named_ones_take_turns(ready: Ready) -> None:
    store = run(ready("worldsim/Frozen", scenario=asked(point={"balance": ["present", "absent"]}), episodes=4))
    labels = [store.episode(row).label for row in store.done()]
    assert labels == ["present", "absent", "present", "absent"]


def test_twins_of_one_world_have_different_labels_and_prompts(ready: Ready) -> None:
    scenario = asked(point={"tell": True}, variants={"main": {}, "twin": {}})
    store = run(ready("worldsim/Frozen", scenario=scenario, episodes=3))
    pairs: dict[str, dict[str, str]] = {}
    for e in (store.episode(row) for row in store.done()):
        assert e.prompt == ALTERNATIVES[e.label]["say"]
        pairs.setdefault(e.pair_id, {})[e.variant] = e.label
    assert len(pairs) == 3
    assert all(pair["main"] != pair["twin"] for pair in pairs.values())
    assert Counter(label for pair in pairs.values() for label in pair.values()) == dict.fromkeys(ALTERNATIVES, 2)


def test_batches_and_order_do_not_change_a_label(ready: Ready, tmp_path: Any) -> None:
    plans = [ready("worldsim/Frozen", scenario=asked(), episodes=6, batch=b, out=tmp_path / str(b)) for b in (1, 4)]
    a, b = ({p.episode: (p.world_seed, p.label) for p in prepared.plan} for prepared in plans)
    assert a == b


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ({"edit": "MoveObject", "object_id": 1, "position": "$focus.moved_to"}, "'$focus.moved_to' is not known"),
        ({"edit": "RecolourObject", "object_id": 1, "colour": "$object.colour"}, "focus.object_id"),
    ],
)
def test_a_world_in_which_one_is_impossible_is_asked_nothing(ready: Ready, recipe: Any, reason: str) -> None:
    """Whatever its own label is: else the label would say in which worlds the question can be put."""
    store = run(ready("worldsim/Frozen", scenario=asked({**ALTERNATIVES, "other": recipe}), episodes=4))
    rows = list(store.committed().values())
    assert {row["label"] for row in rows} == {*ALTERNATIVES, "other"}
    assert {row["status"] for row in rows} == {"aborted"}
    assert all(reason in row["reason"] and "the truth cannot be made" in row["reason"] for row in rows)


def test_what_the_truth_refuses_is_a_reason_too(ready: Ready) -> None:
    impossible = {"edit": "RecolourObject", "object_id": 1, "colour": "plaid"}
    store = run(ready("worldsim/Frozen", scenario=asked({"present": {}, "plaid": impossible}), episodes=2))
    status = {row["label"]: (row["status"], row["reason"]) for row in store.committed().values()}
    assert status["plaid"][0] == "aborted"
    assert "'plaid'" in status["plaid"][1] and "colours are" in status["plaid"][1]


def test_an_alternative_with_a_second_moment_cannot_be_the_truth(ready: Ready) -> None:
    later = {
        "edits": [{"edit": "RemoveObject", "object_id": 1}],
        "then": [{"edit": "RemoveObject", "object_id": 2}],
        "then_at": "return",
    }
    store = run(ready("worldsim/Frozen", scenario=asked({"present": {}, "later": later}), episodes=2))
    rows = {row["label"]: row for row in store.committed().values()}
    assert "cannot be made the truth" in rows["later"]["reason"]
    assert rows["present"]["status"] == "done"
