"""`worldsim train`: from a recipe to a checkpoint, in stages that resume: data, codec, latents, transformer, export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim import dataset as store
from worldsim.collect import CollectConfig, collect
from worldsim.dataset import DatasetInfo, Recording
from worldsim.errors import ConfigError
from worldsim.progress import Progress

if TYPE_CHECKING:
    from worldsim.model.codec.network import VideoCodec
    from worldsim.model.dit.network import DiT
    from worldsim.model.recipe import DataConfig, Recipe
    from worldsim.model.training.config import RunConfig
    from worldsim.model.training.latents import LatentRecording


@dataclass(frozen=True, kw_only=True)
class DataSets:
    """Where the episodes of a recipe lie: a training and a validation dataset for each of its sizes."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...]


def make_data(recipe: Recipe, out: Path, *, seed: int, quiet: bool = False) -> DataSets:
    """Collects what is missing of the recipe's episodes."""
    train, validation = [], []
    for data in recipe.data:
        name = f"{data.size[0]}x{data.size[1]}"
        train.append(out / "data" / name)
        validation.append(out / "data" / f"{name}-validation")
        play = _collect_config(recipe, data, seed)
        collect(play, train[-1], quiet=quiet)
        held = replace(play, episodes=data.validation, steps=64, split="validation", seed=seed + 7)
        collect(held, validation[-1], quiet=quiet)
    return DataSets(train=tuple(train), validation=tuple(validation))


def _collect_config(recipe: Recipe, data: DataConfig, seed: int) -> CollectConfig:
    play = recipe.play
    return CollectConfig(
        env=play.env,
        env_args=play.env_args,
        scenarios=play.scenarios,
        walks=play.walks,
        interact=play.interact,
        episodes=data.episodes,
        steps=data.steps,
        size=data.size,
        seed=seed,
    )


def load(folder: Path, episodes: int | None = None) -> Recording:
    """A dataset in memory, or its first episodes."""
    parts, count = [], 0
    for part in store.shards(folder):
        parts.append(part)
        count += len(part)
        if episodes is not None and count >= episodes:
            break
    return store.join(parts)


def train_codec(recipe: Recipe, data: DataSets, out: Path, run: RunConfig, device: str, workers: Any = None) -> VideoCodec | None:
    """The codec, trained as far as the time allows; None if the budget is not used up yet."""
    import torch

    from worldsim.model.codec.network import VideoCodec
    from worldsim.model.training.codec_task import CodecTask
    from worldsim.model.training.data import MemoryClips
    from worldsim.model.training.loop import run_stage

    torch.manual_seed(run.seed)
    codec = VideoCodec(recipe.codec)
    if device == "cpu":
        codec = codec.to(memory_format=torch.channels_last)
    stage = recipe.codec_training
    clips = MemoryClips(load(data.train[0], recipe.codec_episodes), frames=stage.frames, seed=run.seed)
    held = np.ascontiguousarray(load(data.validation[0]).frames[::3, ::16])
    task = CodecTask(codec, recipe.codec_loss, stage, clips, held, seed=run.seed, device=device)
    result = run_stage(task, stage, run, out / "codec", workers)
    if not result.finished:
        return None
    task.finish()
    return codec


def make_latents(
    codec: VideoCodec, folders: Sequence[Path], space: dict[str, Any], patch: int, *, quiet: bool
) -> list[LatentRecording]:
    """Every dataset through the codec, shard by shard."""
    import torch

    from worldsim.model.training.latents import LatentRecording, encode

    out = []
    for folder in folders:
        parts: list[LatentRecording] = []
        total = store.read_info(folder).episodes
        with Progress(f"latents {folder.name}", total, quiet=quiet, unit="episodes") as progress:
            for shard in store.shards(folder):
                parts.append(encode(codec, shard, space, patch, progress=progress.advance))
        table: dict[str, int] = {"": 0}
        captions = []
        for p in parts:
            index = np.array([table.setdefault(text, len(table)) for text in p.table], np.int32)
            captions.append(index[p.captions])
        out.append(
            LatentRecording(
                tokens=torch.cat([p.tokens for p in parts]),
                actions=np.concatenate([p.actions for p in parts]),
                rewards=np.concatenate([p.rewards for p in parts]),
                terminated=np.concatenate([p.terminated for p in parts]),
                lengths=np.concatenate([p.lengths for p in parts]),
                captions=np.concatenate(captions),
                table=tuple(table),
                size=parts[0].size,
            )
        )
    return out


def complete(recipe: Recipe, info: DatasetInfo, features: Any) -> Recipe:
    """The recipe with what follows from the data."""
    from worldsim.model.actions import scale
    from worldsim.model.text.words import CAPTION_WORDS

    dit = replace(
        recipe.dit,
        channels=recipe.codec.channels,
        temporal=recipe.codec.temporal,
        action_space=dict(info.action_space),
        action_scale=scale(features),
        vocabulary=CAPTION_WORDS.words if recipe.text else (),
        text_length=recipe.dit.text_length if recipe.text else 0,
    )
    return replace(recipe, dit=dit)


def train_dit(
    recipe: Recipe,
    codec: VideoCodec,
    data: DataSets,
    latents: Sequence[LatentRecording],
    out: Path,
    run: RunConfig,
    device: str,
    workers: Any = None,
) -> DiT | None:
    """The transformer; `recipe` is complete. None if the budget is not used up yet."""
    import torch

    from worldsim.model import actions
    from worldsim.model.dit.network import DiT
    from worldsim.model.training.dit_task import DiTTask
    from worldsim.model.training.loop import run_stage
    from worldsim.model.training.rollouts import Starts, figures, find_starts, prepare

    held = load(data.validation[0])
    features = actions.features(held.actions, dict(recipe.dit.action_space))
    scaled = features / np.asarray(recipe.dit.action_scale, np.float32)
    frames, acts = find_starts(
        held.frames, scaled, context=recipe.context, horizon=recipe.horizon, count=48, seed=run.seed
    )
    starts: Starts = prepare(codec, frames, acts, context=recipe.context, patch=recipe.dit.patch)

    def validate(dit: DiT) -> tuple[dict[str, float], Any]:
        return figures(dit, codec, starts, (recipe.steps, 1))

    torch.manual_seed(run.seed + 1)
    dit = DiT(recipe.dit, actions.count(dict(recipe.dit.action_space)))
    task = DiTTask(
        dit,
        recipe.dit_loss,
        recipe.dit_training,
        latents,
        [d.share for d in recipe.data],
        seed=run.seed,
        validate=validate,
        device=device,
    )
    result = run_stage(task, recipe.dit_training, run, out / "dit", workers)
    return dit if result.finished else None


def train(
    recipe: Recipe, out: Path, run: RunConfig, *, device: str = "cpu", workers: Any = None,
    export: Callable[..., Any] | None = None,
) -> bool:
    """All stages; True if the checkpoint is there."""
    from worldsim.model import actions

    data = make_data(recipe, out, seed=run.seed, quiet=run.quiet)
    codec = train_codec(recipe, data, out, run, device, workers)
    if codec is None:
        return False
    info = store.read_info(data.train[0])
    space = dict(info.action_space)
    latents = make_latents(codec, data.train, space, recipe.dit.patch, quiet=run.quiet)
    recipe = complete(recipe, info, latents[0].actions)
    if actions.count(space) != len(recipe.dit.action_scale):
        raise ConfigError("the action scale does not fit the action space")
    dit = train_dit(recipe, codec, data, latents, out, run, device, workers)
    if dit is None:
        return False
    if export is not None:
        export(recipe, codec, dit, data, out)
    return True
