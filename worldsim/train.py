"""`worldsim train`: from a recipe to a checkpoint, in stages that resume: data, codec, latents, transformer, export.

    <out>/data/                 episodes, unless they are given
    <out>/codec/                state, log, pictures; codec.safetensors once it is finished
    <out>/latents/              the episodes through the codec, fresh ones too
    <out>/dit/                  state, log, pictures
    <out>/checkpoint/           the result

Everything follows from recipe and seed. The same command goes on where it was left, after a cap, a signal or a kill.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.errors import ConfigError, StoreError
from worldsim.progress import Progress
from worldsim.train_data import DataSets, codec_clips, codec_validation, collect_data, data_folders, load
from worldsim.train_fresh import fresh_latents, fresh_plays

if TYPE_CHECKING:
    from worldsim.dataset import DatasetInfo
    from worldsim.model.checkpoint import Checkpoint
    from worldsim.model.codec.network import VideoCodec
    from worldsim.model.dit.network import DiT
    from worldsim.model.recipe import Recipe
    from worldsim.model.training.config import RunConfig
    from worldsim.model.training.latents import LatentRecording
    from worldsim.model.training.loop import StageResult
    from worldsim.model.training.stop import Stop
    from worldsim.model.training.workers import Workers


@dataclass(frozen=True, kw_only=True)
class Training:
    """What all stages share.

    Attributes:
        recipe: What is made.
        data: Of what.
        out: Where.
        run: How.
        workers: This process among others.
        stop: When to leave.
        init: A checkpoint whose weights are the start, or None.
    """

    recipe: Recipe
    data: DataSets
    out: Path
    run: RunConfig
    workers: Workers
    stop: Stop
    init: Checkpoint | None = None

    def settings(self, **parts: Any) -> dict[str, Any]:
        """What a state must have been made with, as plain values."""
        from worldsim.model.plain import to_plain

        plain: dict[str, Any] = to_plain(parts)
        init = None if self.init is None else self.init.digest
        return {**plain, "seed": self.run.seed, "data": self.data.digest, "init": init}

    def say(self, text: str) -> None:
        """To people, from the first process."""
        if self.workers.main and not self.run.quiet:
            print(text, file=sys.stderr, flush=True)


def train(
    recipe: Recipe,
    out: Path,
    run: RunConfig,
    *,
    workers: Workers | None = None,
    stop: Stop | None = None,
    data: DataSets | None = None,
    init: Checkpoint | None = None,
) -> Path | None:
    """All stages.

    Args:
        recipe: What to make; for data of the user's as `given_data` returned it.
        out: Where everything goes.
        run: How it is carried out.
        workers: This process among others, and its device; None = one, on the CPU.
        stop: When to leave early; None = never.
        data: Datasets to train on; None = they are collected.
        init: A checkpoint to start from.

    Returns:
        The folder of the checkpoint; None if it is not finished yet: the same call goes on.

    Raises:
        WorldsimError: See the stages.
    """
    from worldsim.model.training.stop import OutOfTime, Stop
    from worldsim.model.training.workers import Workers
    from worldsim.train_export import export

    workers, stop = workers or Workers(), stop or Stop()
    if data is None:
        late = False
        if workers.main:
            try:
                with stop.interrupting():
                    collect_data(recipe, out, seed=run.seed, quiet=run.quiet)
            except OutOfTime:
                late = True
        if workers.agree(late):
            return None
        data = data_folders(recipe, out)
    fresh_plays(data, [d.fresh for d in recipe.data])  # what is wrong with them is said now, not after the codec
    job = Training(recipe=recipe, data=data, out=out, run=run, workers=workers, stop=stop, init=init)
    made = train_codec(job)
    if made is None:
        return None
    codec, codec_result = made
    latents = make_latents(job, codec)
    if latents is None:
        return None
    texts = [text for recording in latents for text in recording.table]
    job = replace(job, recipe=complete(recipe, data.info, latents[0].actions, texts))
    trained = train_dit(job, codec, latents)
    if trained is None:
        return None
    dit, dit_result = trained
    if workers.main:
        export(job, codec, dit, {"codec": codec_result, "dit": dit_result}, texts)
    workers.wait()
    return out / "checkpoint"


def train_codec(job: Training) -> tuple[VideoCodec, StageResult] | None:
    """The codec, trained as far as the time allows; None if the budget is not used up yet."""
    import torch

    from worldsim.model.codec.network import VideoCodec
    from worldsim.model.training.codec_task import CodecTask
    from worldsim.model.training.loop import run_stage

    recipe, run, folder = job.recipe, job.run, job.out / "codec"
    torch.manual_seed(run.seed)
    codec = VideoCodec(recipe.codec)
    if job.workers.device == "cpu":
        codec = codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    if job.init is not None:
        _start_from(job, "codec", codec, job.init.codec.state_dict())
    stage = recipe.codec_training
    clips = codec_clips(job.data, episodes=recipe.codec_episodes, frames=stage.frames, seed=run.seed)
    held = codec_validation(job.data.validation[0])
    task = CodecTask(codec, recipe.codec_loss, stage, clips, held, seed=run.seed, device=job.workers.device)
    result = run_stage(
        task,
        stage,
        run,
        folder,
        workers=job.workers,
        stop=job.stop,
        settings=job.settings(network=recipe.codec, loss=recipe.codec_loss, stage=stage),
    )
    if not result.finished:
        return None
    # The statistics of the latents are measured once and kept: measured on another machine they might differ in the
    # last bit, and the transformer would go on with other latents than it began with.
    kept = folder / "codec.safetensors"
    if job.workers.main and (result.stepped or not kept.is_file()):
        task.finish()
        _keep(kept, codec)
    job.workers.wait()
    _take(kept, codec)
    return codec, result


def make_latents(job: Training, codec: VideoCodec) -> list[LatentRecording] | None:
    """Every training dataset through the codec; None if the time was over before."""
    from worldsim.model.training.latent_store import latents_folder, open_latents, write_latents

    space, patch, cache = dict(job.data.info.action_space), job.recipe.dit.patch, job.out / "latents"
    done = True
    if job.workers.main:
        for folder in job.data.train:
            episodes = DataSets(train=(folder,), validation=(), shares=(1.0,)).info.episodes
            with Progress(f"latents {folder.name}", episodes, quiet=job.run.quiet, unit="episodes") as progress:
                done = done and write_latents(
                    codec, folder, space, patch, cache, stop=job.stop, progress=progress.advance
                )
    job.workers.wait()
    if job.workers.agree(not done):
        return None
    return [open_latents(latents_folder(codec, folder, patch, cache)) for folder in job.data.train]


def complete(recipe: Recipe, info: DatasetInfo, features: Any, texts: Iterable[str] = ()) -> Recipe:
    """The recipe with what follows from the data: from `features` of its actions, (..., A), and captions `texts`."""
    from worldsim.model import actions

    recipe = with_space(recipe, info.action_space, texts)
    scale = actions.scale(features)
    if actions.count(info.action_space) != len(scale):
        raise ConfigError(
            f"actions of {actions.count(info.action_space)} features by their space, but the data holds {len(scale)}"
        )
    return replace(recipe, dit=replace(recipe.dit, action_scale=scale))


def with_space(recipe: Recipe, space: Mapping[str, Any], texts: Iterable[str] = ()) -> Recipe:
    """The recipe for an action space and captions: what of the transformer follows from codec, text and actions."""
    from worldsim.model.text.words import CAPTION_WORDS, extended

    dit = replace(
        recipe.dit,
        channels=recipe.codec.channels,
        temporal=recipe.codec.temporal,
        action_space=dict(space),
        vocabulary=extended(CAPTION_WORDS, texts).words if recipe.text else (),
        text_length=recipe.dit.text_length if recipe.text else 0,
    )
    return replace(recipe, dit=dit)


def train_dit(job: Training, codec: VideoCodec, latents: list[LatentRecording]) -> tuple[DiT, StageResult] | None:
    """The transformer; the job's recipe is complete. None if the budget is not used up yet."""
    import numpy as np
    import torch

    from worldsim.model import actions
    from worldsim.model.dit.network import DiT
    from worldsim.model.training.dit_task import DiTTask
    from worldsim.model.training.loop import run_stage
    from worldsim.model.training.rollouts import figures, find_starts, prepare
    from worldsim.model.training.transfer import moved_words

    recipe, run = job.recipe, job.run
    space = dict(recipe.dit.action_space)
    held = load(job.data.validation[0])
    scaled = np.divide(actions.features(held.actions, space), np.asarray(recipe.dit.action_scale, np.float32))
    frames, acts = find_starts(
        held.frames, scaled, context=recipe.context, horizon=recipe.horizon, count=48, seed=run.seed
    )
    starts = prepare(codec, frames, acts, context=recipe.context, patch=recipe.dit.patch)

    def validate(dit: DiT) -> tuple[dict[str, float], Any]:
        return figures(dit, codec, starts, (recipe.steps, 1))

    torch.manual_seed(run.seed + 1)
    dit = DiT(recipe.dit, actions.count(space))
    if job.init is not None:
        words = job.init.dit.config.vocabulary
        _start_from(job, "dit", dit, *moved_words(dit, job.init.dit.state_dict(), recipe.dit.vocabulary, words))
    stage, counts = recipe.dit_training, [data.fresh for data in recipe.data]
    fresh = {"count": counts, "every": recipe.refresh if any(counts) else 0}
    with fresh_latents(job, codec, latents) as source:
        task = DiTTask(
            dit,
            recipe.dit_loss,
            stage,
            latents if source is None else source.at,
            job.data.shares,
            seed=run.seed,
            validate=validate,
            device=job.workers.device,
        )
        result = run_stage(
            task,
            stage,
            run,
            job.out / "dit",
            workers=job.workers,
            stop=job.stop,
            settings=job.settings(network=recipe.dit, loss=recipe.dit_loss, stage=stage, fresh=fresh),
        )
    return (dit, result) if result.finished else None


def _start_from(job: Training, name: str, module: Any, source: Mapping[str, Any], new_words: int = 0) -> None:
    from worldsim.model.training.transfer import take_over

    found = take_over(name, module, source, new_words)
    if not (job.out / name / "state").exists():
        job.say("\n".join(found.lines()))


def _keep(path: Path, codec: VideoCodec) -> None:
    from worldsim.arrays import part, storing
    from worldsim.model.training.state import write_tensors

    with storing(path, again="run the same command again"):
        write_tensors(part(path), {k: v.contiguous().cpu() for k, v in codec.state_dict().items()})
        part(path).replace(path)


def _take(path: Path, codec: VideoCodec) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        codec.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise StoreError(
            f"{path} does not hold the codec of this recipe ({error}); delete it, and run again"
        ) from error
