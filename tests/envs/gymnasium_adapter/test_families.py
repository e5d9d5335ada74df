"""One environment of each family: the contract, the way back, and what it tells against what is known of it."""

from __future__ import annotations

import functools
import importlib.util
import threading
from typing import Any

import numpy as np
import pytest

from worldsim import trees
from worldsim.checks import check_truth_env
from worldsim.envs.gymnasium_adapter.env import GymEnv
from worldsim.errors import PrerequisiteError
from worldsim.spaces import NamedDiscrete
from worldsim.starts import action_batch
from worldsim.truth import TruthState

POSED = frozenset({"world_from_camera", "intrinsics", "depth", "segmentation", "objects"})
#: id -> package, way back, fields.
FAMILIES: dict[str, tuple[str, str, frozenset[str]]] = {
    "ALE/Pong-v5": ("ale_py", "clone state", frozenset()),
    "Ant-v5": ("mujoco", "set state", POSED),
    "MiniWorld-Hallway-v0": ("miniworld", "set state", POSED),
    "MiniGrid-DoorKey-8x8-v0": ("minigrid", "deep copy", frozenset({"segmentation", "objects"})),
    "CarRacing-v3": ("Box2D", "replay", frozenset()),
    "CartPole-v1": ("pygame", "replay", frozenset()),
}


def make(env_id: str, **kwargs: Any) -> GymEnv:
    """The environment, or a skip with the reason."""
    package = next((p for known, (p, _, _) in FAMILIES.items() if known == env_id), "gymnasium")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    try:
        return GymEnv(env_id, **kwargs)
    except PrerequisiteError as error:
        pytest.skip(str(error))


def play(env: GymEnv, count: int, seed: int = 5) -> list[np.ndarray]:
    actions = action_batch(env.action_space, seed, count)
    frames = [env.reset(seed=seed)[0]]
    for t in range(count):
        frame, _, terminated, truncated, _ = env.step(trees.index(actions, t))
        frames.append(frame)
        if terminated or truncated:
            break
    return frames


@pytest.mark.parametrize("env_id", FAMILIES)
def test_a_family_keeps_the_contract_and_goes_back_as_it_can(env_id: str) -> None:
    _, way, fields = FAMILIES[env_id]
    env = make(env_id)
    assert env.findings.way == way, env.findings
    assert env.abilities.deterministic and env.abilities.snapshot and env.abilities.truth == fields
    env.close()
    report = check_truth_env(functools.partial(make, env_id))
    assert report.ok, str(report)


def test_the_copy_of_a_box2d_world_is_refused() -> None:
    env = make("CarRacing-v3")
    assert "AssertionError" in env.findings.refused["deep copy"]
    env.close()


def test_atari_worlds_differ_by_their_no_ops_and_actions_have_names() -> None:
    env = make("ALE/Pong-v5")
    assert isinstance(env.action_space, NamedDiscrete) and env.action_space.names[0] == "NOOP"
    assert env.metadata["render_fps"] == 15.0, "60 a second, four frames an action"
    assert len({env.reset(seed=s)[0].tobytes() for s in range(6)}) > 3
    env.reset(seed=0)
    console = env.snapshot()["core"]["console"]
    assert console.dtype == np.uint8 and 1_000 < console.size < 100_000, "bytes, no pickle"


def _points(truth: TruthState, keep: np.ndarray) -> np.ndarray:
    """(n, 3) world points of the kept pixels."""
    assert truth.depth is not None and truth.intrinsics is not None and truth.world_from_camera is not None
    v, u = np.nonzero(keep)
    z, k = truth.depth[v, u].astype(float), truth.intrinsics
    camera = np.stack([(u + 0.5 - k[0, 2]) / k[0, 0] * z, (v + 0.5 - k[1, 2]) / k[1, 1] * z, z, np.ones_like(z)])
    return np.asarray((truth.world_from_camera @ camera)[:3].T)


def test_mujoco_depth_and_pose_put_the_floor_at_height_zero_and_bodies_into_their_boxes() -> None:
    env = make("Ant-v5", size=(96, 128))
    for seed in (0, 1):
        play(env, 12, seed)
        truth = env.truth()
        assert truth.depth is not None and truth.segmentation is not None
        floor = _points(truth, (truth.segmentation == 0) & (truth.depth < 12))
        assert len(floor) > 1000 and np.abs(floor[:, 1]).max() < 0.02, "metres"
        for body in truth.objects:
            own = _points(truth, truth.segmentation == body.id)
            assert np.all(np.abs(own - body.position) <= body.size / 2 + 0.03)
    env.close()


def test_miniworld_depth_and_pose_stay_in_the_room_and_the_box_in_its_box() -> None:
    env = make("MiniWorld-Hallway-v0", size=(96, 128))
    seen = 0
    for seed in range(6):
        play(env, 8, seed)
        core, truth = env._session.backend.core, env.truth()
        assert truth.depth is not None and truth.segmentation is not None
        points = _points(truth, np.isfinite(truth.depth))
        low, high = (core.min_x, 0.0, core.min_z), (core.max_x, core.rooms[0].wall_height, core.max_z)
        # 1 % short of a pinhole through pixel centres: the drawing of this environment, not ours
        assert np.all(points > np.array(low) - 0.15) and np.all(points < np.array(high) + 0.15)
        assert np.allclose(truth.world_from_camera[:3, 3], core.agent.cam_pos)  # type: ignore[index]
        box = truth.objects[0]
        own = _points(truth, truth.segmentation == box.id)
        seen += len(own)
        assert np.all(np.abs(own - box.position) <= box.size / 2 + 0.15)
    assert seen > 200
    env.close()


def test_miniworlds_side_by_side_show_their_own_rooms() -> None:
    """All of a process compile their rooms into one display list of OpenGL."""
    lonely = make("MiniWorld-FourRooms-v0")
    alone = play(lonely, 6, 1)
    lonely.close()
    first, second = make("MiniWorld-FourRooms-v0"), make("MiniWorld-Hallway-v0")
    actions = action_batch(first.action_space, 1, 6)
    frames = [first.reset(seed=1)[0]]
    second.reset(seed=2)
    for t in range(6):
        frames.append(first.step(trees.index(actions, t))[0])
        second.step(np.int64(0))
        second.truth()
    assert all(np.array_equal(a, b) for a, b in zip(alone, frames, strict=True))
    first.close()
    assert np.array_equal(second.step(np.int64(1))[0], second.render()), "closing one leaves the other alone"
    second.close()


@pytest.mark.parametrize("env_id", ["Ant-v5", "MiniWorld-Hallway-v0"])
def test_what_is_drawn_does_not_depend_on_the_thread(env_id: str) -> None:
    env = make(env_id)
    here = play(env, 4)
    there: list[list[np.ndarray]] = []
    thread = threading.Thread(target=lambda: there.append(play(env, 4)))
    thread.start()
    thread.join(60)
    env.close()
    assert there and all(np.array_equal(a, b) for a, b in zip(here, there[0], strict=True))


def test_cars_drawn_in_several_threads_at_once_have_the_pictures_of_one() -> None:
    """`pygame.gfxdraw` fills polygons in one buffer for all threads; every second drive differed without turns."""
    envs = [make("CarRacing-v3") for _ in range(3)]
    alone = [play(env, 25, seed) for seed, env in enumerate(envs)]
    together: dict[int, list[np.ndarray]] = {}
    threads = [
        threading.Thread(target=lambda k=k, env=env: together.update({k: play(env, 25, k)}))  # type: ignore[misc]
        for k, env in enumerate(envs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for env in envs:
        env.close()
    for k, frames in enumerate(alone):
        assert all(np.array_equal(a, b) for a, b in zip(frames, together[k], strict=True)), k


def test_minigrid_tells_what_lies_where_and_what_is_carried() -> None:
    env = make("MiniGrid-DoorKey-8x8-v0", size=(64, 64))
    _, info = env.reset(seed=4)
    assert info["task"] == "use the key to open the door and then get to the goal"
    core = env._session.backend.core
    truth = env.truth()
    kinds = {o.kind: o for o in truth.objects}
    assert set(kinds) == {"agent", "key", "door", "goal"} and kinds["door"].attributes["locked"]
    assert truth.segmentation is not None
    for o in truth.objects:
        x, _, z = o.position
        assert truth.segmentation[int(z * 8), int(x * 8)] == o.id and o.visible_px == 64
    # Put the agent before the key, as a player who walked there, and take it.
    kx, kz = int(kinds["key"].position[0]), int(kinds["key"].position[2])
    free = [(d, (kx - dx, kz - dz)) for d, (dx, dz) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1)))]
    core.agent_dir, core.agent_pos = next((d, p) for d, p in free if core.grid.get(*p) is None)
    env.step(np.int64(list(env.action_space.names).index("pickup")))
    held = next(o for o in env.truth().objects if o.kind == "key")
    assert held.exists and held.attributes["held"] and held.visible_px == 0
    assert held.id == kinds["key"].id
