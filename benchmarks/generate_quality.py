"""How good are generated clips? Joins and loops against a cross-fade, three sizes against copy-last, colours by prompt.

    OMP_NUM_THREADS=1 python benchmarks/generate_quality.py --checkpoint tiny --worlds 64 --out quality

All of it on test worlds, which no training meets, and only where the camera moves. Paired by world; intervals (95 %)
resample worlds. One row a world goes into rows.jsonl, so that the same command goes on after an interruption; the
summary is in summary.json.

- join: the true clip is cut open, and the gap is filled from its two ends. Arms: the true actions in the gap; the
  actions that the search finds; the true actions from the first end only, with the second in sight (pinned), and
  without sight of it.
- loop: a full turn on the spot, 10 degrees a step; the last part of it is made from the rest.
- sizes: rollouts with the true actions from a held-out context, in the two orientations beside the square.
- text: the first frame drawn from words alone, for two prompts that differ in a colour only. A success is that each
  colour covers more of its own picture than of the other, both together; chance is 1/2, ties are failures. The same
  test on true pictures is the ceiling.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import seeding, trees
from worldsim.captions import facts_from_truth
from worldsim.generate import GenerateConfig, make_model
from worldsim.generate.given import Given
from worldsim.generate.making import searched
from worldsim.generate.scripts import parse_script
from worldsim.generate.showcase import CONTEXT, HeldOut, held_out
from worldsim.generate.tasks import Task, closing
from worldsim.metrics.functional.fidelity import l1, psnr, ssim
from worldsim.model.clip_generator import ClipGenerator, Shot
from worldsim.registry import CONTROLLERS, ENVS
from worldsim.stats import cluster_bootstrap, wilson
from worldsim.truth import RecolourObject

SIZES = ((64, 64), (48, 80), (80, 48))
HORIZONS = (4, 8, 16)
TURN = "camera:0,10"  # a full turn is 36 of them
#: Colours of things in Blocks that have a hue: its middle, in degrees.
HUES = {"red": 0.0, "yellow": 50.0, "green": 120.0, "blue": 225.0, "purple": 285.0}
METRICS = {"psnr": psnr, "l1": l1, "ssim": ssim}
LOWER = {"l1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--worlds", type=int, default=64)
    parser.add_argument("--parts", nargs="+", default=["join", "loop", "sizes", "text"])
    parser.add_argument("--gap", type=int, default=8)
    parser.add_argument("--search", type=int, default=32)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("generate-quality"))
    given = parser.parse_args()
    config = GenerateConfig(
        checkpoint=given.checkpoint, gap=given.gap, search=given.search, steps=given.steps, guidance=given.guidance,
        seed=given.seed,
    )  # fmt: skip
    model = make_model(config)
    rows = Rows(given.out, {**vars(given), "digest": model.digest})
    parts = {"join": joins, "loop": loops, "sizes": sizes, "text": texts}
    for part in given.parts:
        for row in parts[part](config, model, given.worlds, rows.done(part)):
            rows.add({"part": part, **row})
    summary = summarise(rows.rows, model, given.worlds)
    (given.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print_summary(summary)


class Rows:
    """One line of JSON a world and part; a last line that is torn is dropped."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        kept = {k: str(v) for k, v in settings.items() if k not in ("worlds", "parts", "out", "checkpoint")}
        self._path, about = folder / "rows.jsonl", folder / "settings.json"
        if about.exists() and json.loads(about.read_text()) != kept:
            raise SystemExit(f"{folder} holds rows of other settings ({about.read_text()}): choose another --out")
        about.write_text(json.dumps(kept) + "\n")
        lines = self._path.read_text().split("\n")[:-1] if self._path.exists() else []
        self._path.write_text("".join(f"{line}\n" for line in lines))
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def done(self, part: str) -> set[str]:
        """Keys of the rows that are there."""
        return {row["key"] for row in self.rows if row["part"] == part}

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")


# ------------------------------------------------------------------------------------------------------ joins and loops


def joins(config: GenerateConfig, model: ClipGenerator, worlds: int, done: set[str]) -> Iterator[dict[str, Any]]:
    gap = config.gap
    length = 2 * CONTEXT + gap
    walks = held_out(
        model.info.env, dict(model.info.env_args), model.info.sizes[0], length, seed=config.seed, moving_at=CONTEXT - 1
    )
    for index, walk in enumerate(itertools.islice(walks, worlds)):
        if f"{index}" in done:
            continue
        second = CONTEXT + gap
        first = _given(walk, 0, CONTEXT)
        yield {"key": f"{index}", **_fill(config, model, first, _given(walk, second, length), walk, CONTEXT, index)}


def loops(config: GenerateConfig, model: ClipGenerator, worlds: int, done: set[str]) -> Iterator[dict[str, Any]]:
    turn = 36
    for index, walk in enumerate(itertools.islice(_turns(model, turn, config.seed), worlds)):
        if f"{index}" in done:
            continue
        first = _given(walk, 0, turn - config.gap)
        yield {"key": f"{index}", **_fill(config, model, first, first, walk, turn - config.gap, index)}


def _turns(model: ClipGenerator, steps: int, seed: int) -> Iterator[HeldOut]:
    """Full turns on the spot in test worlds that come back to the same picture."""
    script = parse_script(f"{TURN}*{steps}", model.action_space)
    for index in range(1_000_000):
        world = seeding.world_seed(seed, model.info.env, "turn", index)
        env = ENVS.get(model.info.env)(**{**model.info.env_args, "size": model.info.sizes[0]})
        frame, _ = env.reset(seed=world, options={"dynamics_seed": seeding.hash_seed("turn-dynamics", world)})
        frames = [np.array(frame)]
        for t in range(steps):
            frames.append(np.array(env.step(trees.index(script, t))[0]))
        env.close()
        if psnr(frames[0][None], frames[-1][None])[0] > 26:
            yield HeldOut(frames=np.stack(frames), actions=script, world=world)


def _given(walk: HeldOut, start: int, stop: int) -> Given:
    moves = trees.index(walk.actions, slice(start, stop - 1))
    return Given(frames=walk.frames[start:stop], actions=moves, since=0, source={})


def _fill(
    config: GenerateConfig, model: ClipGenerator, first: Given, second: Given, walk: HeldOut, start: int, index: int
) -> dict[str, Any]:
    """The gap filled in each way, against the truth."""
    gap = config.gap
    truth = walk.frames[start : start + gap]
    task = closing(config, model, first, second, "")
    assert task.shot.before is not None
    known = len(task.shot.before)
    inside = trees.index(walk.actions, slice(start - 1, min(start + gap, trees.length(walk.actions))))
    told = _with_moves(task, inside, known)
    found = searched(config, model, task, index)
    seeds = [seeding.hash_seed("quality", config.seed, index)]
    filled = {
        "true actions": model.make(told.shot, seeds).frames[0, known : known + gap],
        "searched actions": model.make(found.shot, seeds).frames[0, known : known + gap],
        "from one side": model.make(replace(told.shot, way="ahead"), seeds).frames[0, known : known + gap],
        "end not seen": model.make(_without_end(told.shot, known + gap), seeds).frames[0, known : known + gap],
        "cross-fade": cross_fade(first.frames[-1], second.frames[0], gap),
    }
    return {
        "world": walk.world,
        **{
            arm: {name: float(of(frames, truth).mean()) for name, of in METRICS.items()}
            for arm, frames in filled.items()
        },
    }


def _with_moves(task: Task, inside: Any, known: int) -> Task:
    """The same question with these actions from the last known frame on."""
    count = trees.length(inside)

    def put(whole: Any, moves: Any) -> Any:
        out = whole.copy()
        out[0, known - 1 : known - 1 + count] = moves
        return out

    return replace(task, shot=replace(task.shot, actions=trees.map_leaves(put, task.shot.actions, inside)))


def _without_end(shot: Shot, frames: int) -> Shot:
    return replace(shot, after=None, actions=trees.index(shot.actions, (slice(None), slice(0, frames - 1))))


def cross_fade(first: Any, last: Any, gap: int) -> Any:
    """(gap, H, W, 3) uint8: from one frame to the other in equal steps."""
    share = (np.arange(1, gap + 1) / (gap + 1))[:, None, None, None]
    return np.round((1 - share) * first + share * last).astype(np.uint8)


# --------------------------------------------------------------------------------------------------------------- sizes


def sizes(config: GenerateConfig, model: ClipGenerator, worlds: int, done: set[str]) -> Iterator[dict[str, Any]]:
    context, far = min(CONTEXT, max(model.info.context, 1)), max(HORIZONS)
    for size in SIZES:
        name = f"{size[0]}x{size[1]}"
        walks = held_out(
            model.info.env, dict(model.info.env_args), size, context + far, seed=config.seed, moving_at=context - 1
        )
        for index, walk in enumerate(itertools.islice(walks, worlds)):
            if f"{name}/{index}" in done:
                continue
            moves = trees.map_leaves(lambda x: x[None, : context + far - 1], walk.actions)
            shot = Shot(size=size, actions=moves, before=walk.frames[:context])
            made = model.make(shot, [seeding.hash_seed("quality", config.seed, index)]).frames[0, context:]
            truth = walk.frames[context : context + far]
            last = np.broadcast_to(walk.frames[context - 1], truth.shape)
            yield {
                "key": f"{name}/{index}",
                "world": walk.world,
                "model": {
                    m: np.asarray(of(made, truth))[[h - 1 for h in HORIZONS]].tolist() for m, of in METRICS.items()
                },
                "copy-last": {
                    m: np.asarray(of(last, truth))[[h - 1 for h in HORIZONS]].tolist() for m, of in METRICS.items()
                },
            }


# ---------------------------------------------------------------------------------------------------------------- text


def texts(config: GenerateConfig, model: ClipGenerator, worlds: int, done: set[str]) -> Iterator[dict[str, Any]]:
    if not model.reads_text:
        return
    size = model.info.sizes[0]
    pairs = list(itertools.combinations(HUES, 2))
    nothing = trees.map_leaves(lambda x: np.asarray(x)[None].repeat(2, 0), parse_script("noop", model.action_space))
    nothing = trees.index(nothing, (slice(None), slice(0, 0)))
    place = model.info.env_args.get("preset", "arena")
    for index in range(worlds):
        if f"{index}" in done:
            continue
        pair = pairs[index % len(pairs)]
        prompts = [f"in the {place}; a {colour} chest close by straight ahead" for colour in pair]
        shot = Shot(size=size, actions=nothing, prompts={0: prompts})
        pictures = model.make(shot, [seeding.hash_seed("quality-text", config.seed, index)] * 2).frames[:, 0]
        yield {"key": f"{index}", "pair": pair, **_compare(pictures, pair)}
    yield from _true_pictures(config, model, worlds, done, pairs)


def _true_pictures(
    config: GenerateConfig, model: ClipGenerator, worlds: int, done: set[str], pairs: list[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """The same test on true pictures, in which a chest close by and straight ahead is given either colour."""
    for index in range(worlds):
        if f"true/{index}" in done:
            continue
        pair = pairs[index % len(pairs)]
        pictures = _recoloured(model, index, pair, config.seed)
        if pictures is not None:
            yield {"key": f"true/{index}", "pair": pair, **_compare(pictures, pair)}


def _recoloured(model: ClipGenerator, index: int, pair: tuple[str, str], seed: int, steps: int = 96) -> Any:
    """(2, H, W, 3) from a walk through a test world, or None if it meets no chest."""
    world = seeding.world_seed(seed, model.info.env, "recoloured", index)
    env = ENVS.get(model.info.env)(**{**model.info.env_args, "size": model.info.sizes[0]})
    frame, _ = env.reset(seed=world, options={"dynamics_seed": world})
    walker = CONTROLLERS.get("explore")()
    walker.reset(seed=world, action_space=env.action_space, truth=env.truth())
    for t in range(steps):
        state = env.truth()
        for item in state.objects:
            (thing,) = facts_from_truth(replace(state, objects=(item,), events=())).things or (None,)
            if thing and (thing.kind, thing.distance, thing.direction) == ("chest", "near", "ahead"):
                out = []
                for colour in pair:
                    env.edit(RecolourObject(object_id=item.id, colour=colour))
                    out.append(np.array(env.render_from()[0]))
                return np.stack(out)
        frame = env.step(walker.act(frame, state, t))[0]
    return None


def _compare(pictures: Any, pair: tuple[str, str]) -> dict[str, Any]:
    shares = [[share_of(picture, colour) for colour in pair] for picture in pictures]
    gain = (shares[0][0] - shares[1][0]) + (shares[1][1] - shares[0][1])
    return {"shares": shares, "success": bool(gain > 0)}


def share_of(picture: Any, colour: str) -> float:
    """Share of the pixels of a (H, W, 3) uint8 picture with a hue within 20 degrees that are neither pale nor dark."""
    import cv2

    hue, saturation, value = np.moveaxis(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2HSV), -1, 0)
    away = np.abs((2.0 * hue - HUES[colour] + 180.0) % 360.0 - 180.0)
    return float(np.mean((away < 20) & (saturation > 0.4 * 255) & (value > 0.2 * 255)))


# ------------------------------------------------------------------------------------------------------------- summary


def difference(values: list[float]) -> dict[str, Any]:
    """Mean of paired differences, one a world, with its interval."""
    x = np.array(values, np.float64)
    interval = cluster_bootstrap(lambda counts: counts @ x / counts.sum(axis=1), len(x), seed=0)
    return {"mean": float(x.mean()), "low": float(interval.low), "high": float(interval.high), "worlds": len(x)}


def summarise(rows: list[dict[str, Any]], model: ClipGenerator, worlds: int) -> dict[str, Any]:
    out: dict[str, Any] = {"model": model.info.name, "model_hash": model.digest, "worlds": worlds}
    for part in ("join", "loop"):
        own = [row for row in rows if row["part"] == part]
        if not own:
            continue
        arms = [arm for arm in own[0] if isinstance(own[0][arm], dict)]
        out[part] = {
            metric: {
                **{arm: float(np.mean([row[arm][metric] for row in own])) for arm in arms},
                "minus cross-fade": {
                    arm: difference([row[arm][metric] - row["cross-fade"][metric] for row in own])
                    for arm in arms
                    if arm != "cross-fade"
                },
            }
            for metric in METRICS
        }
    for size in SIZES:
        name = f"{size[0]}x{size[1]}"
        own = [row for row in rows if row["part"] == "sizes" and row["key"].startswith(name)]
        if own:
            out.setdefault("sizes", {})[name] = {
                metric: {
                    f"@{h}": difference([row["model"][metric][i] - row["copy-last"][metric][i] for row in own])
                    for i, h in enumerate(HORIZONS)
                }
                for metric in METRICS
            }
    for name, true in (("text", False), ("text, true pictures", True)):
        own = [row for row in rows if row["part"] == "text" and row["key"].startswith("true/") == true]
        if own:
            hits = sum(row["success"] for row in own)
            low, high = wilson(hits, len(own))
            out[name] = {"rate": hits / len(own), "low": low, "high": high, "pairs": len(own)}
    return out


def print_summary(summary: dict[str, Any]) -> None:
    def told(d: dict[str, Any]) -> str:
        return f"{d['mean']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]"

    for part in ("join", "loop"):
        for metric, values in summary.get(part, {}).items():
            better = "lower" if metric in LOWER else "higher"
            print(f"{part} {metric} ({better} is better); cross-fade {values['cross-fade']:.3f}")
            for arm, found in values["minus cross-fade"].items():
                print(f"  {arm:<18} {values[arm]:8.3f}   minus cross-fade {told(found)}, {found['worlds']} worlds")
    for name, metrics in summary.get("sizes", {}).items():
        for metric, horizons in metrics.items():
            line = "  ".join(f"{h} {told(found)}" for h, found in horizons.items())
            print(f"size {name} {metric} minus copy-last: {line}")
    for name in ("text", "text, true pictures"):
        if name in summary:
            t = summary[name]
            print(f"{name}: {t['rate']:.2f} [{t['low']:.2f}, {t['high']:.2f}] of {t['pairs']} pairs; chance 0.5")


if __name__ == "__main__":
    main()
