"""`worldsim collect`: worlds are played by controllers and recorded to train on, in shards that resume.

Which worlds, which controllers and which seeds follow from the settings alone: the same settings give the same bytes,
whatever was interrupted on the way and however many processes played. World seeds come from one split; those of the
training split no evaluation ever meets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from worldsim import seeding, spaces, trees
from worldsim.arrays import storing
from worldsim.captions import describe, facts_from_truth
from worldsim.collect_workers import Batch, record_batches
from worldsim.dataset import INDEX, DatasetInfo, file_digest, read_info, write_info, write_packed
from worldsim.errors import ConfigError
from worldsim.progress import Progress
from worldsim.protocols import Controller, TruthEnv
from worldsim.recording import Recording
from worldsim.registry import CONTROLLERS, ENVS
from worldsim.seeding import Split
from worldsim.truth import TruthState

#: Things that a caption names at most, the nearest first: a prompt of a dozen clauses teaches nothing.
MAX_THINGS = 4
#: Bytes of the frames of one shard, which lies in memory twice while it is packed.
MAX_SHARD = 2 << 30


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Settings of `worldsim collect`.

    Attributes:
        env: The truth: "blocks", ...
        env_args: Its arguments: preset=arena, ...
        scenarios: Scenario sets whose controllers play a share of the episodes; none = walks only.
        walks: Share of the episodes that are random walks, 0..1.
        interact: Probability of an attack or use in each stretch of a walk of "explore".
        controller: Who walks, and plays on when a script is over.
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
    controller: str = "explore"
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
        if self.split not in get_args(Split):
            raise ConfigError(f"split must be one of {', '.join(get_args(Split))}, got {self.split!r}")
        if "size" in self.env_args:
            raise ConfigError("size is a setting of its own (--size), not an argument of the environment")
        one = (self.steps + 1) * self.size[0] * self.size[1] * 3
        if one * self.shard > MAX_SHARD:
            raise ConfigError(
                f"a shard of {self.shard} episodes holds {one * self.shard / 2**30:.1f} GiB of frames, and must fit "
                f"into memory twice: put at most {max(1, MAX_SHARD // one)} into one (--shard), or take fewer steps"
            )


def recipe_of(config: CollectConfig) -> dict[str, Any]:
    """The settings as JSON gives them back. Raises ConfigError if they hold what is no plain value."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"env_args must be plain values: numbers, texts, lists; {error}") from error
    return plain


#: One way to play: environment arguments that differ, controller, its arguments.
Play = tuple[Mapping[str, Any], str, Mapping[str, Any]]


def plays(config: CollectConfig) -> tuple[Play, ...]:
    """The scripted ways to play, from the scenario sets; those for another preset are left out.

    Raises:
        ConfigError: If scenarios are to play a share of the episodes, and none of them fits.
    """
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
    if not out:
        raise ConfigError(
            f"no scenario of {', '.join(config.scenarios)} plays in preset={preset}: name another set, or collect "
            "walks only (--walks 1)"
        )
    return tuple(out)


class Player:
    """Plays episodes; the environment is kept for the next one of the same arguments: to start one may take a second.

    A truth owes the same bytes after a reset whatever came before it, so what is recorded does not depend on it.
    """

    def __init__(self) -> None:
        self._env: TruthEnv | None = None
        self._is: tuple[str, Mapping[str, Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which starts an environment of its own."""
        return {"_env": None, "_is": None}

    def record(self, config: CollectConfig, index: int, scripts: tuple[Play, ...]) -> Recording:
        """Plays episode `index`: a walk or a script, by its seed."""
        rng = seeding.generator("collect", config.seed, config.env, index)
        world = seeding.world_seed(config.seed, config.env, "collect", index, config.split)
        if scripts and rng.random() >= config.walks:
            extra, name, kwargs = scripts[int(rng.integers(len(scripts)))]
        else:
            extra, name, kwargs = {}, config.controller, {}
            if name == "explore":
                kwargs = {"interact": config.interact if rng.random() < 0.5 else 0.0}
        arguments = {**extra, **config.env_args, "size": config.size}
        env = self._started(config.env, arguments)
        try:
            return _play(env, CONTROLLERS.get(name)(**kwargs), config, world, index, arguments.get("preset", ""))
        except BaseException:
            self.close()  # what failed is not used again
            raise

    def close(self) -> None:
        """Ends the environment; may be called twice."""
        env, self._env, self._is = self._env, None, None
        if env is not None:
            env.close()

    def _started(self, name: str, arguments: Mapping[str, Any]) -> TruthEnv:
        if self._env is None or self._is != (name, arguments):
            self.close()
            self._env, self._is = ENVS.get(name)(**arguments), (name, arguments)
        return self._env


def record_episode(config: CollectConfig, index: int, scripts: tuple[Play, ...]) -> Recording:
    """Plays one episode; see `Player`, which is faster for several."""
    with closing(Player()) as player:
        return player.record(config, index, scripts)


def _play(
    env: TruthEnv, controller: Controller, config: CollectConfig, world: int, index: int, preset: str
) -> Recording:
    seed = seeding.hash_seed("collect-controller", config.seed, index)
    frame, _ = env.reset(seed=world, options={"dynamics_seed": seeding.hash_seed("collect-dynamics", world)})
    state = env.truth()
    controller.reset(seed=seed, action_space=env.action_space, truth=state)
    scripted = True
    table: dict[str, int] = {"": 0}
    about = {"preset": preset}
    frames, actions, rewards, ended = [np.array(frame)], [], [], []
    captions = [table.setdefault(_caption(state, about), len(table))]
    for t in range(config.steps):
        over = bool(getattr(controller, "finished", False)) or controller.aborted is not None
        if over and scripted:  # a walk plays on
            scripted, controller = False, CONTROLLERS.get(config.controller)()
            controller.reset(seed=seed, action_space=env.action_space, truth=state)
        action = controller.act(frame, state, t)
        frame, reward, terminated, truncated, _ = env.step(action)
        state = env.truth()
        frames.append(np.array(frame))
        actions.append(action)
        rewards.append(float(reward))
        ended.append(bool(terminated))
        captions.append(table.setdefault(_caption(state, about), len(table)))
        if terminated or truncated:
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
    config: CollectConfig,
    out: Path,
    *,
    workers: int = 1,
    quiet: bool = False,
    record: Callable[[CollectConfig, int, tuple[Play, ...]], Recording] | None = None,
) -> DatasetInfo:
    """Makes, completes or extends the dataset in `out`; shards that are there and whole are kept.

    A shard is committed by the index that names it, so a kill costs at most the shards that were in the making.

    Args:
        config: What is wanted.
        out: The folder.
        workers: Processes that play; the bytes are the same for any number.
        quiet: No progress.
        record: Plays one episode; for several processes a function of a module. None = a `Player`.

    Raises:
        ConfigError: If `out` holds a dataset with other settings, or with more episodes.
        StoreError: If a shard cannot be written.
        WorldFailure: If an environment or a controller fails.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    probe = ENVS.get(config.env)(**{**config.env_args, "size": config.size})
    info = DatasetInfo(
        env=config.env,
        env_args=dict(config.env_args),
        action_space=spaces.describe(probe.action_space),
        fps=float(probe.metadata.get("render_fps", 20.0)),
        size=config.size,
        split=config.split,
        seed=config.seed,
        recipe=recipe_of(config),
    )
    probe.close()
    scripts = plays(config)
    kept = _kept(out, info)
    wanted = [_batch(config, start) for start in range(0, config.episodes, config.shard)]
    done = {batch.name: kept[batch.name] for batch in wanted if kept.get(batch.name, (0, ""))[0] == batch.count}
    missing = [batch for batch in wanted if batch.name not in done]
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)

    def commit() -> DatasetInfo:
        there = replace(info, shards=tuple((b.name, *done[b.name]) for b in wanted if b.name in done))
        write_info(out, there)
        return there

    info_now = commit()
    with (
        closing(Player()) as player,
        Progress("collect", sum(batch.count for batch in missing), quiet=quiet, unit="episodes") as progress,
        closing(
            record_batches(record or player.record, config, scripts, missing, workers, progress.advance)
        ) as finished,
    ):
        for batch, packed in finished:
            done[batch.name] = batch.count, write_packed(out / batch.name, packed)
            info_now = commit()
    return info_now


def _batch(config: CollectConfig, start: int) -> Batch:
    return Batch(
        name=f"shard-{start // config.shard:05d}.npz", start=start, count=min(config.shard, config.episodes - start)
    )


def _kept(out: Path, info: DatasetInfo) -> dict[str, tuple[int, str]]:
    """Name -> (episodes, SHA-256) of the whole shards of an earlier call, which may have wanted fewer episodes."""
    if not (out / INDEX).exists():
        if stray := sorted(path.name for path in out.glob("shard-*.npz")):
            raise ConfigError(f"{out} holds {stray[0]} but no {INDEX}: choose another --out, or delete it")
        return {}
    old = read_info(out)
    ours = info.recipe
    theirs = {**recipe_of(CollectConfig()), **old.recipe}  # a setting that is younger than the dataset
    differs = sorted(k for k in ours if k != "episodes" and ours[k] != theirs[k])
    if differs:
        told = "; ".join(f"{k}: {theirs[k]} there, {ours[k]} here" for k in differs)
        raise ConfigError(f"{out} holds a dataset with other settings ({told}); choose another --out, or delete it")
    if old.episodes > ours["episodes"]:
        raise ConfigError(
            f"{out} holds {old.episodes} episodes already, which is more than {ours['episodes']}: ask for at least as "
            "many, or choose another --out"
        )
    return {
        name: (count, sha)
        for name, count, sha in old.shards
        if (out / name).is_file() and file_digest(out / name) == sha
    }


__all__ = ["CollectConfig", "Play", "Player", "collect", "plays", "recipe_of", "record_episode"]
