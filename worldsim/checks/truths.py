"""`check_truth_env`: the contract of `worldsim.protocols.TruthEnv`, clause by clause. The edits are in `edits.py`."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.checks.bench import global_randomness
from worldsim.checks.edits import check_edit
from worldsim.checks.report import Broken, Clauses, Report, Skip, same
from worldsim.checks.scene import Scene, Step, differ, first_difference
from worldsim.errors import UnsupportedError
from worldsim.protocols import TruthEnv
from worldsim.truth import EDITS, Abilities, TruthState

_ARRAYS = ("world_from_camera", "intrinsics", "depth", "segmentation")
LATE = 32  # rounds of `steps` within which an open future must show
_FIELDS = frozenset((*_ARRAYS, "objects", "cells", "events"))


def check_truth_env(factory: Callable[[], TruthEnv], *, steps: int = 8) -> Report:
    """Checks a ground truth against its contract.

    Args:
        factory: Makes a fresh copy; called several times.
        steps: Length of the runs that are compared.

    Returns:
        A report; `report.ok`, `print(report)`, `report.raise_for_status()`.
    """
    scene = Scene(factory, steps)
    try:
        report = CLAUSES.check(scene, "")
        return replace(report, subject=f"truth environment {scene.name}")
    finally:
        scene.close()


CLAUSES: Clauses[Scene] = Clauses()
_clause = CLAUSES.clause


@_clause(
    "interface",
    expected="the methods of worldsim.TruthEnv, and `abilities` that names known edits and fields only",
    remedy="define truth, snapshot, restore, edit, render_from and close; those it cannot do raise UnsupportedError",
)
def _interface(s: Scene) -> str:
    missing = [n for n in dir(TruthEnv) if not n.startswith("_") and not hasattr(s.env, n)]
    missing += [n for n in ("observation_space", "action_space", "metadata") if not hasattr(s.env, n)]
    if missing:
        raise Broken(f"it lacks {', '.join(missing)}")
    abilities = s.env.abilities
    if not isinstance(abilities, Abilities):
        raise Broken(f"abilities is {type(abilities).__name__}", "use worldsim.truth.Abilities(...)")
    if unknown := (abilities.edit - set(EDITS)) | (abilities.truth - _FIELDS):
        raise Broken(f"abilities names {sorted(unknown)}", f"known edits: {sorted(EDITS)}; fields: {sorted(_FIELDS)}")
    return ", ".join(n for n in ("snapshot", "render_from", "deterministic", "open_future") if getattr(abilities, n))


@_clause(
    "gymnasium",
    expected="gymnasium.utils.env_checker.check_env passes, warnings counted as errors (advice on Box ranges apart)",
    remedy="see the message; call super().reset(seed=seed) first and return new objects on every call",
)
def _gymnasium(s: Scene) -> None:
    from gymnasium.utils.env_checker import check_env

    env: Any = s.make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Advice to authors of policies, not a promise that is broken: MineRL's camera turns in degrees.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space")
        # Other render modes can only be tried on what `gymnasium.make` built.
        check_env(
            env, skip_render_check=getattr(env, "render_mode", None) is None or getattr(env, "spec", None) is None
        )


@_clause(
    "frame",
    expected="the observation is the frame, (H, W, 3) uint8, and its space is Box(0, 255, (H, W, 3), uint8)",
    remedy="return the picture itself; put everything else into info or truth()",
    needs=("interface",),
)
def _frame(s: Scene) -> str:
    space, frame = s.env.observation_space, s.env.reset(seed=0)[0]
    if getattr(space, "dtype", None) != np.uint8 or len(space.shape) != 3 or space.shape[-1] != 3:
        raise Broken(f"the observation space is {space}")
    for what, got in (("reset", frame), ("step", s.env.step(s.actions()[0])[0])):
        if not isinstance(got, np.ndarray) or got.shape != space.shape or got.dtype != np.uint8:
            raise Broken(f"{what} gave {getattr(got, 'shape', type(got).__name__)} {getattr(got, 'dtype', '')}")
    return f"{frame.shape[0]}x{frame.shape[1]}"


@_clause(
    "truth fields",
    expected="truth() fills the fields in abilities.truth, and no others",
    remedy="declare what is filled, fill what is declared",
    needs=("frame",),
)
def _fields(s: Scene) -> str:
    declared = s.env.abilities.truth
    for step in s.run(1):
        if not isinstance(step.truth, TruthState):
            raise Broken(f"truth() returned {type(step.truth).__name__}", "return worldsim.TruthState(time=..., ...)")
        for name in _ARRAYS:
            if (getattr(step.truth, name) is not None) != (name in declared):
                raise Broken(f"{name} is {'filled but not' if name not in declared else 'not filled but'} declared")
        for name in _FIELDS - set(_ARRAYS) - declared:
            if getattr(step.truth, name):
                raise Broken(f"{name} is filled but not declared")
    return ", ".join(sorted(declared))


@_clause(
    "time",
    expected="time is 0 after reset and advances by 1 / metadata['render_fps'] seconds a step",
    remedy="set metadata['render_fps'] to the simulated frames per second and count steps from the reset",
    needs=("truth fields",),
)
def _time(s: Scene) -> str:
    fps = s.env.metadata.get("render_fps")
    if not fps:
        raise Broken("metadata has no render_fps")
    times = [step.truth.time for step in s.run(1)]
    if not np.allclose(times, np.arange(len(times)) / fps, atol=1e-6):
        raise Broken(f"times {np.round(times[:4], 4).tolist()}, expected steps of {1 / fps:.4g} s from 0")
    return f"{fps:g} fps"


@_clause(
    "depth and segmentation",
    expected="(H, W) of the frame; depth > 0 metres or inf; ids 0 or of a listed object",
    remedy="render them with the frame, at its size; mark 'nothing there' with depth inf and id 0",
    needs=("truth fields",),
)
def _rasters(s: Scene) -> None:
    declared = s.env.abilities.truth
    if not declared & {"depth", "segmentation"}:
        raise Skip("neither is declared")
    for step in s.run(1):
        size = step.frame.shape[:2]
        for name in declared & {"depth", "segmentation"}:
            if getattr(step.truth, name).shape != size:
                raise Broken(f"{name} is {getattr(step.truth, name).shape}, the frame {size}")
        if step.truth.depth is not None and not (step.truth.depth > 0).all():  # NaN fails too
            raise Broken(f"depth has values down to {np.nanmin(step.truth.depth):g}, or NaN")
        if step.truth.segmentation is not None and "objects" in declared:
            stray = set(np.unique(step.truth.segmentation)) - {0} - {o.id for o in step.truth.objects}
            if stray:
                raise Broken(f"segmentation holds {sorted(map(int, stray))}, which truth().objects does not list")


@_clause(
    "pose",
    expected="world_from_camera is a rotation (right-handed, orthonormal) and a position; focal lengths are positive",
    remedy="columns are camera right, down, forward in world axes (y up): right x down = forward, determinant +1",
    needs=("truth fields",),
)
def _pose(s: Scene) -> None:
    if "world_from_camera" not in s.env.abilities.truth:
        raise Skip("the pose is not declared")
    for step in s.run(1):
        m, k = step.truth.world_from_camera, step.truth.intrinsics
        if m is None:
            raise Broken("world_from_camera is None")
        r = m[:3, :3]
        if not np.isfinite(m).all() or not np.allclose(m[3], (0, 0, 0, 1)):
            raise Broken(f"the last row is {m[3].tolist()}, expected 0 0 0 1, all values finite")
        if not np.allclose(r.T @ r, np.eye(3), atol=1e-6):
            raise Broken("its axes are not orthonormal")
        if np.linalg.det(r) < 0:
            raise Broken("it is left-handed (determinant -1)")
        if k is not None and not (k[0, 0] > 0 and k[1, 1] > 0 and k[2, 2] == 1):
            raise Broken(f"intrinsics {k.tolist()}")


@_clause(
    "visible pixels",
    expected="each object's visible_px is the count of its id in segmentation",
    remedy="count: numpy.bincount(segmentation.ravel())",
    needs=("depth and segmentation",),
)
def _visible(s: Scene) -> None:
    if not {"objects", "segmentation"} <= s.env.abilities.truth:
        raise Skip("objects and segmentation are not both declared")
    for step in s.run(1):
        for o in step.truth.objects:
            count = int(np.sum(step.truth.segmentation == o.id))
            if o.visible_px != count:
                raise Broken(f"object {o.id} says {o.visible_px} px, segmentation has {count}")


@_clause(
    "determinism",
    expected="the same seed and actions give the same bytes and states: again, in a fresh copy, under any global state",
    remedy="make every draw from a generator of the seed; iterate over nothing unordered",
    needs=("frame",),
)
def _determinism(s: Scene) -> None:
    if not s.env.abilities.deterministic:
        raise Skip("not declared deterministic")
    with global_randomness() as shake:
        shake(1)
        first = s.run(3)
        shake(2)
        differ(first, s.run(3), "run twice: ")
        differ(first, s.run(3, env=s.fresh()), "in a fresh copy: ")


@_clause(
    "other seed",
    expected="another seed gives another world",
    remedy="build the world from the seed that reset receives",
    needs=("frame",),
)
def _other_seed(s: Scene) -> None:
    frames = [s.env.reset(seed=seed)[0].copy() for seed in range(5)]
    if all(same(frames[0], f) for f in frames[1:]):
        raise Broken("five seeds gave the same first frame")


@_clause(
    "snapshot",
    expected="a tree of plain values that copies, pickles and goes through trees.flatten; taking it changes nothing",
    remedy="give arrays, numbers, strings, None and lists of them, in dicts with string keys; copy the arrays",
    needs=("frame",),
)
def _snapshot(s: Scene) -> str:
    s.run(3)
    if not s.env.abilities.snapshot:
        _refused(s.env.snapshot, "snapshot()")
        raise Skip("not declared, and refused as it should be")
    state = s.env.snapshot()
    if not trees.equal(state, s.env.snapshot()):
        raise Broken("two snapshots of one moment differ")
    for what, back in (
        ("trees.unflatten(trees.flatten(.))", trees.unflatten(trees.flatten(state))),
        ("pickle", pickle.loads(pickle.dumps(state))),
    ):
        if not trees.equal(trees.flatten(state), trees.flatten(back)):
            raise Broken(f"it changed on its way through {what}")
    kept = trees.unflatten({k: v.copy() for k, v in trees.flatten(state).items()})
    for action in s.actions():
        s.env.step(action)
    if not trees.equal(trees.flatten(state), trees.flatten(kept)):
        raise Broken("it changed while the environment stepped on", "copy arrays into the snapshot")
    return f"{sum(v.nbytes for v in trees.flatten(state).values()) / 1e3:.3g} kB"


@_clause(
    "restore",
    expected="restore gives back the frame and truth of the snapshot, and the same future; also in a copy never reset",
    remedy="put everything that decides the future into the snapshot: time, generators, processes, the world's seed",
    needs=("snapshot",),
)
def _restore(s: Scene) -> None:
    before = s.run(3)[-1]
    state = s.env.snapshot()
    future = s.play()
    stored = trees.unflatten(trees.flatten(state))
    for what, env, kept in (
        ("in place: ", s.env, state),
        ("after storage: ", s.env, stored),
        ("in a fresh copy: ", s.fresh(), stored),
    ):
        frame, truth = env.restore(kept)
        if not same(frame, before.frame):
            raise Broken(f"{what}restore returned another frame than that of the snapshot")
        # What happened in the step that led here is not part of the state.
        where = first_difference(truth, before.truth, skip=("events", "cells"))
        if where:
            raise Broken(f"{what}the truth differs in {where}")
        differ(future, s.play(env=env), f"{what}the future after restore: ")


@_clause(
    "dynamics seed",
    expected="restore(state, dynamics_seed=...) changes the future if abilities.open_future, and nothing if not",
    remedy="draw what happens in the world (not its layout) from dynamics_seed, and declare open_future truly",
    needs=("restore",),
)
def _dynamics(s: Scene) -> str:
    changed = False
    for seed in range(3):
        s.run(seed)
        state = s.env.snapshot()
        own = s.play()
        futures = []
        for dynamics in (11, 11, 12, 13):
            s.env.restore(state, dynamics_seed=dynamics)
            futures.append(s.play())
        differ(futures[0], futures[1], "the same dynamics_seed twice: ")
        changed = changed or any(f != "" for f in (_gap(own, x) for x in futures))
    if not changed and s.env.abilities.open_future:  # what is open may show late: once more, for longer
        s.run(0)
        state = s.env.snapshot()
        late = []
        for dynamics in (11, 12):
            s.env.restore(state, dynamics_seed=dynamics)
            late.append(s.play(rounds=LATE))
        changed = _gap(*late) != ""
    if changed and not s.env.abilities.open_future:
        raise Broken("the future changed, but open_future is False")
    if not changed and s.env.abilities.open_future:
        raise Broken(f"other futures were the same for {LATE * s.steps} steps, but open_future is True")
    return "open future" if changed else "closed future"


@_clause(
    "render_from",
    expected="its own pose gives the frame, another pose another picture; nothing of the state changes",
    remedy="draw without touching the state; the RGB, depth and ids all come from the pose that was asked for",
    needs=("frame",),
)
def _render_from(s: Scene) -> None:
    now = s.run(3)[-1]
    if not s.env.abilities.render_from:
        _refused(s.env.render_from, "render_from()")
        raise Skip("not declared, and refused as it should be")
    pose = now.truth.world_from_camera
    state = s.env.snapshot() if s.env.abilities.snapshot else None
    for what, given in (("None", None), ("its own pose", pose)):
        frame, truth = s.env.render_from(given)
        if not same(frame, now.frame):
            raise Broken(f"render_from({what}) is not the current frame")
        if where := first_difference(truth, now.truth, skip=("events", "cells")):
            raise Broken(f"render_from({what}) gives a truth that differs in {where}")
    if pose is not None:
        turned = pose.copy()
        turned[:3, :3] = pose[:3, :3] @ np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # a quarter turn, level
        frame, truth = s.env.render_from(turned)
        if same(frame, now.frame):
            raise Broken("after a quarter turn the picture is the same")
        if truth.world_from_camera is None or not np.allclose(truth.world_from_camera, turned):
            raise Broken("the truth of another pose does not carry that pose")
    fine = s.env.render_from(None, supersample=2)[0]
    if fine.shape != now.frame.shape or fine.dtype != np.uint8:
        raise Broken(f"supersample=2 gave {fine.shape} {fine.dtype}, expected the frame's shape, uint8")
    if first_difference(s.env.truth(), now.truth) or (state and not trees.equal(state, s.env.snapshot())):
        raise Broken("rendering changed the state")


for _name in EDITS:

    @_clause(
        f"edit {_name}",
        expected=f"{_name} changes that fact, seen in the truth at once, if declared; UnsupportedError if not",
        remedy="change exactly one fact, draw nothing from generators, and let truth() and render_from() show it; "
        "declare in abilities.edit what is accepted",
        needs=("truth fields",),
    )
    def _edit(s: Scene, name: str = _name) -> str:
        return check_edit(s, name)


@_clause(
    "close",
    expected="close() releases everything and may be called twice",
    remedy="make close() idempotent",
    needs=("interface",),
)
def _close(s: Scene) -> None:
    env = s.make()
    env.close()
    env.close()


def _refused(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except UnsupportedError:
        return
    raise Broken(f"{what} is not declared in abilities and yet it works", "declare it, or raise UnsupportedError")


def _gap(a: list[Step], b: list[Step]) -> str:
    try:
        differ(a, b, "")
    except Broken as broken:
        return str(broken)
    return ""
