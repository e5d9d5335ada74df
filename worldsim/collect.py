"""`worldsim collect`: worlds are played by controllers and recorded to train on, in shards that resume.

Which worlds, which controllers and which seeds follow from the settings alone: the same settings give the same bytes,
whatever was interrupted on the way. World seeds come from the training split, which no evaluation ever meets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import seeding, spaces, trees
from worldsim.captions import describe, facts_from_truth
from worldsim.dataset import DatasetInfo, Recording, file_digest, read_info, read_shard, write_info, write_shard
from worldsim.errors import ConfigError, StoreError, WorldsimError
from worldsim.progress import Progress
from worldsim.protocols import Controller, TruthEnv
from worldsim.registry import CONTROLLERS, ENVS
from worldsim.seeding import Split
from worldsim.truth import TruthState

#: Things that a caption names at most, the nearest first: a prompt of a dozen clauses teaches nothing.
MAX_THINGS = 4


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Settings of `worldsim collect`.

    Attributes:
        env: The truth: "blocks", ...
        env_args: Its arguments: preset=arena, ...
        scenarios: Scenario sets whose controllers play a share of the episodes; none = walks only.
        walks: Share of the episodes that are random walks, 0..1.
        interact: Probability of an attack or use in each stretch of a walk.
        episodes: How many.
        steps: T of each.
        size: (H, W).
        seed: Everything follows from it.
        split: Which worlds.
        shard: Episodes in one file.
    """

    env: str = "blocks"
    env_args: Mapping[str, Any] = field(default_factory=lambda: {"preset": "arena"})
    scenarios: tuple[str, ...] = ("core",)
    walks: float = 0.7
    interact: float = 0.1
    episodes: int = 256
    steps: int = 96
    size: tuple[int, int] = (64, 64)
    seed: int = 0
    split: Split = "train"
    shard: int = 32

    def __post_init__(self) -> None:
        for name, low in (("episodes", 1), ("steps", 1), ("shard", 1)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, got {getattr(self, name)}")
        for name in ("walks", "interact"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in 0..1, got {getattr(self, name)}")


#: One way to play: environment arguments that differ, controller, its arguments.
Play = tuple[Mapping[str, Any], str, Mapping[str, Any]]


def plays(config: CollectConfig) -> tuple[Play, ...]:
    """The scripted ways to play, from the scenario sets; those for another preset are left out."""
    if not config.scenarios or config.walks >= 1:
        return ()
    from worldsim.envs.scenarios.loading import load_set

    out: list[Play] = []
    preset = config.env_args.get("preset")
    for name in config.scenarios:
        for scenario in load_set(name, env=config.env).scenarios:
            own = dict(scenario.env_kwargs)
            if preset is not None and own.get("preset", preset) != preset:
                continue
            kwargs = dict(scenario.controller_kwargs)
            extra = {k: v for k, v in own.items() if k not in config.env_args}
            for variant in scenario.variants.values() or ({},):
                out.append((extra, scenario.controller, {**kwargs, **variant}))
    return tuple(out)


def record_episode(config: CollectConfig, index: int, scripts: tuple[Play, ...]) -> Recording:
    """Plays episode `index`: a walk or a script, by its seed."""
    rng = seeding.generator("collect", config.seed, config.env, index)
    world = seeding.world_seed(config.seed, config.env, "collect", index, config.split)
    if scripts and rng.random() >= config.walks:
        extra, name, kwargs = scripts[int(rng.integers(len(scripts)))]
    else:
        extra, name, kwargs = {}, "explore", {"interact": config.interact if rng.random() < 0.5 else 0.0}
    env = ENVS.get(config.env)(**{**extra, **config.env_args, "size": config.size})
    try:
        return _play(env, CONTROLLERS.get(name)(**_fit(name, kwargs, config.steps)), config, world, index)
    finally:
        env.close()


def _fit(name: str, kwargs: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """A script is told how long the episode is, so that it gives up what cannot be finished."""
    return {"horizon": None, **kwargs} if name == "script" else dict(kwargs)


def _play(env: TruthEnv, controller: Controller, config: CollectConfig, world: int, index: int) -> Recording:
    seed = seeding.hash_seed("collect-controller", config.seed, index)
    frame, _ = env.reset(seed=world, options={"dynamics_seed": seeding.hash_seed("collect-dynamics", world)})
    state = env.truth()
    controller.reset(seed=seed, action_space=env.action_space, truth=state)
    walk: Controller = CONTROLLERS.get("explore")()  # plays on when a script is over
    walking = False
    table: dict[str, int] = {"": 0}
    about = {"preset": config.env_args.get("preset", "")}
    frames, actions, rewards, ended = [np.array(frame)], [], [], []
    captions = [table.setdefault(_caption(state, about), len(table))]
    for t in range(config.steps):
        over = bool(getattr(controller, "finished", False)) or controller.aborted is not None
        if over and not walking:
            walking = True
            walk.reset(seed=seed, action_space=env.action_space, truth=state)
        action = (walk if walking else controller).act(frame, state, t)
        frame, reward, terminated, _, _ = env.step(action)
        state = env.truth()
        frames.append(np.array(frame))
        actions.append(action)
        rewards.append(float(reward))
        ended.append(bool(terminated))
        captions.append(table.setdefault(_caption(state, about), len(table)))
        if terminated:
            break
    length, pad = len(actions), config.steps - len(actions)
    frames += [frames[-1]] * pad
    actions += [actions[-1]] * pad
    return Recording(
        frames=np.stack(frames)[None],
        actions=trees.map_leaves(lambda x: x[None], trees.stack(actions)),
        rewards=np.array([rewards + [0.0] * pad], np.float32),
        terminated=np.array([ended + [False] * pad]),
        lengths=np.array([length], np.int32),
        world_seeds=np.array([world], np.int64),
        captions=np.array([captions + [captions[-1]] * pad], np.int32),
        caption_table=tuple(table),
    )


def _caption(state: TruthState, about: Mapping[str, Any]) -> str:
    """What is true around the camera, seen or not: the nearest things, short form."""
    facts = facts_from_truth(state, about, only_visible=False)
    return describe(type(facts)(place=facts.place, things=facts.things[:MAX_THINGS], deeds=facts.deeds))


def collect(
    config: CollectConfig, out: Path, *, quiet: bool = False, record: Callable[..., Recording] = record_episode
) -> DatasetInfo:
    """Makes or completes the dataset in `out`; shards that are there and whole are kept.

    Raises:
        ConfigError: If `out` holds a dataset with other settings.
    """
    from worldsim.dataset import join

    out.mkdir(parents=True, exist_ok=True)
    probe = ENVS.get(config.env)(**{**config.env_args, "size": config.size})
    info = DatasetInfo(
        env=config.env,
        env_args=dict(config.env_args),
        action_space=spaces.describe(probe.action_space),
        fps=float(probe.metadata.get("render_fps", 20.0)),
        size=config.size,
        split=config.split,
        seed=config.seed,
        recipe={k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()},
    )
    probe.close()
    known = _known(out, info)
    scripts = plays(config)
    done: list[tuple[str, int, str]] = []
    with Progress("collect", config.episodes, quiet=quiet, unit="episodes") as progress:
        for start in range(0, config.episodes, config.shard):
            name = f"shard-{start // config.shard:05d}.npz"
            count = min(config.shard, config.episodes - start)
            sha = known.get((name, count))
            if sha is None or not (out / name).is_file() or file_digest(out / name) != sha:
                episodes = []
                for i in range(start, start + count):
                    episodes.append(record(config, i, scripts))
                    progress.advance()
                sha = write_shard(out / name, join(episodes))
            else:
                progress.advance(count)
            done.append((name, count, sha))
            info = DatasetInfo(**{**info.__dict__, "shards": tuple(done)})
            write_info(out, info)
    return info


def _known(out: Path, info: DatasetInfo) -> dict[tuple[str, int], str]:
    """Shards of an earlier, interrupted call. Only how many episodes there are may differ."""
    try:
        old = read_info(out)
    except StoreError:
        return {}
    ours, theirs = ({k: v for k, v in i.recipe.items() if k != "episodes"} for i in (info, old))
    if ours != theirs:
        differs = sorted(k for k in ours if ours.get(k) != theirs.get(k))
        raise ConfigError(
            f"{out} holds a dataset with other settings ({', '.join(differs)}); choose another --out, or delete it"
        )
    return {(name, count): sha for name, count, sha in old.shards}


__all__ = ["CollectConfig", "collect", "plays", "read_shard", "record_episode", "WorldsimError"]
