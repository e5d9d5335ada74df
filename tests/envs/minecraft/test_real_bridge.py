"""`worldsim/Minecraft-v0` with the real bridge, where it is installed."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.envs.minecraft.test_env_with_fake_bridge import gone
from tests.envs.minecraft.worlds import needs_bridge
from worldsim import trees
from worldsim.checks import check_truth_env
from worldsim.envs.actions import noop
from worldsim.envs.minecraft.env import MinecraftEnv
from worldsim.envs.vector import TruthVector
from worldsim.errors import ConfigError, WorldFailure
from worldsim.truth import AddObject, MoveObject, RecolourObject, RemoveObject, SetCell, SetPose
from worldsim.worker_env import WorkerEnv

pytestmark = needs_bridge


def random_action(rng: np.random.Generator, space: Any) -> Any:
    """Walking, jumping, turning, digging, placing."""
    keys = {key: int(rng.random() < p) for key, p in CHANCES.items()}
    return noop(space) | keys | {"camera": rng.normal((0.2, 0.0), (3.0, 9.0)).astype(np.float32)}


CHANCES = {"forward": 0.7, "jump": 0.3, "sprint": 0.2, "left": 0.1, "use": 0.08, "attack": 0.08, "hotbar.3": 0.05}


def digest(env: MinecraftEnv, steps: int, seed: int = 0) -> str:
    """A hash of frames, depth, ids, poses and objects over a random run."""
    rng, out = np.random.default_rng(seed), hashlib.sha256()
    for _ in range(steps):
        frame = env.step(random_action(rng, env.action_space))[0]
        truth = env.truth()
        for array in (frame, truth.depth, truth.segmentation, truth.world_from_camera):
            out.update(np.ascontiguousarray(array).tobytes())
        out.update(repr([(o.id, o.kind, o.position.tolist(), o.exists) for o in truth.objects]).encode())
    return out.hexdigest()


@pytest.fixture
def env() -> Any:
    made = MinecraftEnv(preset="court", wander=True, size=(48, 64))
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kwargs", [{}, {"preset": "hills", "mode": "survival", "size": (32, 48), "actions": "discrete"}], ids=str
)
def test_it_keeps_the_contract(kwargs: dict[str, Any]) -> None:
    report = check_truth_env(lambda: MinecraftEnv(**kwargs))
    assert report.ok, str(report)


def test_a_snapshot_with_entities_replays_to_the_bit_in_another_process(env: MinecraftEnv) -> None:
    env.reset(seed=3)
    digest(env, 40)
    state = trees.unflatten(trees.flatten(env.snapshot()))
    first = digest(env, 30, seed=1)
    env.restore(state)
    assert digest(env, 30, seed=1) == first
    other = MinecraftEnv(preset="court", wander=True, size=(48, 64))
    other.restore(state)
    assert digest(other, 30, seed=1) == first
    assert other.verify() | {"memory": 0, "items": 0} == {
        **{"differ": [], "astray": [], "apart": 0, "items": 0, "memory": 0},
        "bytes": [],
    }
    other.close()


def test_depth_is_where_the_blocks_are(env: MinecraftEnv) -> None:
    env.reset(seed=1)
    env.edit(SetPose(position=(8.5, 5.0, 8.5), yaw=0.0, pitch=0.0))
    for z in range(9, 14):
        for x in (8, 9):
            for y in (5, 6, 7):
                env.edit(SetCell(position=(x, y, z), kind="air" if z < 13 else "stone"))
    for o in env.truth().objects:
        env.edit(RemoveObject(object_id=o.id))
    truth = env.truth()
    assert truth.depth is not None and truth.intrinsics is not None
    assert truth.depth[24, 32] == pytest.approx(13.0 - 8.5, abs=1e-4)
    # The floor below: depth z of row v is 1.62 f / (v + 0.5 - cy), known in closed form.
    v = 47
    z = 1.62 * truth.intrinsics[1, 1] / (v + 0.5 - truth.intrinsics[1, 2])
    assert truth.depth[v, 32] == pytest.approx(z, abs=1e-3)


def test_ids_lie_where_the_boxes_of_the_creatures_are(env: MinecraftEnv) -> None:
    env.reset(seed=2)
    for o in env.truth().objects:
        env.edit(RemoveObject(object_id=o.id))
    env.edit(SetPose(position=(8.5, 5.0, 8.5), yaw=90.0, pitch=10.0))
    env.edit(AddObject(kind="red_sheep", position=(6.5, 5.0, 8.5)))
    truth = env.truth()
    sheep = truth.objects[-1]
    assert sheep.kind == "red_sheep" and sheep.visible_px > 20
    assert truth.segmentation is not None and truth.depth is not None
    m, k = truth.world_from_camera, truth.intrinsics
    assert m is not None and k is not None
    local = m[:3, :3].T @ (sheep.position - m[:3, 3])
    u, v = (k @ (local / local[2]))[:2]
    rows, columns = np.nonzero(truth.segmentation == sheep.id)
    assert abs(columns.mean() - u) < 3 and abs(rows.mean() - v) < 5
    assert truth.depth[rows, columns] == pytest.approx(local[2], abs=1.2)
    red = env.render()[rows, columns].mean(0)
    env.edit(RecolourObject(object_id=sheep.id, colour="blue"))
    blue = env.render()[rows, columns].mean(0)
    assert red[0] > red[2] and blue[2] > blue[0]
    env.edit(MoveObject(object_id=sheep.id, position=(6.5, 5.0, 10.5)))
    assert env.truth().objects[-1].position.tolist() == [6.5, 5.65, 10.5]


def test_blocks_are_placed_and_broken_on_both_sides(env: MinecraftEnv) -> None:
    env.reset(seed=1)
    for o in env.truth().objects:
        env.edit(RemoveObject(object_id=o.id))
    env.edit(SetPose(position=(8.5, 5.0, 8.5), yaw=0.0, pitch=35.0))
    for z in range(9, 13):
        for y in (5, 6, 7):
            env.edit(SetCell(position=(8, y, z), kind="air"))
        env.edit(SetCell(position=(8, 4, z), kind="grass_block"))
    still = noop(env.action_space)
    env.step(still | {"hotbar.3": 1, "use": 1})
    cells = env.truth().cells
    assert [(c.before, c.after) for c in cells] == [("air", "red_wool")]
    placed = cells[0].position
    assert [e.kind for e in env.truth().events] == ["place"]
    env.step(still | {"attack": 1})
    assert [(c.position, c.before, c.after) for c in env.truth().cells] == [(placed, "red_wool", "air")]
    assert not env.verify()["differ"]


def test_survival_takes_the_games_digging_time() -> None:
    env = MinecraftEnv(preset="flat", mode="survival", creatures=0, size=(16, 16))
    env.reset(seed=0)
    env.edit(SetPose(position=(8.5, 5.0, 8.5), yaw=0.0, pitch=90.0))
    key = noop(env.action_space) | {"attack": 1, "hotbar.4": 1}
    env.step(noop(env.action_space))
    # A grass block by hand (hotbar 4 holds planks): hardness 0.6 * 1.5 s = 0.9 s, 18 ticks.
    ticks = next(t for t in range(1, 60) if env.step(key)[4] and env.truth().cells)
    assert 18 <= ticks <= 19
    assert [36 + 6, "dirt", 1] in env.verify()["items"]
    env.close()


def test_the_walk_has_the_games_speed(env: MinecraftEnv) -> None:
    walker = MinecraftEnv(preset="flat", creatures=0, size=(16, 16))
    walker.reset(seed=0)
    key = noop(walker.action_space) | {"forward": 1}
    for _ in range(20):
        walker.step(key)
    start = walker.truth().world_from_camera
    for _ in range(20):
        walker.step(key)
    end = walker.truth().world_from_camera
    assert start is not None and end is not None
    assert np.linalg.norm(end[:3, 3] - start[:3, 3]) == pytest.approx(4.317, abs=0.01)  # m/s, the game's walk
    walker.close()


def test_the_far_side_of_a_walk_is_as_it_was_left() -> None:
    """Columns leave the agent and the server and come back with what was changed in them."""
    env = MinecraftEnv(preset="flat", creatures=0, size=(32, 32), view_distance=1)
    env.reset(seed=0)
    env.edit(SetPose(position=(8.5, 5.0, 8.5), yaw=0.0, pitch=20.0))
    env.edit(SetCell(position=(8, 5, 11), kind="red_wool"))
    before = env.render_from()[0]
    env.edit(SetPose(position=(400.5, 5.0, 8.5), yaw=0.0))
    env.step(noop(env.action_space))
    assert (before != env.render()).any()
    env.edit(SetPose(position=(8.5, 5.0, 8.5), yaw=0.0, pitch=20.0))
    np.testing.assert_array_equal(env.render_from()[0], before)
    assert not env.verify(8)["differ"]
    env.close()


def test_a_killed_child_leaves_nothing_behind_and_the_next_reset_goes_on(env: MinecraftEnv) -> None:
    first, _ = env.reset(seed=5)
    node = env._running().pid
    display = children_of(os.getpid(), "Xvfb")
    os.kill(node, signal.SIGKILL)
    with pytest.raises(WorldFailure, match="ended"):
        for _ in range(2):
            env.step(noop(env.action_space))
    assert all(gone(pid) for pid in display)
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)


def test_a_child_that_is_killed_in_the_middle_of_a_step_is_an_error_in_words(env: MinecraftEnv) -> None:
    first, _ = env.reset(seed=5)
    node, still = env._running().pid, noop(env.action_space)
    timer = threading.Timer(0.3, os.kill, (node, signal.SIGKILL))
    timer.start()
    with pytest.raises(WorldFailure, match=r"the bridge (ended during 'step'|is gone)"):
        for _ in range(100_000):
            env.step(still)
    timer.join()
    assert gone(node) and not children_of(os.getpid(), "Xvfb")
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)


def test_a_child_that_hangs_is_ended_and_the_next_reset_goes_on() -> None:
    """Stopped by a signal it neither answers nor ends: what a deadlock looks like from here."""
    env = MinecraftEnv(preset="flat", creatures=0, size=(16, 16))
    first, _ = env.reset(seed=5)
    bridge = env._running()
    bridge.timeout = 1.0
    os.kill(bridge.pid, signal.SIGSTOP)
    with pytest.raises(WorldFailure, match="did not answer 'step' in 1 s and was ended"):
        env.step(noop(env.action_space))
    assert gone(bridge.pid) and not children_of(os.getpid(), "Xvfb")
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)
    env.close()


def test_two_worlds_in_processes_are_the_same_as_one_after_the_other() -> None:
    make = partial(MinecraftEnv, preset="court", size=(24, 32), wander=True)
    rng = np.random.default_rng(4)
    one = make()
    moves = [[random_action(rng, one.action_space) for _ in range(2)] for _ in range(12)]
    alone = []
    for i, seed in enumerate((3, 9)):
        frames = [one.reset(seed=seed, options={"dynamics_seed": seed + 1})[0]]
        frames += [one.step(pair[i])[0] for pair in moves]
        alone.append((np.stack(frames), one.truth(), one.snapshot()))
    one.close()
    with TruthVector([partial(WorkerEnv, make, timeout=300.0)] * 2, threads=2) as vector:
        frames = [vector.reset([3, 9], [4, 10])]
        frames += [vector.step(trees.stack(pair))[0] for pair in moves]
        truths, states = vector.truth(), vector.snapshot()
    for i, (own, truth, state) in enumerate(alone):
        np.testing.assert_array_equal(np.stack(frames)[:, i], own)
        np.testing.assert_array_equal(truths[i].depth, truth.depth)
        assert trees.equal(states[i], state)


def test_a_lost_display_is_an_error_and_the_next_reset_goes_on(env: MinecraftEnv) -> None:
    first, _ = env.reset(seed=5)
    for pid in children_of(os.getpid(), "Xvfb"):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    try:
        for _ in range(3):
            env.step(noop(env.action_space))
    except WorldFailure:
        pass  # some drivers go on drawing without the display
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)


def test_what_the_world_does_not_know_is_refused_and_breaks_nothing(env: MinecraftEnv) -> None:
    env.reset(seed=0)
    for change in (
        SetCell(position=(0, 5, 0), kind="unobtainium"),
        SetCell(position=(0, 999, 0), kind="stone"),
        AddObject(kind="dragon", position=(8.0, 5.0, 8.0)),
        RemoveObject(object_id=99),
    ):
        with pytest.raises(ConfigError):
            env.edit(change)
    env.step(noop(env.action_space))


def children_of(parent: int, name: str) -> list[int]:
    """Processes of that name that `parent` started."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/stat") as file:
                    text = file.read()
            except OSError:
                continue
            inside, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
            if inside == name and int(rest[1]) == parent and rest[0] != "Z":
                found.append(int(entry.name))
    return found
