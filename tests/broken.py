"""Models and truths that each break one clause, to see that the checkers name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tests.toy_models import Shifter
from tests.toys import ToyEnv
from worldsim import Context, Prediction
from worldsim.truth import Abilities

# ------------------------------------------------------------------------------------------------ one fault a model


class NoSpec(Shifter):
    spec = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.worlds = []


class NoIndices(Shifter):
    def reset(self, context: Context, *, seeds: Sequence[int]) -> None:  # type: ignore[override]
        super().reset(context, seeds=seeds)


class Output(Shifter):
    """Changes what `step` returns."""

    def change(self, out: Prediction) -> Any:
        return out

    def step(self, actions: Any) -> Any:
        return self.change(super().step(actions))


class BareArray(Output):
    def change(self, out: Prediction) -> Any:
        return out.frames


class ChannelsFirst(Output):
    def change(self, out: Prediction) -> Any:
        return replace(out, frames=np.moveaxis(out.frames, -1, 2))


class UnitRange(Output):
    def change(self, out: Prediction) -> Any:
        return replace(out, frames=(out.frames / 255).astype(np.uint8))


class FlatRewards(Output):
    def change(self, out: Prediction) -> Any:
        return replace(out, rewards=np.zeros(len(out.frames), np.float32))


class HiddenRandomness(Output):
    def change(self, out: Prediction) -> Any:
        return replace(out, frames=out.frames + np.random.randint(0, 2, out.frames.shape, np.uint8))  # noqa: NPY002


class SaysStochastic(Shifter):
    def __init__(self) -> None:
        super().__init__()
        self.spec = replace(self.spec, stochastic=True)


class HidesStochastic(Shifter):
    def __init__(self) -> None:
        super().__init__(noise=9)
        self.spec = replace(self.spec, stochastic=False)


class Remembers(Shifter):
    left = 0  # of the batch before

    def reset(self, context: Context, **kwargs: Any) -> None:
        super().reset(context, **kwargs)
        for world in self.worlds:
            world["frame"] = world["frame"] + np.uint8(self.left)
        self.left = int(context.frames.sum()) % 199


class MixesRows(Output):
    def change(self, out: Prediction) -> Any:
        return replace(out, frames=out.frames // 2 + out.frames.mean(0).astype(np.uint8) // 2)


class RestartsAll(Shifter):
    def reset(self, context: Context, *, seeds: Any, indices: Any = None) -> None:
        super().reset(context, seeds=seeds, indices=indices)
        if indices is not None:
            for world in self.worlds:
                world["frame"] = self.worlds[indices[0]]["frame"].copy()


class WritesContext(Shifter):
    def reset(self, context: Context, **kwargs: Any) -> None:
        context.frames[:, 0, 0] = 7
        super().reset(context, **kwargs)


class ReusesBuffer(Output):
    buffer: Any = None

    def change(self, out: Prediction) -> Any:
        if self.buffer is None or self.buffer.shape != out.frames.shape:
            self.buffer = out.frames
        self.buffer[:] = out.frames
        return replace(out, frames=self.buffer)


class OneSize(Output):
    def change(self, out: Prediction) -> Any:
        return replace(out, frames=np.zeros((*out.frames.shape[:2], 32, 48, 3), np.uint8) + np.uint8(9))


class ExactContext(Shifter):
    def reset(self, context: Context, **kwargs: Any) -> None:
        if context.frames.shape[1] != 1:
            raise ValueError("one frame, please")
        super().reset(context, **kwargs)


class DeafToText(Shifter):
    def __init__(self) -> None:
        super().__init__(text=True)

    def reset(self, context: Context, **kwargs: Any) -> None:
        super().reset(replace(context, prompts=("",) * context.batch), **kwargs)


class SecretText(Shifter):
    def __init__(self) -> None:
        super().__init__(text=True)
        self.told = replace(self.spec, accepts_text=False)

    def reset(self, context: Context, **kwargs: Any) -> None:
        self.spec = replace(self.spec, accepts_text=True)
        super().reset(context, **kwargs)
        self.spec = replace(self.spec, accepts_text=False)


class NeedsFrames(Shifter):
    def __init__(self) -> None:
        super().__init__(text=True)

    def reset(self, context: Context, **kwargs: Any) -> None:
        context.frames[:, -1].copy()
        super().reset(context, **kwargs)


class PromptsAll(Shifter):
    def set_prompt(self, prompts: Any, indices: Any = None) -> None:
        super().set_prompt([prompts[0]] * len(self.worlds))


class ForgetsTime(Shifter):
    def __init__(self) -> None:
        super().__init__(noise=9)

    def snapshot(self, index: int) -> Any:
        return {**super().snapshot(index), "t": 0}


class StreamsBackwards(Shifter):
    def __init__(self) -> None:
        super().__init__(n=2)

    def stream(self, actions: Any) -> Any:
        frames = self.step(actions).frames
        yield Prediction(frames=frames[:, 1:])
        yield Prediction(frames=frames[:, :1])


class FloatCodec(Shifter):
    def round_trip(self, frames: Any) -> Any:
        return frames / 2


class ClosesOnce(Shifter):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


BROKEN_MODELS: dict[type[Any], str] = {
    NoSpec: "spec",
    NoIndices: "reset",
    BareArray: "step",
    ChannelsFirst: "step",
    UnitRange: "step",
    FlatRewards: "optional outputs",
    HiddenRandomness: "same seed, same frames",
    SaysStochastic: "other seed",
    HidesStochastic: "other seed",
    Remembers: "reset clears everything",
    MixesRows: "batch equals single",
    RestartsAll: "reset of some worlds",
    WritesContext: "inputs not mutated",
    ReusesBuffer: "outputs not reused",
    OneSize: "sizes",
    ExactContext: "longer context",
    DeafToText: "prompts",
    SecretText: "prompts",
    NeedsFrames: "text alone",
    PromptsAll: "set_prompt",
    ForgetsTime: "snapshot and restore",
    StreamsBackwards: "stream",
    FloatCodec: "round_trip",
    ClosesOnce: "close",
}


# ------------------------------------------------------------------------------------------------ one fault a truth


def declared(**changes: Any) -> type[ToyEnv]:
    """A toy whose abilities are declared otherwise than they are."""

    class Declared(ToyEnv):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.abilities: Abilities = replace(self.abilities, **changes)

    return Declared


class Seen(ToyEnv):
    """Changes what `truth` returns."""

    def change(self, truth: Any) -> Any:
        return truth

    def truth(self) -> Any:
        return self.change(super().truth())


class SlowClock(Seen):
    def change(self, truth: Any) -> Any:
        return replace(truth, time=truth.time / 2)


class NegativeDepth(Seen):
    def change(self, truth: Any) -> Any:
        return replace(truth, depth=-truth.depth)


class StrangeIds(Seen):
    def change(self, truth: Any) -> Any:
        return replace(truth, segmentation=truth.segmentation + 50)


class LeftHanded(Seen):
    def change(self, truth: Any) -> Any:
        return replace(truth, world_from_camera=truth.world_from_camera @ np.diag([-1.0, 1, 1, 1]))


class MiscountsPixels(Seen):
    def change(self, truth: Any) -> Any:
        return replace(truth, objects=tuple(replace(o, visible_px=o.visible_px + 1) for o in truth.objects))


class NoSuperReset(ToyEnv):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        out = super().reset(seed=0 if seed is None else seed, options=options)
        self._np_random = None
        return out


class FloatFrames(ToyEnv):
    def reset(self, **kwargs: Any) -> Any:
        frame, info = super().reset(**kwargs)
        return frame / 255, info


class Flicker(ToyEnv):
    def step(self, action: Any) -> Any:
        frame, *rest = super().step(action)
        return (frame + np.random.randint(0, 2, frame.shape, np.uint8), *rest)  # noqa: NPY002


class OneWorld(ToyEnv):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return super().reset(seed=4, options=options)


class SharedSnapshot(ToyEnv):
    def snapshot(self) -> Any:
        return self._s

    def step(self, action: Any) -> Any:
        out = super().step(action)
        self._s["place"][:] += 0
        self._s["body"][:] += 0
        return out


class ForgetfulRestore(ToyEnv):
    def restore(self, state: Any, dynamics_seed: int | None = None) -> Any:
        super().restore({**state, "t": 0}, dynamics_seed)
        return self.render(), self.truth()


class StickyRender(ToyEnv):
    def render_from(self, world_from_camera: Any = None, **kwargs: Any) -> Any:
        out = super().render_from(world_from_camera, **kwargs)
        self._s["t"] += 1
        return out


class NoRemoval(ToyEnv):
    def edit(self, change: Any) -> None:
        if type(change).__name__ != "RemoveObject":
            super().edit(change)


class AcceptsAll(ToyEnv):
    def edit(self, change: Any) -> None:
        if type(change).__name__ in self.abilities.edit:
            super().edit(change)


class HidesOpenFuture(ToyEnv):
    def __init__(self) -> None:
        super().__init__(open_future=True)
        self.abilities = replace(self.abilities, open_future=False)


class EnvClosesOnce(ToyEnv):
    shut = False

    def close(self) -> None:
        if self.shut:
            raise RuntimeError("closed already")
        self.shut = True


BROKEN_TRUTHS: dict[Any, str] = {
    declared(edit=frozenset({"RemoveObjects"})): "interface",
    NoSuperReset: "gymnasium",
    FloatFrames: "frame",
    declared(truth=frozenset({"depth"})): "truth fields",
    SlowClock: "time",
    NegativeDepth: "depth and segmentation",
    StrangeIds: "depth and segmentation",
    LeftHanded: "pose",
    MiscountsPixels: "visible pixels",
    Flicker: "determinism",
    OneWorld: "other seed",
    SharedSnapshot: "snapshot",
    ForgetfulRestore: "restore",
    declared(open_future=True): "dynamics seed",
    HidesOpenFuture: "dynamics seed",
    StickyRender: "render_from",
    NoRemoval: "edit RemoveObject",
    AcceptsAll: "edit AddObject",
    EnvClosesOnce: "close",
}
