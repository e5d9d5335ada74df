from __future__ import annotations

import numpy as np
import pytest

from tests.envs.blocks.helpers import FLOOR, flat, play
from worldsim.envs.blocks.kinds import cell_id
from worldsim.envs.blocks.layout import ObjectSpec
from worldsim.envs.blocks.physics import CARRIED, EXISTS, HELD, SOLID, STATE
from worldsim.envs.blocks.state import HOTBAR

F = float(FLOOR)


def kinds(events: list) -> list[str]:  # type: ignore[type-arg]
    return [e.kind for e in events]


def test_place_and_break_where_the_eye_looks() -> None:
    world = flat()
    events = play(world, 1, camera=(40.0, 0.0), hotbar_3=1, use=1)
    (placed,) = np.argwhere(world.cells == cell_id(HOTBAR[2]))
    assert kinds(events) == ["place"] and placed.tolist() == [8, 10, FLOOR]  # x, z, y: 1.62 / tan 40 deg = 1.9 m ahead
    assert [(c.before, c.after) for c in world.cell_changes()] == [("air", "red_wool")]
    events = play(world, 1, attack=1)
    assert kinds(events) == ["break"] and world.cells[8, 10, FLOOR] == 0
    assert world.cell_changes()[0].before == "red_wool"


def test_a_held_key_acts_again_every_five_steps_and_a_new_press_at_once() -> None:
    world = flat()
    for z in (10, 11, 12):
        world.set(8, FLOOR + 1, z, cell_id("stone"))
    assert [len(play(world, 1, attack=1)) for _ in range(11)] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    world.set(8, FLOOR + 1, 10, cell_id("stone"))
    world.set(8, FLOOR + 1, 11, cell_id("stone"))
    play(world, 1)
    assert len(play(world, 1, attack=1)) == 1
    play(world, 1)
    assert len(play(world, 1, attack=1)) == 1


def test_bedrock_and_the_own_place_are_safe() -> None:
    world = flat()
    world.cells[:, :, 1:FLOOR] = 0
    world.body[1], world.body[7] = 1.0, 90.0
    assert play(world, 3, attack=1) == []
    assert play(world, 3, use=1) == []


def test_a_door_opens_lets_through_and_does_not_close_on_somebody() -> None:
    world = flat(ObjectSpec(kind="door", position=(8.5, F, 10.5)))
    play(world, 30, forward=1)
    blocked = world.body[2]
    assert blocked < 10.4
    assert kinds(play(world, 1, use=1)) == ["open"] and not world.table[0, SOLID]
    play(world, 5, forward=1)
    assert world.body[2] > blocked + 0.5
    world.body[:3] = 8.5, F, 10.7  # where the closed leaf would be
    world.body[6:] = 90.0, 20.0  # looking at the open leaf
    play(world, 1, use=1)
    assert world.table[0, STATE] == 1
    world.body[:3] = 8.5, F, 9.5
    world.body[6:] = 30.0, 20.0
    play(world, 1)
    assert kinds(play(world, 1, use=1)) == ["close"] and world.table[0, SOLID]


def test_a_lever_switches_its_lamp_wherever_that_is() -> None:
    world = flat(
        ObjectSpec(kind="lamp", position=(2.5, F, 2.5), attributes={"lit": False}),
        ObjectSpec(kind="lever", position=(8.5, F + 1.0, 10.5), facing=2, attributes={"on": False, "linked_to": 0}),
    )
    world.set(8, FLOOR + 1, 11, cell_id("stone"))
    play(world, 1, camera=(0.0, 0.0))
    events = play(world, 1, camera=(7.0, 0.0), use=1)
    assert kinds(events) == ["toggle"] and events[0].details == {"value": True, "linked_to": 1}
    assert world.table[0, STATE] == world.table[1, STATE] == 1
    play(world, 1)
    play(world, 1, use=1)
    assert world.table[0, STATE] == 0


@pytest.mark.parametrize(
    ("kind", "sneak", "event"), [("crate", 0, "pick_up"), ("chest", 0, "open"), ("chest", 1, "pick_up")]
)
def test_use_on_a_prop(kind: str, sneak: int, event: str) -> None:
    world = flat(ObjectSpec(kind=kind, colour="blue", position=(8.5, F, 10.5)))
    assert kinds(play(world, 1, camera=(32.0, 0.0), use=1, sneak=sneak)) == [event]


def test_pick_up_carry_and_put_down() -> None:
    world = flat(
        ObjectSpec(kind="crate", colour="blue", position=(8.5, F, 10.5)),
        ObjectSpec(kind="gem", colour="red", position=(8.5, F, 12.5)),
    )
    play(world, 1, camera=(32.0, 0.0), use=1)
    assert world.table[0, HELD] and world.flags[CARRIED] == 1 and world.table[0, EXISTS]
    play(world, 6, back=1)
    np.testing.assert_allclose(world.place[0], world.body[:3])
    events = play(world, 1, drop=1)
    assert kinds(events) == ["drop"] and not world.table[0, HELD] and not world.flags[CARRIED]
    ahead = world.place[0] - world.body[:3]
    assert abs(ahead[0]) < 1e-9 and 0.8 <= ahead[2] <= 1.2 and world.place[0, 1] == F
    play(world, 1, use=1)
    play(world, 1)
    if world.flags[CARRIED]:  # it was in view again: now put it where the eye looks
        assert kinds(play(world, 1, use=1)) == ["drop"]
        assert world.place[0, 0] % 1 == 0.5 and world.place[0, 2] % 1 == 0.5


def test_nothing_is_put_into_a_wall() -> None:
    world = flat(ObjectSpec(kind="crate", colour="blue", position=(8.5, F, 10.0)))
    play(world, 1, camera=(35.0, 0.0), use=1)
    for x in range(6, 12):
        for y in range(3, 7):
            world.set(x, FLOOR + y - 3, 9, cell_id("stone"))
    assert play(world, 1, drop=1) == [] and world.flags[CARRIED] == 1


def test_creatures_are_hit_thrown_back_and_defeated() -> None:
    world = flat(ObjectSpec(kind="pig", position=(8.5, F, 10.5)), preset="village")
    seen = []
    for _ in range(60):
        yaw = np.degrees(np.arctan2(-(world.place[0, 0] - world.body[0]), world.place[0, 2] - world.body[2]))
        far = np.hypot(*(world.place[0, [0, 2]] - world.body[[0, 2]]))
        world.body[6] = yaw
        world.body[7] = np.degrees(np.arctan2(1.62 - 0.4, far))
        seen += kinds(play(world, 1, attack=1, forward=1))
        if not world.table[0, EXISTS]:
            break
    assert [kind for kind in seen if kind != "break"] == ["hit", "hit", "defeat"]
