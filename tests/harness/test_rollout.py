"""The lockstep engine on the toy hall: what is recorded is what happened, whatever batch, chunk or arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim import trees
from worldsim.evaluate import Prepared, _EnvPool, evaluate, open_run, render, rollout
from worldsim.store import RunStore
from worldsim.types import Episode, Scenario

Ready = Callable[..., Prepared]


def episodes(prepared: Prepared) -> list[Episode]:
    store = open_run(prepared, ["test"])
    assert rollout(prepared, store)
    render(prepared, store)
    return [store.episode(row) for row in store.done()]


def test_the_oracle_equals_the_truth(ready: Ready) -> None:
    for episode in episodes(ready("worldsim/Oracle")):
        assert episode.truth.frames.shape == (14, 24, 32, 3)
        assert episode.horizon == 10
        truth, generated = episode.truth.frames[:], episode.generated[0].trajectory.frames[:]
        np.testing.assert_array_equal(generated, truth)
        assert len(np.unique(truth[:, 0, 0], axis=0)) > 2, "the walk moved"


def test_a_model_can_keep_its_copies_of_the_truth_from_group_to_group(ready: Ready) -> None:
    """They are made by one function as long as the scenario is the same, and by another after a failure."""
    prepared = ready("worldsim/Oracle")
    scenario, size = prepared.scenarios[0], prepared.sizes[0]
    pool = _EnvPool(prepared.config, False)

    def maker(scenario: Scenario, position: int) -> Any:
        pool.lane(scenario, size, prepared.plan[position], position)
        return pool.make_env

    first = maker(scenario, 0)
    assert maker(scenario, 1) is first and first().reset(seed=0)[0].shape == (*size, 3)
    other = maker(replace(scenario, name="other"), 0)
    assert other is not first and other != first
    pool.renew()
    assert maker(replace(scenario, name="other"), 0) is not other
    pool.close()


def test_truth_is_what_the_environment_gives(ready: Ready) -> None:
    """Replaying the recorded actions from the recorded seed gives the recorded frames and states."""
    from tests.toys import ToyEnv

    prepared = ready("worldsim/Frozen")
    episode = episodes(prepared)[0]
    planned = prepared.plan[0]
    env = ToyEnv(size=(24, 32))
    frame, _ = env.reset(seed=planned.world_seed, options={"dynamics_seed": planned.dynamics_seed})
    states = episode.truth.states
    assert states is not None
    for t in range(len(episode.truth) + 1):
        np.testing.assert_array_equal(episode.truth.frames[t], frame)
        true, stored = env.truth(), states[t]
        assert stored.time == true.time
        np.testing.assert_array_equal(stored.world_from_camera, true.world_from_camera)
        np.testing.assert_array_equal(stored.depth, true.depth)
        np.testing.assert_array_equal(stored.segmentation, true.segmentation)
        assert [(o.id, o.kind, o.visible_px) for o in stored.objects] == [
            (o.id, o.kind, o.visible_px) for o in true.objects
        ]
        if t < len(episode.truth):
            frame, *_ = env.step(trees.index(episode.truth.actions, t))


@pytest.mark.parametrize("n", [1, 3, 4])
def test_chunked_models(ready: Ready, n: int) -> None:
    """Frames of a chunk are consecutive; the horizon need not be a multiple of the chunk."""
    prepared = ready("Counter", model_args={"n": n})
    for episode in episodes(prepared):
        frames = episode.generated[0].trajectory.frames[4:, 0, 0, 0]
        assert frames.tolist() == [10 * h for h in range(1, 11)]
        np.testing.assert_array_equal(episode.generated[0].trajectory.frames[:4], episode.truth.frames[:4])


def test_order_batch_and_passes_do_not_matter(ready: Ready, tmp_path: Path) -> None:
    """One row at a time or all at once: the same bytes."""
    runs = []
    for i, (batch, limit) in enumerate([(2, None), (3, None), (1, 1), (3, 2)]):
        prepared = ready(
            "Seeded", model_args={"max_batch": limit}, batch=batch, samples=2, out=tmp_path / f"run{i}", episodes=3
        )
        runs.append(episodes(prepared))
    for other in runs[1:]:
        for a, b in zip(runs[0], other, strict=True):
            np.testing.assert_array_equal(a.truth.frames[:], b.truth.frames[:])
            assert len(a.generated) == len(b.generated) == 2
            for x, y in zip(a.generated, b.generated, strict=True):
                assert (x.arm, x.sample, x.seed) == (y.arm, y.sample, y.seed)
                np.testing.assert_array_equal(x.trajectory.frames[:], y.trajectory.frames[:])
    first = runs[0][0].generated
    assert not np.array_equal(first[0].trajectory.frames[4:], first[1].trajectory.frames[4:]), "samples differ"


def test_reanchoring_resets_its_arm_only(ready: Ready) -> None:
    episode = episodes(ready("Counter", reanchor_every=4))[0]
    by_arm = {r.arm: r.trajectory.frames[4:, 0, 0, 0].tolist() for r in episode.generated}
    assert by_arm == {
        "free": [10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
        "reanchored": [10, 20, 30, 40, 10, 20, 30, 40, 10, 20],
    }


def test_reanchoring_shows_the_newest_truth(ready: Ready) -> None:
    prepared = ready("Counter", reanchor_every=4, episodes=1, batch=1)
    episode = episodes(prepared)[0]
    contexts = prepared.model.contexts  # type: ignore[attr-defined]
    assert len(contexts) == 3  # the start, and two anchors of one row each
    np.testing.assert_array_equal(contexts[1].frames[0], episode.truth.frames[4:8])
    np.testing.assert_array_equal(contexts[2].frames[0], episode.truth.frames[8:12])
    assert trees.equal(contexts[1].actions[0], episode.truth.actions[4:7])


def test_teacher_forcing_is_reanchoring_every_step(ready: Ready) -> None:
    episode = episodes(ready("worldsim/Frozen", reanchor_every=1))[0]
    forced = next(r for r in episode.generated if r.arm == "teacher-forced").trajectory.frames
    np.testing.assert_array_equal(forced[4:], episode.truth.frames[3:-1])


def test_reanchored_oracle_is_still_the_truth(ready: Ready) -> None:
    for rollout_ in episodes(ready("worldsim/Oracle", reanchor_every=5))[0].generated:
        assert rollout_.arm in ("free", "reanchored")
    for episode in episodes_of(ready):
        for r in episode.generated:
            np.testing.assert_array_equal(r.trajectory.frames[:], episode.truth.frames[:])


def episodes_of(ready: Ready) -> list[Episode]:
    store = RunStore.open(Path(ready("worldsim/Oracle", reanchor_every=5).config.out or ""))
    return [store.episode(row) for row in store.done()]


def test_drive_from_generated_shows_the_controller_the_models_frames(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldsim import registry

    seen: list[list[int]] = []
    walk = registry.CONTROLLERS.get(str(Path(__file__).parent / "parts.py") + ":Walk")

    class Spy(walk):  # type: ignore[misc, valid-type]
        def act(self, frame: Any, truth: Any, t: int) -> Any:
            action = super().act(frame, truth, t)
            if t == 13:
                seen.append(list(self.seen))
            return action

    registry.CONTROLLERS.register("spy", Spy)
    try:
        episodes(ready("Counter", drive_from="generated", scenario={"controller": "spy"}, episodes=1))
    finally:
        del registry.CONTROLLERS._table["spy"]
    assert seen[0][4:13] == [10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_prompts_change_in_mid_rollout(ready: Ready) -> None:
    prepared = ready("Counter", scenario={"prompts": [[0, "a hall"], [4, "night"]]}, episodes=1)
    episode = episodes(prepared)[0]
    assert prepared.model.contexts[0].prompts == ("a hall",)  # type: ignore[attr-defined]
    assert prepared.model.calls == ["prompt at 4: ['night']"]  # type: ignore[attr-defined]
    assert episode.generated[0].prompts == ((0, "a hall"), (4, "night"))


def test_text_only_start(ready: Ready) -> None:
    prepared = ready(
        "Counter",
        model_args={"accepts_text": True, "context_length": 0},
        scenario={"context": 0, "prompts": [[0, "a red column"]]},
        episodes=1,
    )
    episode = episodes(prepared)[0]
    context = prepared.model.contexts[0]  # type: ignore[attr-defined]
    assert context.frames.shape == (1, 0, 24, 32, 3)
    assert episode.truth.frames.shape[0] == 11
    assert episode.generated[0].trajectory.frames[1:, 0, 0, 0].tolist() == [10 * h for h in range(1, 11)]


def test_an_ended_truth_is_masked(ready: Ready) -> None:
    scenario = {"env_kwargs": {"size": [24, 32], "terminate_at": 8}}
    episode = episodes(ready("worldsim/Frozen", scenario=scenario, episodes=1))[0]
    assert (episode.truth.ended, episode.truth.end_reason) == (7, "terminated")
    assert episode.truth.last_valid_frame == 8
    assert len(episode.truth.frames) == 14
    np.testing.assert_array_equal(episode.truth.frames[13], episode.truth.frames[8])


def test_open_futures_are_run_again(ready: Ready) -> None:
    scenario = {"env_kwargs": {"size": [24, 32], "open_future": True}, "horizon": 30}
    episode = episodes(ready("worldsim/Oracle", scenario=scenario, episodes=1))[0]
    assert episode.rerun is not None
    np.testing.assert_array_equal(episode.rerun.frames[:4], episode.truth.frames[:4])
    assert not np.array_equal(episode.rerun.frames[4:], episode.truth.frames[4:])
    np.testing.assert_array_equal(episode.generated[0].trajectory.frames[:], episode.truth.frames[:])


def test_a_codec_gives_its_round_trip_of_the_truth(ready: Ready) -> None:
    episode = episodes(ready("Blurred", episodes=1))[0]
    assert episode.codec is not None
    np.testing.assert_array_equal(episode.codec[:], (episode.truth.frames[:] // 16) * 16 + 8)


def test_aborted_probes_are_recorded_with_their_reason(ready: Ready) -> None:
    prepared = ready("Counter", scenario={"controller_kwargs": {"abort_at": 5}}, episodes=2)
    store = evaluate(prepared.config, prepared=prepared)
    rows = list(store.committed().values())
    assert [row["status"] for row in rows] == ["aborted"] * 2
    assert {row["reason"] for row in rows} == {"the way is blocked"}
    assert store.summary["status"] == "success"
    assert store.run["counts"]["aborted"] == 2


def test_branches_are_drawn_from_the_snapshot(ready: Ready) -> None:
    scenario = {
        "branches": [
            {
                "name": "column",
                "at": "departure",
                "judge": ["return"],
                "window": 3,
                "alternatives": {"present": {}, "absent": {"edit": "RemoveObject", "object_id": 1}},
            }
        ]
    }
    for episode in episodes(ready("worldsim/Frozen", scenario=scenario)):
        present, absent = episode.branches
        assert (present.name, absent.name, present.at) == ("present", "absent", 6)
        assert present.steps.tolist() == [10, 11, 12]
        np.testing.assert_array_equal(present.frames, episode.truth.frames[10:13])
        states = episode.truth.states
        assert states is not None
        assert absent.changed is not None
        for k, t in enumerate(present.steps):
            ids = states[int(t)].segmentation
            assert ids is not None
            # where the column was seen something else is seen now, and nowhere else does anything change
            assert not absent.changed[k][ids != 1].any()
            if (ids == 1).sum() > 12:
                assert absent.changed[k][ids == 1].mean() > 0.5


def test_sham_twins_share_their_world(ready: Ready) -> None:
    recorded = episodes(ready("worldsim/Frozen", scenario={"sham": True}, episodes=2))
    assert [e.variant for e in recorded] == ["main", "sham", "main", "sham"]
    assert recorded[0].pair_id == recorded[1].pair_id != recorded[2].pair_id
    assert recorded[0].world_seed == recorded[1].world_seed
    np.testing.assert_array_equal(recorded[0].truth.frames[0], recorded[1].truth.frames[0])
