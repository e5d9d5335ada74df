"""`check_world_model`: the contract of `worldsim.protocols.WorldModel`, clause by clause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.checks.abilities import ABILITIES
from worldsim.checks.bench import PROMPTS, Bench, equal, global_randomness
from worldsim.checks.report import Broken, Clauses, Report, Skip
from worldsim.errors import ConfigError, ContractError, WorldsimError
from worldsim.protocols import Bindable, TruthEnv
from worldsim.types import ModelSpec, Prediction

#: Levels of 255 by which a world may differ alone and in a batch: matrix products round differently at other sizes.
TOLERANCE = 2


def check_world_model(
    model: Any, *, env: Callable[[], TruthEnv] | None = None, size: tuple[int, int] | None = None
) -> Report:
    """Checks a world model against its contract.

    Args:
        model: A factory without arguments (a class will do), or an instance.
        env: Factory of a truth that supplies contexts and actions; needed by models with `bind`. Without it the context
            is a moving pattern and the actions come from the model's space.
        size: (H, W) of the context; default: the model's first size, else the truth's, else 32 x 48.

    Returns:
        A report; `report.ok`, `print(report)`, `report.raise_for_status()`.

    Raises:
        ConfigError: If the model looks at the truth and no `env` was given.
        ContractError: If the model cannot be made.
    """
    instance = _made(model)
    if isinstance(instance, Bindable) and env is None:
        raise ConfigError(f"{type(instance).__name__} has bind(), so it looks at the truth: pass env=<factory>")
    spec = getattr(instance, "spec", None)
    name = spec.name if isinstance(spec, ModelSpec) else type(instance).__name__
    return CLAUSES.check(Bench(instance, env, size), f"world model {name}")


def _made(model: Any) -> Any:
    if not isinstance(model, type) and hasattr(model, "reset"):
        return model
    try:
        return model()
    except WorldsimError:
        raise
    except Exception as error:
        raise ContractError(
            f"the model cannot be made: {type(error).__name__}: {error}. Give every argument of its constructor a "
            "default, or pass a factory that fills them in"
        ) from error


CLAUSES: Clauses[Bench] = Clauses()
_clause = CLAUSES.clause


@_clause(
    "spec",
    expected="`spec` is a ModelSpec and stays the same",
    remedy="give the class a property `spec` that returns worldsim.ModelSpec(name=...)",
)
def _spec(b: Bench) -> str:
    first, second = getattr(b.model, "spec", None), getattr(b.model, "spec", None)
    if not isinstance(first, ModelSpec):
        raise Broken(f"spec is {type(first).__name__}")
    if first != second:
        raise Broken("two reads of spec differ")
    if first.action_space is not None and not hasattr(first.action_space, "sample"):
        raise Broken(
            f"spec.action_space is {type(first.action_space).__name__}", "use a gymnasium.spaces.Space, or None for any"
        )
    if b.bound and first.sizes is not None:
        raise Broken("it looks at the truth and yet lists sizes", "a model with bind() takes its size from the truth")
    return f"{first.frames_per_step} frame(s) a step, context {first.context_length}+"


@_clause(
    "reset",
    expected="reset(context, seeds=..., indices=None) accepts a batch of contexts",
    remedy="define reset(self, context, *, seeds, indices=None); context.frames is (B, C, H, W, 3) uint8",
    needs=("spec",),
)
def _reset(b: Bench) -> str:
    b.reset(b.start(range(b.batch)))
    return f"B={b.batch} C={b.length} size {b.size()[0]}x{b.size()[1]}"


@_clause(
    "step",
    expected="step(actions (B, n, ...)) returns a Prediction with frames (B, n, H, W, 3) uint8 in 0..255, every time",
    remedy="return worldsim.Prediction(frames=...): n frames a world, uint8, channels last, of the context's size",
    needs=("reset",),
)
def _step(b: Bench) -> None:
    b.reset(b.start(range(b.batch)))
    want = (b.batch, b.spec.frames_per_step, *b.size(), 3)
    for t, action in enumerate(b.actions(b.batch)):
        out = b.model.step(action)
        if not isinstance(out, Prediction):
            raise Broken(f"step {t} returned {type(out).__name__}")
        frames = out.frames
        if not isinstance(frames, np.ndarray):
            raise Broken(f"frames are {type(frames).__name__}", "convert tensors: frames.cpu().numpy()")
        if frames.shape != want or frames.dtype != np.uint8:
            raise Broken(f"step {t} gave frames {frames.shape} {frames.dtype.name}, expected {want} uint8")
    seen = b.start(range(b.batch))[0].frames
    if frames.max() <= 1 < seen.max():
        raise Broken("no value above 1", "frames look like floats in 0..1 cast to uint8: scale by 255 and round first")


@_clause(
    "optional outputs",
    expected="rewards (B, n) float32, terminated and truncated (B, n) bool, extras with leading (B, n), or absent",
    remedy="leave out what the model does not predict; else give it the shape (B, n)",
    needs=("step",),
)
def _optional(b: Bench) -> None:
    b.reset(b.start(range(b.batch)))
    out, want = b.model.step(b.actions(b.batch)[0]), (b.batch, b.spec.frames_per_step)
    for name, dtype in (("rewards", np.float32), ("terminated", np.bool_), ("truncated", np.bool_)):
        value = getattr(out, name)
        if value is None:
            continue
        if np.shape(value) != want or np.asarray(value).dtype != dtype:
            got = f"{name} {np.shape(value)} {np.asarray(value).dtype.name}"
            raise Broken(f"{got}, expected {want} {np.dtype(dtype).name}")
        if not np.isfinite(value).all():
            raise Broken(f"{name} holds NaN or infinity")
    for name, value in out.extras.items():
        if np.shape(value)[:2] != want:
            raise Broken(f"extras[{name!r}] has shape {np.shape(value)}, expected leading {want}")


@_clause(
    "same seed, same frames",
    expected="the same context, actions and seeds give the same bytes, whatever the global random state",
    remedy="draw all randomness from generators made from `seeds` in reset; never from np.random, random or torch's "
    "default generator",
    needs=("step",),
)
def _same_seed(b: Bench) -> None:
    start = b.start(range(b.batch))
    runs = []
    with global_randomness() as shake:
        for k in range(2):
            shake(k)
            runs.append(b.run(start))
    equal(runs[0], runs[1])


@_clause(
    "other seed",
    expected="another seed gives other frames if spec.stochastic, and the same frames if not",
    remedy="set spec.stochastic to what the model does; if it is stochastic, use `seeds`",
    needs=("same seed, same frames",),
)
def _other_seed(b: Bench) -> str:
    start = b.start(range(b.batch))
    first = b.run(start, [1] * b.batch)
    others = [b.run(start, [s] * b.batch) for s in (2, 30, 400)]
    if not b.spec.stochastic:
        for other in others:
            equal(first, other, "spec.stochastic is False, but with another seed ")
        return "deterministic"
    if all(np.array_equal(first, other) for other in others):
        env = b.env()
        if b.bound and env is not None and not env.abilities.open_future:
            raise Skip("stochastic only where the truth's future is open")
        raise Broken("spec.stochastic is True, but four seeds gave the same frames")
    return "stochastic"


@_clause(
    "reset clears everything",
    expected="a reset with indices=None starts a new batch of any size that remembers nothing of the last one",
    remedy="drop caches, hidden states and counters in reset when indices is None",
    needs=("same seed, same frames",),
)
def _clears(b: Bench) -> None:
    one, all_of = b.start([0]), b.start(range(10, 10 + b.batch))
    first = b.run(one)
    b.run(all_of, range(50, 50 + b.batch))
    equal(first, b.run(one), "after another batch ")


@_clause(
    "batch equals single",
    expected=f"a world alone and the same world in a batch give the same frames (up to {TOLERANCE} levels)",
    remedy="let no statistic, random draw or cache mix the rows of a batch; make one generator a row",
    needs=("same seed, same frames",),
)
def _batch(b: Bench) -> None:
    if b.batch < 2:
        raise Skip("max_batch is 1")
    worlds = list(range(b.batch))
    together = b.run(b.start(worlds))
    i = worlds[-1]
    b.reset(b.start([i]), [i + 1])
    alone = b.play([trees.index(a, np.s_[i : i + 1]) for a in b.actions(b.batch)])
    # Rounding grows along a free-running rollout, so only the first step is held to the tolerance.
    n = b.spec.frames_per_step
    equal(together[i : i + 1, :n], alone[:, :n], f"row {i} of the batch ", TOLERANCE)


@_clause(
    "reset of some worlds",
    expected="reset(..., indices=[i]) starts world i anew and leaves the others bit for bit as they were",
    remedy="write only the rows in `indices`; when indices is None start a new batch",
    needs=("same seed, same frames",),
)
def _some(b: Bench) -> None:
    start, fresh, i = b.start(range(b.batch)), b.start([40]), b.batch - 1
    actions = b.actions(b.batch)
    b.reset(start)
    b.play(actions[:1])
    expected = b.play(actions[1:])
    b.reset(start)
    b.play(actions[:1])
    b.reset(fresh, [77], [i])
    got = b.play(actions[1:])
    equal(expected[:i], got[:i], "worlds that were not named changed: ")
    b.reset(fresh, [77])
    alone = b.play([trees.index(a, np.s_[i : i + 1]) for a in actions[1:]])
    n = b.spec.frames_per_step
    equal(alone[:, :n], got[i:, :n], "the world that was started anew ", TOLERANCE)


@_clause(
    "inputs not mutated",
    expected="context and actions are left as they were, and the model keeps working when they change later",
    remedy="copy what you keep of context and actions (frames.copy()), never write into them",
    needs=("step",),
)
def _inputs(b: Bench) -> None:
    start, actions = b.start(range(b.batch)), b.actions(b.batch)
    frames, past, given = start[0].frames.copy(), trees.copy(start[0].actions), trees.copy(actions[0])
    expected = b.run(start)
    b.reset(start, share=True)
    b.model.step(actions[0])
    for what, before, after in (
        ("context.frames", frames, start[0].frames),
        ("context.actions", past, start[0].actions),
        ("actions", given, actions[0]),
    ):
        if not trees.equal(before, after):
            raise Broken(f"{what} was written to")
    b.reset(start, share=True)
    start[0].frames[:] = 0
    equal(expected, b.play(b.actions(b.batch)), "the context was overwritten after reset, and ")


@_clause(
    "outputs not reused",
    expected="a Prediction stays as it is when the model steps on",
    remedy="return a new array each step, not a view of a buffer",
    needs=("step",),
)
def _outputs(b: Bench) -> None:
    b.reset(b.start(range(b.batch)))
    actions = b.actions(b.batch)
    first = b.model.step(actions[0]).frames
    kept = first.copy()
    b.play(actions[1:])
    equal(kept, first, "after later steps ")


@_clause(
    "sizes",
    expected="every size in spec.sizes works (None: any), and the frames have the context's size",
    remedy="list in spec.sizes only what works; take (H, W) from context.frames at reset",
    needs=("step",),
)
def _sizes(b: Bench) -> str:
    if b.bound:
        raise Skip("the size is the truth's")
    sizes = b.spec.sizes or ((24, 40), (36, 20))
    for h, w in sizes[:4]:
        frames = b.run(b.start([0], size=(h, w)))
        if frames.shape[2:] != (h, w, 3):
            raise Broken(f"a context of {h}x{w} gave frames {frames.shape[2:]}")
    return "any size" if b.spec.sizes is None else ", ".join(f"{h}x{w}" for h, w in sizes[:4])


@_clause(
    "longer context",
    expected="spec.context_length is a minimum: a longer context is accepted",
    remedy="use the last frames of a longer context, at the least: context.frames[:, -C:]",
    needs=("step",),
)
def _longer(b: Bench) -> None:
    b.run(b.start([0], length=b.length + 5))


@_clause(
    "prompts",
    expected="prompts change the frames if spec.accepts_text, and nothing if not",
    remedy="set spec.accepts_text to what the model does, and ignore or use context.prompts accordingly",
    needs=("same seed, same frames",),
)
def _prompts(b: Bench) -> str:
    plain, *others = (b.run(b.start([0], prompts=[p])) for p in ("", *PROMPTS))
    if b.spec.accepts_text:
        if all(np.array_equal(plain, o) for o in others):
            raise Broken("spec.accepts_text is True, but three prompts gave the same frames")
        return "text changes the frames"
    for other in others:
        equal(plain, other, "spec.accepts_text is False, but with another prompt ")
    return "text is ignored"


@_clause(
    "text alone",
    expected="with spec.accepts_text a context of C = 0 frames is a start: frames (B, 0, H, W, 3) tell the size",
    remedy="start from the prompt when context.frames.shape[1] == 0, or set accepts_text=False",
    needs=("step",),
)
def _text_alone(b: Bench) -> None:
    if not b.spec.accepts_text:
        raise Skip("spec.accepts_text is False")
    frames = b.run(b.start([0], length=0, prompts=[PROMPTS[0]]))
    if frames.shape[2:] != (*b.size(), 3):
        raise Broken(f"frames are {frames.shape[2:]}, expected {(*b.size(), 3)}")


CLAUSES.extend(ABILITIES)
