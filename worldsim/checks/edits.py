"""How each `Edit` is tried on a truth: an example that suits its current state, and what must be seen afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from worldsim.checks.report import Broken, Skip, same
from worldsim.checks.scene import Scene, first_difference
from worldsim.errors import UnsupportedError, WorldsimError
from worldsim.protocols import TruthEnv
from worldsim.truth import EDITS, Edit, ObjectState, TruthState

_WORLDS = range(6)  # seeds in which a fitting object is looked for
_COLOURS = ("red", "blue", "green", "yellow", "white")
_NEAR = ((1, 0, 0), (0, 0, 1), (-1, 0, 0), (0, 0, -1), (2, 0, 0), (0, 0, 2), (0, 1, 0), (0, 2, 0))


def check_edit(scene: Scene, name: str) -> str:
    """Tries the edit `name`: visible in the truth if declared, refused if not."""
    env = scene.env
    if name not in env.abilities.edit:
        env.reset(seed=0)
        try:
            env.edit(_any_example(name))
        except UnsupportedError:
            return "not declared, refused"
        raise Broken(f"{name} is not in abilities.edit and yet it was accepted")
    tried, refusal = 0, ""
    for seed in _WORLDS:
        env.reset(seed=seed)
        for action in scene.actions():
            env.step(action)
        state = env.snapshot() if env.abilities.snapshot else None
        before = look(env)
        for change in examples(name, before[1]):
            tried += 1
            try:
                env.edit(change)
            except UnsupportedError:
                raise
            except WorldsimError as error:  # a place that is taken, a colour it does not know: try the next example
                refusal = str(error)
                continue
            if problem := _unseen(change, before, look(env), state, env):
                raise Broken(f"after {change}: {problem}")
            for action in scene.actions(2)[:2]:
                env.step(action)  # the world goes on
            return "declared, seen in the truth"
    if not tried:
        raise Skip(f"no fitting example in {len(_WORLDS)} worlds")
    raise Broken(f"all {tried} examples were refused, the last with: {refusal}")


def look(env: TruthEnv) -> tuple[Any, TruthState]:
    """The current picture and truth, drawn anew where that is possible."""
    return env.render_from() if env.abilities.render_from else (None, env.truth())


def examples(name: str, truth: TruthState) -> Iterator[Edit]:
    """Edits of one kind that suit the current state, the most likely to be accepted first."""
    objects = sorted((o for o in truth.objects if o.exists), key=lambda o: -o.visible_px)
    kinds = sorted({o.kind for o in truth.objects})
    eye = truth.world_from_camera[:3, 3] if truth.world_from_camera is not None else np.zeros(3)
    make: dict[str, Callable[[ObjectState], Iterator[Edit]]] = {
        "RemoveObject": lambda o: iter([EDITS[name](object_id=o.id)]),
        "MoveObject": lambda o: (EDITS[name](object_id=o.id, position=_base(o, d)) for d in _NEAR),
        "AddObject": lambda o: (EDITS[name](kind=o.kind, position=_base(o, d)) for d in _NEAR),
        "RecolourObject": lambda o: (
            EDITS[name](object_id=o.id, colour=c) for c in _COLOURS if c != o.attributes.get("colour")
        ),
        "ReplaceObject": lambda o: (EDITS[name](object_id=o.id, kind=k) for k in kinds if k != o.kind),
        "SetObjectState": lambda o: (
            EDITS[name](object_id=o.id, attribute=k, value=not v)
            for k, v in o.attributes.items()
            if isinstance(v, bool | np.bool_)
        ),
    }
    if name in make:
        for o in objects:
            yield from make[name](o)
    elif name == "SetCell":
        i, j, k = (int(np.floor(v)) for v in eye)
        for d in _NEAR:
            for kind in ("stone", "air", "dirt"):
                yield EDITS[name](position=(i + 2 * d[0], j + d[1], k + 2 * d[2]), kind=kind)
    elif name == "SetTime":
        yield from (EDITS[name](hour=h) for h in (23.0, 12.0))
    elif name == "StopProcess":
        yield EDITS[name]()
    elif name == "SetPose":
        x, y, z = (float(v) for v in eye)
        yield from (EDITS[name](position=(x + dx, y - 1.6, z + dz), yaw=123.0) for dx, _, dz in ((0, 0, 0), *_NEAR))


def _any_example(name: str) -> Edit:
    plain: dict[str, Any] = {
        "object_id": 1,
        "kind": "x",
        "position": (0, 0, 0) if name == "SetCell" else (0.0, 0.0, 0.0),
        "colour": "red",
        "attribute": "open",
        "value": True,
        "hour": 12.0,
        "yaw": 0.0,
    }
    wanted = EDITS[name].__dataclass_fields__
    edit: Edit = EDITS[name](**{k: v for k, v in plain.items() if k in wanted})
    return edit


def _base(o: ObjectState, offset: tuple[int, int, int]) -> tuple[float, float, float]:
    x, y, z = (o.position - np.array([0, o.size[1] / 2, 0]) + np.array(offset)).tolist()
    return x, y, z


def _unseen(
    change: Any, before: tuple[Any, TruthState], after: tuple[Any, TruthState], state: Any, env: TruthEnv
) -> str:
    """Why the truth does not show the change, or ""."""
    name, old, new = type(change).__name__, before[1], after[1]
    if name in ("RemoveObject", "MoveObject", "RecolourObject", "ReplaceObject", "SetObjectState"):
        was = next(o for o in old.objects if o.id == change.object_id)
        now = next((o for o in new.objects if o.id == change.object_id), None)
        if name == "RemoveObject":
            if now is not None and now.exists:
                return "truth().objects still lists it with exists=True"
            if new.segmentation is not None and (new.segmentation == change.object_id).any():
                return "its id is still in segmentation"
            return ""
        if now is None or not now.exists:
            return "the object is gone"
        if name == "MoveObject" and not np.allclose(_base(now, (0, 0, 0)), change.position, atol=0.6):
            return f"its base is at {_base(now, (0, 0, 0))}"  # 0.6 m: a world of cells may centre it in its cell
        if name != "MoveObject" and now.kind == was.kind and not first_difference(now.attributes, was.attributes):
            return "its kind and attributes are as before"
        return ""
    if name == "AddObject":
        return "" if sum(o.exists for o in new.objects) == sum(o.exists for o in old.objects) + 1 else "no more objects"
    if name == "SetPose":
        moved = first_difference(new.world_from_camera, old.world_from_camera)
        return "" if moved or new.world_from_camera is None else "the pose is as before"
    if name == "StopProcess":
        return ""  # what stands still is seen later only; that it is accepted is all that is asked here
    if state is not None:
        return "" if first_difference(env.snapshot(), state) else "the state is as before"
    return "the picture is as before" if after[0] is not None and same(after[0], before[0]) else ""
