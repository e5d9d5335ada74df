from __future__ import annotations

import pickle

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim import trees
from worldsim.envs import actions
from worldsim.errors import ConfigError, ShapeError

SPACES = {form: actions.make_space(form) for form in ("minerl", "discrete", "continuous")}


@pytest.mark.parametrize("form", SPACES)
def test_noop_lies_in_the_space_and_maps_to_noop(form: str) -> None:
    space = SPACES[form]
    nothing = actions.noop(space)
    assert space.contains(nothing)
    for target in SPACES.values():
        assert trees.equal(
            trees.map_leaves(np.asarray, actions.find_map(space, target)(nothing)),
            trees.map_leaves(np.asarray, actions.noop(target)),
        )


def test_known_answers() -> None:
    to_minerl = actions.find_map(SPACES["discrete"], SPACES["minerl"])
    names = list(actions.DISCRETE)
    jump = to_minerl(np.int64(names.index("jump_forward")))
    assert {k for k, v in jump.items() if np.any(v)} == {"jump", "forward"}
    right = to_minerl(np.int64(names.index("turn_right")))
    assert right["camera"].tolist() == [0.0, 15.0]
    vector = actions.find_map(SPACES["discrete"], SPACES["continuous"])(np.int64(names.index("turn_right")))
    assert vector.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
@pytest.mark.parametrize("form", SPACES)
@pytest.mark.parametrize("target", SPACES)
def test_maps_keep_leading_axes(form: str, target: str, shape: tuple[int, ...]) -> None:
    space = SPACES[form]
    flat = [space.sample() for _ in range(int(np.prod(shape, dtype=int)))]
    batch = trees.map_leaves(lambda x: x.reshape((*shape, *x.shape[1:])), trees.stack(flat))
    convert = actions.find_map(space, SPACES[target], lossy=True)
    out = convert(batch)
    for index in np.ndindex(*shape):
        one = trees.map_leaves(np.asarray, convert(trees.index(batch, index)))
        assert trees.equal(trees.map_leaves(np.asarray, trees.index(out, index)), one)
        assert SPACES[target].contains(trees.index(out, index))


@settings(deadline=None)  # no timed tests
@given(st.lists(st.integers(0, 15), min_size=1, max_size=8))
def test_discrete_goes_to_minerl_and_back(indices: list[int]) -> None:
    there = actions.find_map(SPACES["discrete"], SPACES["minerl"])
    back = actions.find_map(SPACES["minerl"], SPACES["discrete"])
    assert back(there(np.array(indices))).tolist() == indices


@settings(deadline=None)  # no timed tests
@given(st.lists(st.floats(-15, 15, width=32), min_size=2, max_size=2), st.sampled_from(["forward", "back", "jump"]))
def test_what_the_continuous_space_can_express_comes_back(camera: list[float], key: str) -> None:
    action = {**actions.noop(SPACES["minerl"]), key: np.int64(1), "camera": np.array(camera, np.float32)}
    there = actions.find_map(SPACES["minerl"], SPACES["continuous"])
    back = actions.find_map(SPACES["continuous"], SPACES["minerl"])(there(action))
    np.testing.assert_allclose(back.pop("camera"), action.pop("camera"), atol=1e-5)
    assert trees.equal(trees.map_leaves(np.asarray, back), trees.map_leaves(np.asarray, action))


def test_what_cannot_be_mapped_is_named() -> None:
    action = {**actions.noop(SPACES["minerl"]), "inventory": np.int64(1)}
    for form in ("discrete", "continuous"):
        with pytest.raises(ShapeError, match="inventory"):
            actions.find_map(SPACES["minerl"], SPACES[form])(action)
        nearest = actions.find_map(SPACES["minerl"], SPACES[form], lossy=True)
        assert not nearest.exact
        assert SPACES[form].contains(nearest(action))
    turn = {**actions.noop(SPACES["minerl"]), "camera": np.array([0, 7.5], np.float32)}
    with pytest.raises(ShapeError, match=r"camera \(0, 7.5\)"):
        actions.find_map(SPACES["minerl"], SPACES["discrete"])(turn)
    with pytest.raises(ShapeError, match=r"0\.\.15"):
        actions.find_map(SPACES["discrete"], SPACES["minerl"])(np.int64(16))
    with pytest.raises(ShapeError, match="continuous actions"):
        actions.find_map(SPACES["continuous"], SPACES["minerl"])(np.zeros(3))


def test_a_space_with_some_of_the_names() -> None:
    few = gym.spaces.Dict({"forward": gym.spaces.Discrete(2), "camera": SPACES["minerl"]["camera"]})
    full = actions.find_map(few, SPACES["minerl"])({"forward": np.int64(1), "camera": np.zeros(2, np.float32)})
    assert SPACES["minerl"].contains(full)
    assert full["forward"] == 1
    assert set(actions.find_map(SPACES["minerl"], few)(full)) == {"forward", "camera"}
    with pytest.raises(ShapeError, match="no jump"):
        actions.find_map(SPACES["minerl"], few)({**full, "jump": np.int64(1)})


def test_strangers_are_refused() -> None:
    with pytest.raises(ConfigError, match="no action map"):
        actions.find_map(gym.spaces.Discrete(16), SPACES["minerl"])  # 16 actions of another game are not ours
    same = gym.spaces.Discrete(4)
    assert actions.find_map(same, gym.spaces.Discrete(4))(3) == 3
    with pytest.raises(ConfigError, match="minerl, discrete, continuous"):
        actions.make_space("keyboard")


def test_named_spaces_survive_pickle_and_batching() -> None:
    for form in ("discrete", "continuous"):
        assert pickle.loads(pickle.dumps(SPACES[form])) == SPACES[form]
        assert gym.vector.utils.batch_space(SPACES[form], 3).shape[0] == 3
