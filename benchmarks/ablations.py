"""What each choice of the recipe is worth: `nano` with one thing left out, by several seeds, as one table.

    python benchmarks/ablations.py --seeds 5 --out runs/ablations

One line of results.jsonl a (variant, seed); run it again and it goes on where it was stopped. Variants that differ in
the transformer only share data and codec of their seed. The difference to the full recipe is paired by seed; its
interval is Student's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy import stats

from worldsim import train
from worldsim.model import actions
from worldsim.model.dit.network import DiT
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.recipe import Recipe, load_recipe
from worldsim.model.training.config import RunConfig
from worldsim.model.training.rollouts import find_starts, frame_psnr, prepare, roll
from worldsim.model.training.stop import Stop
from worldsim.model.training.workers import Workers
from worldsim.train import Training
from worldsim.train_data import DataSets, collect_data, data_folders, load

HORIZONS = (1, 4, 8)


def _masks(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, dit_loss=replace(recipe.dit_loss, masks=replace(recipe.dit_loss.masks, **changes)))


#: name -> (what is left out or added, change of the recipe, whether the codec differs)
VARIANTS: dict[str, tuple[str, Callable[[Recipe], Recipe], bool]] = {
    "full": ("the recipe", lambda r: r, False),
    "no-previous": ("no previous latent", lambda r: replace(r, dit=replace(r.dit, previous=False)), False),
    "no-context-noise": (
        "no noise on history and previous latent",
        lambda r: _masks(r, clean_from=1.0, previous_noise=0.0),
        False,
    ),
    "no-shortcut": ("no shortcut steps", lambda r: _masks(r, shortcut=0.0), False),
    "no-own-errors": (
        "never fed with its own predictions",
        lambda r: replace(r, dit_loss=replace(r.dit_loss, rollout_from=1.0)),
        False,
    ),
    "play-only": ("no random masks: causal clips only", lambda r: _masks(r, ahead=0.0, backward=0.0), False),
    "no-patch-masks": (
        "codec without masked patches",
        lambda r: replace(r, codec_loss=replace(r.codec_loss, mask_share=0.0)),
        True,
    ),
    "adversarial": (
        "codec with adversarial loss",
        lambda r: replace(r, codec_loss=replace(r.codec_loss, adversarial=0.05, adversarial_from=0.3)),
        True,
    ),
    "adamw": (
        "AdamW instead of Muon",
        lambda r: replace(r, dit_training=replace(r.dit_training, optimizer="adamw", lr=1.5e-3)),
        False,
    ),
}


def one(variant: str, seed: int, out: Path) -> dict[str, Any]:
    """Trains and measures one variant."""
    _, change, own_codec = VARIANTS[variant]
    recipe = change(load_recipe("nano"))
    base = out / f"seed{seed}"
    run = RunConfig(seed=seed, quiet=True, log_every=50)
    collect_data(recipe, base, seed=seed, quiet=True)
    data = data_folders(recipe, base)
    shared = base / (variant if own_codec else "shared")
    job = Training(recipe=recipe, data=data, out=shared, run=run, workers=Workers(), stop=Stop())
    made = train.train_codec(job)
    assert made is not None
    codec, _ = made
    latents = train.make_latents(job, codec)
    assert latents is not None
    job = replace(job, recipe=train.complete(recipe, data.info, latents[0].actions), out=base / variant)
    trained = train.train_dit(job, codec, latents)
    assert trained is not None
    return {"variant": variant, "seed": seed, **measure(job.recipe, codec, trained[0], data)}


def measure(recipe: Recipe, codec: Any, dit: DiT, data: DataSets) -> dict[str, float]:
    """PSNR in dB on held-out worlds: codec, and rollouts of 1 and 2 steps at some horizons."""
    held = load(data.validation[0])
    features = actions.features(held.actions, dict(recipe.dit.action_space))
    scaled = features / np.asarray(recipe.dit.action_scale, np.float32)
    frames, acts = find_starts(held.frames, scaled, context=recipe.context, horizon=8, count=48, seed=0)
    starts = prepare(codec, frames, acts, context=recipe.context, patch=recipe.dit.patch)
    truth = frames[:, recipe.context :]
    coded = codec.decode(codec.encode(torch.from_numpy(truth[:, :1]).movedim(-1, -3).float() / 255)).clamp(0, 1)
    out = {"codec": float(frame_psnr((coded.movedim(-3, -1) * 255).round().byte().numpy(), truth[:, :1]).mean())}
    for k in (1, 2):
        psnr = frame_psnr(roll(dit, codec, starts, SamplerConfig(steps=k)), truth).mean(axis=0)
        out |= {f"{k} step @{h}": float(psnr[h - 1]) for h in HORIZONS}
    return out


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table: the full recipe's figures, then differences to it with 95 % intervals."""
    columns = [k for k in rows[0] if k not in ("variant", "seed")]
    by = {(r["variant"], r["seed"]): r for r in rows}
    lines = ["| recipe | seeds | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for variant, (text, _, _) in VARIANTS.items():
        seeds = sorted(s for v, s in by if v == variant and ("full", s) in by)
        if not seeds:
            continue
        cells = []
        for column in columns:
            own = np.array([by[variant, s][column] for s in seeds])
            if variant == "full":
                cells.append(f"{own.mean():.2f}")
                continue
            d = own - np.array([by["full", s][column] for s in seeds])
            half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5 if len(d) > 1 else float("nan")
            cells.append(f"{d.mean():+.2f} ± {half:.2f}")
        lines.append(f"| {text} | {len(seeds)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = args.out / "results.jsonl"
    args.out.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    done = {(r["variant"], r["seed"]) for r in rows}
    todo = [(v, s) for s in range(args.seeds) for v in args.variants if (v, s) not in done]
    for i, (variant, seed) in enumerate(todo):
        print(f"{i + 1}/{len(todo)}: {variant}, seed {seed}", file=sys.stderr, flush=True)
        row = one(variant, seed, args.out)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        rows.append(row)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
