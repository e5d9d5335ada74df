"""The policy that plays from pixels: it turns to its colour, walks to it, looks around, and reads nothing else."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from worldsim.envs.actions import minerl_space
from worldsim.envs.controllers.seek import TURN, Seek, largest_patch, mask_of
from worldsim.errors import ConfigError, UnknownNameError
from worldsim.registry import CONTROLLERS, ENVS

NOTHING = cast(Any, None)  # a truth that no pixel policy may touch


def picture(*patches: tuple[slice, slice, tuple[int, int, int]]) -> np.ndarray:
    frame = np.full((64, 64, 3), 120, np.uint8)
    for rows, columns, colour in patches:
        frame[rows, columns] = colour
    return frame


def keys(frame: np.ndarray, *, seed: int = 1, **settings: Any) -> dict[str, Any]:
    seek = Seek(**settings)
    seek.reset(seed=seed, action_space=minerl_space(), truth=NOTHING)
    return cast("dict[str, Any]", seek.act(frame, NOTHING, 10))


def test_it_turns_to_the_largest_patch_of_its_colour_and_walks() -> None:
    frame = picture(
        (slice(20, 30), slice(50, 60), (220, 20, 20)),
        (slice(20, 24), slice(2, 6), (220, 20, 20)),
        (slice(0, 64), slice(20, 40), (20, 30, 220)),
    )
    done = keys(frame)
    assert done["forward"] == 1 and done["camera"][1] == TURN and done["camera"][0] == 0.0
    assert keys(frame[:, ::-1])["camera"][1] == -TURN
    ahead = keys(picture((slice(20, 30), slice(31, 35), (220, 20, 20))))
    assert ahead["forward"] == 1 and abs(ahead["camera"][1]) <= 1.2


def test_it_stands_when_it_is_near_and_looks_around_when_it_sees_nothing() -> None:
    near = keys(picture((slice(10, 60), slice(10, 60), (220, 20, 20))))
    assert near["forward"] == 0
    for frame in (picture(), picture((slice(0, 30), slice(0, 30), (90, 70, 70)))):  # grey is no red
        assert keys(frame)["forward"] == 0 and keys(frame)["camera"][1] == TURN
        assert keys(frame, seed=2)["camera"][1] == -TURN


@pytest.mark.parametrize(
    ("colour", "paint"),
    [
        ("red", (200, 20, 20)),
        ("yellow", (230, 210, 30)),
        ("green", (30, 160, 40)),
        ("blue", (40, 60, 200)),
        ("purple", (150, 30, 180)),
    ],
)
def test_each_colour_is_told_from_the_others(colour: str, paint: tuple[int, int, int]) -> None:
    frame = picture((slice(8, 16), slice(0, 16), paint))
    found = {name: float(mask_of(frame, name).mean()) for name in ("red", "yellow", "green", "blue", "purple")}
    assert found.pop(colour) == 128 / 4096 and not any(found.values())
    assert largest_patch(mask_of(frame, colour)) == (128 / 4096, pytest.approx(8 / 64 - 0.5))


def test_a_picture_without_the_colour_has_no_patch() -> None:
    assert largest_patch(mask_of(picture(), "red")) is None


def test_it_finds_the_red_chest_of_a_world() -> None:
    env = ENVS.get("blocks")(preset="arena", size=(64, 64))
    near = []
    for seed in range(3, 9):
        frame, _ = env.reset(seed=seed)
        seek = CONTROLLERS.get("seek")(colour="red")
        seek.reset(seed=seed, action_space=env.action_space, truth=env.truth())
        shares = []
        for t in range(160):
            frame = env.step(seek.act(frame, NOTHING, t))[0]
            patch = largest_patch(mask_of(frame, "red"))
            shares.append(0.0 if patch is None else patch[0])
        near.append(max(shares) >= 0.1)
    env.close()
    assert sum(near) >= 3, near  # some worlds have nothing red


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"no hue is called 'rde'\. Did you mean 'red'"):
        Seek(colour="rde")
    with pytest.raises(ConfigError, match="smallest"):
        Seek(smallest=0.5, near=0.2)
    with pytest.raises(RuntimeError, match="reset before it acts"):
        Seek().act(picture(), NOTHING, 0)
