"""The gates of a released checkpoint: a model that knows passes, models that do not fail, undefined is not passed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worldsim import gates, trees
from worldsim.baselines import Frozen
from worldsim.errors import ConfigError, StoreError
from worldsim.moving import MOVING_DB, psnr
from worldsim.types import ModelSpec, Prediction


@pytest.fixture(scope="module")
def starts() -> gates.MovingStarts:
    return gates.moving_starts(worlds=12, horizon=16, size=(32, 32), seed=3, quiet=True)


class Knowing:
    """Shows the truth for the true actions, and another world's frames for others."""

    spec = ModelSpec(name="test/knowing", accepts_text=True)

    def __init__(self, starts: gates.MovingStarts) -> None:
        self.starts, self.first = starts, 0

    def reset(self, context, *, seeds, indices=None):
        self.rows = [
            next(i for i, clip in enumerate(self.starts.frames) if (clip[: gates.CONTEXT] == own).all())
            for own in context.frames
        ]
        self.t = gates.CONTEXT
        self.believes = [not p or p == self.starts.captions[i] for p, i in zip(context.prompts, self.rows, strict=True)]

    def step(self, actions):
        at = trees.index(self.starts.actions, (np.array(self.rows), self.t - 1))
        right = [trees.equal(trees.index(actions, (i, 0)), trees.index(at, i)) for i in range(len(self.rows))]
        right = [a and b for a, b in zip(right, self.believes, strict=True)]
        shown = [r if ok else (r + 1) % len(self.starts.frames) for r, ok in zip(self.rows, right, strict=True)]
        frames = self.starts.frames[shown, self.t]
        self.t += 1
        return Prediction(frames=frames[:, None])

    def round_trip(self, frames):
        return frames


def test_starts_are_of_different_held_out_worlds_and_move(starts):
    from worldsim.seeding import split_of

    assert len(set(starts.seeds.tolist())) == len(starts.seeds) == 12
    assert all(split_of(int(s)) == "test" for s in starts.seeds)
    last = starts.frames[:, gates.CONTEXT - 1]
    assert (psnr(last, starts.frames[:, gates.CONTEXT + 3]) < MOVING_DB).all()


def test_a_world_in_which_nothing_moves_is_named(monkeypatch):
    monkeypatch.setattr(gates, "moving_start", lambda *args, **kwargs: None)
    with pytest.raises(ConfigError, match="nothing moves in 4 worlds"):
        gates.moving_starts(worlds=1, horizon=2, size=(16, 16), quiet=True)


def test_a_model_that_knows_passes(starts):
    found = gates.measure(Knowing(starts), starts)
    assert found[0].name == "codec round trip"
    assert all(g.passed for g in found), gates.table(found)
    assert sum("prompt" in g.name and not g.required for g in found) == 5


def test_starts_say_what_is_true_at_the_last_frame_that_is_shown(starts):
    assert len(starts.captions) == 12 and all(text.startswith("in the arena; ") for text in starts.captions)


def test_frozen_passes_nothing(starts):
    found = gates.measure(Frozen(), starts)
    assert not any(g.passed for g in found), gates.table(found)
    assert all(g.value == pytest.approx(0.0) for g in found)  # it is the copy, and actions do not matter
    assert "NOT PASSED" in gates.table(found)


def test_skill_that_is_undefined_is_not_passed(tmp_path):
    row = {"metric": "control.branch", "scenario": "*", "skill": None, "skill_low": None, "skill_high": None}
    rows = [{**row, "n_worlds": 4}, {**row, "metric": "fidelity.l1", "skill": 0.4, "skill_low": 0.2, "n_worlds": 16}]
    rows.append({**rows[1], "metric": "fidelity.ssim", "skill_low": -0.1})
    (tmp_path / "summary.json").write_text(json.dumps({"rows": rows}))
    found = {g.name: g for g in gates.from_run(tmp_path)}
    assert not found["skill of control.branch"].passed
    assert found["skill of fidelity.l1"].passed
    assert not found["skill of fidelity.ssim"].passed


def test_a_run_without_summary_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"summary\.json cannot be read"):
        gates.from_run(tmp_path)
