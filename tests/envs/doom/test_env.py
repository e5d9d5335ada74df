"""`worldsim/Doom-v0`: its contract, replays, what happens in it, and what goes wrong."""

from __future__ import annotations

import builtins
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from tests.envs.doom.helpers import DoomEnv, find, press, stand_before, walks
from worldsim import trees
from worldsim.checks import check_truth_env
from worldsim.envs.doom.layout import generate
from worldsim.errors import ConfigError, ContractError, PrerequisiteError, ShapeError, UnsupportedError, WorldFailure
from worldsim.truth import AddObject, MoveObject, RecolourObject, RemoveObject, SetObjectState, SetPose, StopProcess

STEPS = int(os.environ.get("WORLDSIM_DOOM_STEPS", "60"))  # 1000 were run by hand

_DIGEST = """
import sys
from tests.envs.doom.test_env import digest
print(digest(int(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.fixture
def env() -> Any:
    made = DoomEnv()
    yield made
    made.close()


def _hash(env: Any, actions: list[Any]) -> str:
    total = hashlib.sha256()
    for action in actions:
        frame = env.step(action)[0]
        truth = env.truth()
        for array in (frame, truth.depth, truth.segmentation, truth.world_from_camera):
            total.update(array.tobytes())
        for item in truth.objects:
            total.update(repr((item.id, item.kind, item.position.tolist(), item.exists, item.attributes)).encode())
        total.update(repr(truth.events).encode())
    return total.hexdigest()


def digest(seed: int, steps: int) -> str:
    """All that random steps give, in one number."""
    env = DoomEnv()
    env.reset(seed=seed)
    result = _hash(env, walks(seed, steps))
    env.close()
    return result


def test_contract() -> None:
    report = check_truth_env(lambda: DoomEnv(preset="arena", actions="discrete", size=(48, 64)))
    assert report.ok, str(report)


def test_other_processes_give_the_same_bytes() -> None:
    command = [sys.executable, "-c", _DIGEST, "11", str(STEPS)]
    others = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)]
    assert others == [digest(11, STEPS)] * 2


def test_a_replay_goes_on_as_the_original(env: Any) -> None:
    env.reset(seed=2)
    actions = walks(2, 60)
    for action in actions[:30]:
        env.step(action)
    env.edit(RemoveObject(object_id=find(env.truth(), "chest").id if _has(env, "chest") else _prop(env).id))
    state = trees.unflatten(trees.flatten(env.snapshot()))
    future = _hash(env, actions[30:])
    env.reset(seed=3)
    env.restore(state)
    assert _hash(env, actions[30:]) == future
    frame, truth = env.restore(state)
    played, there = env.advance(trees.stack(actions[30:]))
    env.restore(state)
    for action in actions[30:]:
        frame = env.step(action)[0]
    truth = env.truth()
    np.testing.assert_array_equal(frame, played)
    assert truth.events == there.events
    np.testing.assert_array_equal(truth.depth, there.depth)


def _has(env: Any, kind: str) -> bool:
    return any(o.kind.endswith(kind) and o.exists for o in env.truth().objects)


def _prop(env: Any) -> Any:
    return next(o for o in env.truth().objects if "colour" in o.attributes and o.exists)


# --------------------------------------------------------------------------------------------------- what happens


def _events(env: Any, actions: list[Any]) -> list[str]:
    kinds = []
    for action in actions:
        env.step(action)
        kinds += [event.kind for event in env.truth().events]
    return kinds


def test_a_door_opens_by_hand_and_shuts_again(env: Any) -> None:
    env.reset(seed=4)
    door = find(env.truth(), "door")
    stand_before(env, door, 2.2)
    assert find(env.truth(), "door").visible_px > 200
    assert _events(env, [press(use=1), *[press()] * 3]) == ["open"]
    assert find(env.truth(), "door").visible_px == 0  # it is in the ceiling
    assert find(env.truth(), "door").attributes == {"open": True}
    assert _events(env, [press(use=1), *[press()] * 3]) == ["close"]
    assert find(env.truth(), "door").visible_px > 200


def test_a_switch_opens_a_door_far_from_it(env: Any) -> None:
    env.reset(seed=4)
    switch = find(env.truth(), "switch")
    stand_before(env, switch, 2.0)
    before = env.render()
    assert sorted(_events(env, [press(use=1), *[press()] * 3])) == ["open", "toggle"]
    truth = env.truth()
    assert find(truth, "switch").attributes == {"on": True}
    shutter = find(truth, "shutter")
    assert shutter.attributes == {"open": True}
    assert shutter.visible_px == 0
    changed = np.abs(env.render().astype(int) - before).max(-1) > 20
    assert changed.any()  # its lamp
    assert set(np.unique(truth.segmentation[changed])) == {switch.id}


@pytest.mark.parametrize("tag", [1, 2])
def test_a_gate_goes_up_by_itself_until_it_is_stopped(env: Any, tag: int) -> None:
    seed = next(s for s in range(20) if generate("rooms", s).doors[tag - 1].kind == "gate")
    env.reset(seed=seed)
    gate = find(env.truth(), "gate")
    stand_before(env, gate, 3.0)
    env.edit(SetObjectState(object_id=gate.id, attribute="moving", value=True))
    pixels = []
    for _ in range(10):
        env.step(press())
        pixels.append(find(env.truth(), "gate").visible_px)
    assert pixels == sorted(pixels, reverse=True)
    assert pixels[-1] < pixels[0] - 100
    env.edit(StopProcess(process="gate"))
    still, switch = find(env.truth(), "gate").visible_px, find(env.truth(), "switch")
    for _ in range(3):
        env.step(press())
    assert find(env.truth(), "gate").visible_px == still > 0
    assert not find(env.truth(), "gate").attributes["moving"]
    assert find(env.truth(), "switch").attributes == switch.attributes == {"on": False}
    env.edit(SetObjectState(object_id=gate.id, attribute="moving", value=True))
    seen = []
    while not find(env.truth(), "gate").attributes["open"]:
        env.step(press())
        seen += [event.kind for event in env.truth().events]
    assert "open" not in seen, "nobody opened it: a fault that undoes deeds must leave it alone"


def test_what_is_walked_over_is_taken(env: Any) -> None:
    env.reset(seed=3)
    clip = find(env.truth(), "clip")
    x, _, z = clip.position
    env.edit(SetPose(position=(float(x), 0.0, float(z) - 0.6), yaw=0.0))
    assert "pick_up" in _events(env, [press(forward=1)] * 4)
    taken = next(o for o in env.truth().objects if o.id == clip.id)
    assert not taken.exists
    assert taken.visible_px == 0


def test_a_shot_leaves_a_corpse_and_marks_on_the_wall(env: Any) -> None:
    env.reset(seed=3)
    zombie = find(env.truth(), "zombie")
    x, _, z = zombie.position
    env.edit(SetPose(position=(float(x), 0.0, float(z) + 1.5), yaw=180.0))
    shots = [press(attack=1), *[press()] * 9] * 6
    assert "kill" in _events(env, shots)
    dead = next(o for o in env.truth().objects if o.id == zombie.id)
    assert (dead.exists, dead.attributes["alive"]) == (True, False)
    env.edit(SetPose(position=(2.5, 0.0, 7.0), yaw=90.0))  # before the bare wall at x = 1
    clean = env.render()
    _events(env, [press(attack=1), *[press()] * 12])
    assert (np.abs(env.render().astype(int) - clean).max(-1) > 8).any()


# ---------------------------------------------------------------------------------------------------------- edits


def test_an_edit_takes_no_time_and_changes_one_thing(env: Any) -> None:
    env.reset(seed=7)
    gate = find(env.truth(), "gate")
    env.edit(SetObjectState(object_id=gate.id, attribute="moving", value=True))  # so that time could be seen to pass
    env.step(press())
    before = env.truth()
    ceilings = env.game.reading.ceilings
    target = _prop(env)
    env.edit(RecolourObject(object_id=target.id, colour="white" if target.attributes["colour"] != "white" else "red"))
    after = env.truth()
    assert env.game.reading.ceilings == ceilings
    assert after.time == before.time
    np.testing.assert_array_equal(after.world_from_camera, before.world_from_camera)
    changed = [a.id for a, b in zip(after.objects, before.objects, strict=True) if a.kind != b.kind]
    assert changed == [target.id]


def test_things_move_come_and_go(env: Any) -> None:
    env.reset(seed=5)
    target, count = _prop(env), len(env.truth().objects)
    x, _, z = target.position
    env.edit(AddObject(kind="clip", position=(float(x) - 0.5, 0.0, float(z))))
    assert len(env.truth().objects) == count + 1
    assert env.truth().objects[-1].kind == "clip"
    moved = next(p for p in ((x + 1, z), (x - 1, z), (x, z + 1), (x, z - 1)) if _moves(env, target.id, p))
    now = next(o for o in env.truth().objects if o.id == target.id)
    np.testing.assert_allclose(now.position[[0, 2]], moved, atol=1e-3)
    env.edit(RemoveObject(object_id=target.id))
    assert not next(o for o in env.truth().objects if o.id == target.id).exists


def _moves(env: Any, id_: int, place: tuple[float, float]) -> bool:
    try:
        env.edit(MoveObject(object_id=id_, position=(float(place[0]), 0.0, float(place[1]))))
    except ConfigError:
        return False
    return True


def test_an_edit_that_does_not_fit_changes_nothing(env: Any) -> None:
    env.reset(seed=5)
    state, (one, other) = env.snapshot(), [o for o in env.truth().objects if "colour" in o.attributes][:2]
    x, _, z = other.position
    refused: list[tuple[Any, str]] = [
        (MoveObject(object_id=one.id, position=(float(x), 0.0, float(z))), "taken"),
        (MoveObject(object_id=one.id, position=(0.5, 0.0, 0.5)), "wall"),
        (AddObject(kind="red_barel", position=(3.0, 0.0, 3.0)), "Did you mean 'red_barrel'"),
        (RemoveObject(object_id=999), "no thing has the id"),
        (SetPose(position=(3.0, 0.0, 3.0), yaw=0.0, pitch=60.0), "pitch"),
        (StopProcess(process="water"), "gate"),
    ]
    for change, words in refused:
        with pytest.raises(ConfigError, match=words):
            env.edit(change)
        assert trees.equal(env.snapshot(), state)


# --------------------------------------------------------------------------------------------------------- faults


def test_before_a_reset_and_with_nonsense(env: Any) -> None:
    with pytest.raises(ContractError, match="reset"):
        env.step(press())
    env.reset(seed=0)
    with pytest.raises(ShapeError, match="MineRL's names"):
        env.step(3)
    with pytest.raises(ShapeError, match="finite"):
        env.step(press(camera=(np.nan, 0.0)))
    with pytest.raises(UnsupportedError, match="above the floor"):
        pose = env.truth().world_from_camera
        pose[1, 3] += 1.0
        env.render_from(pose)
    with pytest.raises(ConfigError, match="size"):
        DoomEnv(size=(64, 128))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("rows", np.zeros((3, 4), np.float32), "damaged"),
        ("rows", np.full((3, 6), np.nan, np.float32), "damaged"),
        ("changes", "[{", "not JSON"),
        ("changes", '[{"at": 0, "do": "fly"}]', "damaged"),
        ("changes", '[{"at": 9, "do": "remove", "id": 5}]', "damaged"),
        ("preset", "arena", "preset"),
        ("format", 7, "format"),
    ],
)
def test_a_damaged_snapshot_is_refused(env: Any, key: str, value: Any, words: str) -> None:
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=words):
        env.restore({**env.snapshot(), key: value})


def test_a_killed_engine_is_an_error_and_the_next_reset_mends_it(env: Any) -> None:
    env.reset(seed=0)
    frame = env.step(press())[0]
    state = env.snapshot()
    (child,) = _engines()
    os.kill(child, signal.SIGKILL)
    with pytest.raises(WorldFailure, match="engine of Doom"):
        for _ in range(5):
            env.step(press())
    again, _ = env.restore(state)
    np.testing.assert_array_equal(again, frame)
    env.close()
    assert not _engines()  # nothing is left behind


_KILLED = """
import os, signal
from tests.envs.doom.helpers import DoomEnv
from tests.envs.doom.test_env import _engines
env = DoomEnv()
env.reset(seed=0)
print(*_engines(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_no_engine_outlives_a_parent_that_was_killed() -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    (engine,) = done.stdout.split()
    for _ in range(100):
        if not os.path.exists(f"/proc/{engine}"):
            return
        time.sleep(0.1)
    os.kill(int(engine), signal.SIGKILL)
    raise AssertionError(f"the engine {engine} is still there")


def _engines() -> list[int]:
    """The ViZDoom processes that this process started."""
    path = f"/proc/{os.getpid()}/task/{{}}/children"
    children = []
    for task in os.listdir(f"/proc/{os.getpid()}/task"):
        with open(path.format(task)) as file:
            children += [int(pid) for pid in file.read().split()]
    found = []
    for pid in children:
        try:
            with open(f"/proc/{pid}/cmdline") as file, open(f"/proc/{pid}/stat") as stat:
                if "vizdoom" in file.read().split("\0")[0] and stat.read().rpartition(")")[2].split()[0] != "Z":
                    found.append(pid)
        except FileNotFoundError:
            continue
    return found


def test_a_missing_package_names_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "vizdoom":
            raise ImportError("No module named 'vizdoom'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(PrerequisiteError, match=r"pip install 'worldsim\[vizdoom\]'"):
        DoomEnv()
