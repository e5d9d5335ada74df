"""The end of a training: the checkpoint and its card, for programs (`config.json`) and for people (`README.md`)."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from worldsim import __version__
from worldsim.arrays import storing
from worldsim.train_data import codec_validation

if TYPE_CHECKING:
    from worldsim.model.checkpoint import CheckpointConfig
    from worldsim.model.codec.network import VideoCodec
    from worldsim.model.dit.network import DiT
    from worldsim.model.recipe import Recipe
    from worldsim.model.training.loop import StageResult
    from worldsim.train import Training


def export(
    job: Training, codec: VideoCodec, dit: DiT, results: Mapping[str, StageResult], captions: Iterable[str] = ()
) -> CheckpointConfig:
    """Writes `<out>/checkpoint`, in place of an older one only when it is whole; returns its config.

    Args:
        job: What was done.
        codec: Trained.
        dit: Trained.
        results: How the stages ended.
        captions: Of the training data: prompts are filled up with their words only.
    """
    from worldsim.model.checkpoint import CheckpointConfig, save_checkpoint
    from worldsim.model.training.codec_task import measure

    recipe, info = job.recipe, job.data.info
    quality = measure(codec, codec_validation(job.data.validation[0]))
    config = CheckpointConfig(
        name=f"worldsim/DiT-{recipe.name}",
        fps=info.fps,
        sizes=tuple(d.size for d in recipe.data),
        steps=recipe.steps,
        context=recipe.context,
        env=info.env,
        env_args=dict(info.env_args),
        card={**card(job, results, quality), "words": caption_words(captions) if recipe.text else []},
    )
    place = job.out / "checkpoint"
    fresh = place.with_name(place.name + ".new")
    with storing(place, again="run the same command again"):
        shutil.rmtree(fresh, ignore_errors=True)
        config = save_checkpoint(fresh, config, codec.cpu(), dit.cpu())
        (fresh / "README.md").write_text(readme(config), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
    return config


def card(job: Training, results: Mapping[str, StageResult], quality: Mapping[str, float]) -> dict[str, Any]:
    """What made the checkpoint, as plain values."""
    import numpy
    import torch

    from worldsim.model.plain import to_plain

    recipe = to_plain(job.recipe)
    for key in ("vocabulary", "action_space", "action_scale"):  # they follow from the data; dit/config.json has them
        recipe["dit"].pop(key)
    return {
        "recipe": recipe,
        "seed": job.run.seed,
        "data": job.data.digest,
        "fresh": fresh_episodes(job.recipe),
        "init": None if job.init is None else job.init.digest,
        "processes": job.workers.world,
        "steps": {name: result.step for name, result in results.items()},
        "seconds": {name: round(result.seconds, 1) for name, result in results.items()},
        "versions": {
            "worldsim": __version__,
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        "validation": {
            "codec": {"psnr": round(quality["psnr"], 3), "compression": quality["compression"]},
            "dit": dict(results["dit"].figures),
        },
    }


def caption_words(captions: Iterable[str]) -> list[str]:
    """The words of some captions, sorted."""
    from worldsim.model.text.words import tokens

    return sorted({word for text in captions for word in tokens(text)})


def fresh_episodes(recipe: Recipe) -> int:
    """Episodes that were played while the transformer was trained."""
    refreshes = max(0, recipe.dit_training.steps - 1) // recipe.refresh
    return refreshes * sum(data.fresh for data in recipe.data)


def readme(config: CheckpointConfig) -> str:
    """The model card."""
    import yaml

    c = config.card
    recipe = c["recipe"]
    sizes = ", ".join(f"{h}x{w}" for h, w in config.sizes)
    figures = "\n".join(f"| {name} | {value:.2f} dB |" for name, value in sorted(c["validation"]["dit"].items()))
    arguments = ", ".join(f"{k}={v}" for k, v in config.env_args.items()) or "no arguments"
    versions = ", ".join(f"{name} {version}" for name, version in c["versions"].items())
    codec = c["validation"]["codec"]
    spent = ", ".join(f"{name} {c['steps'][name]:,} steps in {c['seconds'][name]:,.0f} s" for name in c["steps"])
    data = f"data {c['data'][:12]}" + (f" and {c['fresh']:,} fresh episodes" if c.get("fresh") else "")
    started = f"\nIt started from the weights of checkpoint `{c['init'][:12]}`." if c["init"] else ""
    return f"""# {config.name}

{recipe["summary"] or "A latent diffusion transformer that is played."}

- Plays `{config.env}` ({arguments}) at {config.fps:g} frames a second, frames of {sizes}.
- {config.steps} denoising steps a frame, from {config.context} frames of context.
- Everything it draws is generated: it may be wrong, and it knows no world but the one that it was trained on.

```python
from worldsim.model.simulator import LatentSimulator

model = LatentSimulator("path/of/this/folder")
```

## How it was made

Seed {c["seed"]}, {data}, {spent}, {c["processes"]} process(es).{started}
With {versions}.

## On validation worlds

The codec's round trip: {codec["psnr"]:.2f} dB at {codec["compression"]:.0f} times fewer numbers.
Rollouts from starts that move, PSNR against the truth; `stepsK@h`: K denoising steps, h frames ahead; `copy`: the last
context frame; `shuffled`: with the actions of another world.

| figure | mean |
|---|---|
{figures}

## Recipe

```yaml
{yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None, width=110).strip()}
```
"""
