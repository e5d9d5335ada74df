"""Ways around what stands somewhere: known answers, and laws that hold for any ground."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envs.court import Court
from tests.envs.test_controllers import marks_of, play
from worldsim.envs.controllers import Script
from worldsim.envs.controllers.pose import ground_distance, pose_of
from worldsim.envs.controllers.sight import covered, is_open_floor
from worldsim.envs.controllers.ways import explore_ground, ways_to_hide

EYE = np.array([0.5, 1.62, 0.5])


def wall(x: int, *zs: int) -> set[tuple[int, int, int]]:
    return {(x, y, z) for z in zs for y in (0, 1)}


def length(places: list[np.ndarray]) -> float:
    return float(sum(np.linalg.norm(b - a) for a, b in itertools.pairwise(places)))


def test_open_ground_is_walked_straight() -> None:
    ground = explore_ground(set(), EYE, 4.0)
    assert ground.metres[16, 16] == 0.0
    assert ground.metres[24, 16] == pytest.approx(2.0)
    assert ground.metres[24, 24] == pytest.approx(2.0 * math.sqrt(2.0))
    assert ground.metres[0, 0] == np.inf  # 5.7 m: farther than it may walk
    assert np.allclose(ground.way(24, 16), [[2.5, 1.62, 0.5]])
    assert ground.way(16, 16) == []


def test_a_wall_is_gone_around_at_half_a_body() -> None:
    """A wall of 3 m, 2 m ahead: the shortest way has two corners, 0.45 m and a little more beyond its end."""
    ground = explore_ground(wall(2, -1, 0, 1), EYE, 12.0)
    half = len(ground.free) // 2
    way = ground.way(half + 16, half)  # 4 m ahead
    assert np.allclose(way[-1], EYE + np.array([4.0, 0.0, 0.0]))
    assert 4.0 < length([EYE, *way]) < 2 * math.hypot(2.0, 2.5) + 0.5
    assert max(abs(corner[2] - 0.5) for corner in way) == pytest.approx(2.0, abs=0.26)
    above = explore_ground({(x, y + 2, z) for x, y, z in wall(2, -1, 0, 1)}, EYE, 12.0)
    assert length([EYE, *above.way(half + 16, half)]) == pytest.approx(4.0), "what hangs above is in nobody's way"


def test_obstacles_are_kept_clear_of() -> None:
    centre = np.array([2.5, 0.5, 0.5])
    ground = explore_ground(set(), EYE, 8.0, [(centre, 0.5)])
    half = len(ground.free) // 2
    places = [EYE, *ground.way(half + 16, half)]
    line = np.vstack([a + s * (b - a) for a, b in itertools.pairwise(places) for s in np.linspace(0, 1, 50)])
    assert np.linalg.norm((line - centre)[:, [0, 2]], axis=-1).min() > 0.9 - 0.13  # half a step of the square
    boxed = explore_ground(
        wall(2, 0)
        | wall(-2, 0)
        | {(x, 0, z) for x in range(-2, 3) for z in (-2, 2)}
        | wall(2, -1, 1)
        | wall(-2, -1, 1),
        EYE,
        8.0,
    )
    assert boxed.metres[half + 16, half] == np.inf, "no way out of a closed room"


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(-4, 4), st.sampled_from([0, 1]), st.integers(-4, 4)), max_size=25))
def test_every_way_is_free_and_none_is_shorter_than_straight(solid: set[tuple[int, int, int]]) -> None:
    ground = explore_ground(solid, EYE, 6.0)
    half = len(ground.free) // 2
    nodes = list(ground.nodes())
    assert nodes[0] == (half, half)
    lengths = [ground.metres[node] for node in nodes]
    assert lengths == sorted(lengths)
    for x, z in nodes[:: max(1, len(nodes) // 20)]:
        way = ground.way(x, z)
        places = [EYE, *way]
        straight = float(np.linalg.norm(ground.place(x, z) - EYE))
        assert straight - 1e-9 <= length(places) <= ground.metres[x, z] + 1e-9
        for a, b in itertools.pairwise(places):
            for s in np.linspace(0.0, 1.0, 30):
                p = a + s * (b - a)
                for cx, _, cz in solid:
                    gap = math.hypot(max(cx - p[0], p[0] - cx - 1, 0), max(cz - p[2], p[2] - cz - 1, 0))
                    assert gap > 0.45 - 0.19 or np.linalg.norm(p - EYE) < 0.6  # half a diagonal of the square


def test_the_nearest_hiding_places_come_first_and_hide() -> None:
    box = np.array(
        [[6.5, 0.5, 0.5]]
        + [[6.5 + dx, 0.5 + dy, 0.5 + dz] for dx in (-0.4, 0.4) for dy in (-0.4, 0.4) for dz in (-0.4, 0.4)]
    )
    solid = wall(3, 3, 4)  # a post two cells wide, beside the way
    ways = list(ways_to_hide(solid, EYE, box, 8.0))
    assert ways
    for way in ways:
        place = way[-1]
        for point in box:
            # The line from the eye to the point passes through x 3..4 within z 3..5.
            crossing = [place + s * (point - place) for s in np.linspace(0, 1, 400)]
            assert any(3 <= p[0] < 4 and 3 <= p[2] < 5 for p in crossing)
    assert list(ways_to_hide(set(), EYE, box, 8.0)) == []


def test_a_body_that_cannot_pass_things_goes_around_them() -> None:
    """In these worlds chests stand on every straight way to a place to hide; they can be gone around."""
    for seed in (1, 2, 5):
        straight = Script("occlude_reveal", context=12, horizon=200, metres=10.0, change=True)
        play(straight, Court(seed, objects=14, pillars=6), 211)
        assert straight.aborted == "nothing hides the instance within reach"
        script = Script("occlude_reveal", context=12, horizon=200, metres=10.0, change=True, go_around=True)
        states, _ = play(script, Court(seed, objects=14, pillars=6), 211)
        assert script.aborted is None
        at, item = marks_of(script), next(o for o in states[0].objects if o.id == script.focus["object_id"])
        assert covered(states[at["hidden"]], item.position, item.size)
        a, b = (pose_of(states[at[name]]) for name in ("departure", "return"))
        assert ground_distance(a.eye, b.eye) < 0.09


class StiffNeck(Court):
    """Cannot look down by more than 20 degrees."""

    def step(self, action: object) -> None:
        super().step(action)
        self.pitch = min(self.pitch, 20.0)


def test_a_camera_at_its_stop_does_not_hold_the_probe_up() -> None:
    for seed in range(6):
        env = StiffNeck(seed, objects=5)
        script = Script("orbit", context=16, horizon=128, radius=2.0)
        states, _ = play(script, env, 143)
        assert "more than" not in str(script.aborted)
        assert max(pose_of(s).pitch for s in states) <= 20.0 + 1e-9


def test_open_floor_has_no_wall_in_it() -> None:
    env = Court(0, objects=0, pillars=0)
    env.feet, env.yaw, env.pitch = np.array([10.0, 0.0, 4.0]), 0.0, 20.0
    env.pillars = [(10.0, 0, 8.0)]
    truth = env.truth()
    assert is_open_floor(truth, np.array([9.0, 0.0, 7.0]), 0.4)
    assert not is_open_floor(truth, np.array([10.5, 0.0, 7.7]), 0.4), "reaches 0.1 m into the pillar"
    assert not is_open_floor(truth, np.array([9.7, 0.0, 8.5]), 0.4), "and from the side"
    assert not is_open_floor(truth, np.array([10.5, 0.0, 9.6]), 0.4), "behind it nothing is seen"
    assert not is_open_floor(truth, np.array([3.0, 0.0, 4.5]), 0.4), "out of the frame"
