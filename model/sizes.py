"""How large the networks of a recipe are and what training them takes, counted on tensors without memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from worldsim.model import actions
from worldsim.model.codec.network import VideoCodec
from worldsim.model.dit.network import DiT
from worldsim.model.recipe import Recipe
from worldsim.model.training.codec_task import CodecLoss
from worldsim.model.training.config import StageConfig
from worldsim.model.training.dit_task import DiTLoss
from worldsim.model.training.optim import split_parameters


@dataclass(frozen=True, kw_only=True)
class StageSize:
    """What one stage takes in each process, at the largest frame size.

    Attributes:
        name: "codec", "dit".
        parameters: Of what is trained and kept; a discriminator is not counted.
        state: Bytes of weights, gradients, optimizer and running mean, before any sharding.
        activations: Bytes that the forward pass of one part of the batch keeps for the backward pass.
        clips: Clips in that part.
        tokens: Tokens of one frame, registers included; 0 for the codec.
    """

    name: str
    parameters: int
    state: int
    activations: int
    clips: int
    tokens: int = 0


def stage_sizes(recipe: Recipe, world: int = 1) -> tuple[StageSize, StageSize]:
    """Codec and transformer of a recipe whose transformer knows its action space, for so many processes.

    Raises:
        ConfigError: If the batch cannot be dealt out to them.
    """
    h, w = max((d.size for d in recipe.data), key=lambda size: size[0] * size[1])
    with FakeTensorMode():
        codec = VideoCodec(recipe.codec)
        codec_loss = CodecLoss(codec, recipe.codec_loss)
        dit = DiT(recipe.dit, actions.count(recipe.dit.action_space))
        dit_loss = DiTLoss(dit, recipe.dit_loss)
        clips = recipe.codec_training.part(world)
        cells = (h // 8, w // 8)
        codec_size = StageSize(
            name="codec",
            parameters=count(codec),
            state=state_bytes(codec_loss),
            activations=kept_bytes(codec_loss, _codec_batch(recipe, clips, h, w), recipe.codec_training),
            clips=clips,
        )
        n = (cells[0] // recipe.dit.patch) * (cells[1] // recipe.dit.patch)
        clips = recipe.dit_training.part(world)
        dit_size = StageSize(
            name="dit",
            parameters=count(dit),
            state=state_bytes(dit_loss),
            activations=kept_bytes(dit_loss, _dit_batch(recipe, clips, n), recipe.dit_training),
            clips=clips,
            tokens=n + recipe.dit.registers,
        )
        return codec_size, dit_size


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(int(p.numel()) for p in module.parameters())


def state_bytes(module: nn.Module) -> int:
    """Weights, gradients and running mean in float32, one moment for Muon's matrices, two for the others."""
    muon, others = split_parameters(module)
    numbers = [sum(p.numel() for p in group["params"]) for group in (muon, others)]
    return int(4 * (numbers[0] * 4 + numbers[1] * 5))


def kept_bytes(module: nn.Module, batch: dict[str, Any], stage: StageConfig) -> int:
    """Bytes of the tensors that autograd keeps in a forward pass, each storage once, parameters left out.

    An estimate for bf16: half of what float32 takes, with a fused attention, as a GPU has it.
    """
    own = {p.untyped_storage()._cdata for p in module.parameters()}
    seen: dict[int, Any] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = storage
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        module(batch)
    total: int = sum(storage.nbytes() for storage in seen.values())
    return total // 2 if stage.precision == "bf16" else total


def _codec_batch(recipe: Recipe, clips: int, h: int, w: int) -> dict[str, Any]:
    frames, c = recipe.codec_training.frames, recipe.codec
    shape = (clips, frames, 3, h, w)
    return {
        "frames": torch.empty(shape),
        "masked": torch.empty(shape),
        "noise": torch.empty(clips, 1 + (frames - 1) // c.temporal, c.channels, h // 8, w // 8),
        "adversarial": 1.0,
    }


def _dit_batch(recipe: Recipe, clips: int, n: int) -> dict[str, Any]:
    f, dit = recipe.dit_training.frames, recipe.dit
    two = (clips, f)
    batch = {
        "clean": torch.empty(*two, n, dit.token),
        "places": torch.empty(1, n, 2),
        "noise": torch.empty(*two, n, dit.token),
        "previous_draw": torch.empty(*two, n, dit.token),
        "signal": torch.empty(two),
        "level": torch.empty(two, dtype=torch.int64),
        "previous_noise": torch.empty(two),
        "has_previous": torch.empty(two, dtype=torch.bool),
        "visible": torch.empty(*two, f, dtype=torch.bool),
        "asked": torch.empty(two),
        "backward": torch.empty(clips, dtype=torch.bool),
        "times": torch.empty(1, f),
        "actions": torch.empty(*two, actions.count(dit.action_space)),
        "has_action": torch.empty(two, dtype=torch.bool),
        "reward": torch.empty(two),
        "end": torch.empty(two),
        "shortcut": 0,
        "rollout_depth": 0,
    }
    if dit.text_length:
        batch["words"] = torch.empty(clips, dit.text_length, dtype=torch.int64)
        batch["text_from"] = torch.empty(clips, dtype=torch.int64)
    return batch


def describe(recipe: Recipe, world: int = 1) -> list[str]:
    """Lines for people: counts, and an estimate of the memory of each process."""
    lines = [f"recipe {recipe.name}: {recipe.summary or 'no summary'}"]
    sizes = stage_sizes(recipe, world)
    for size, stage in zip(sizes, (recipe.codec_training, recipe.dit_training), strict=True):
        tokens = f", {size.tokens} tokens a frame" if size.tokens else ""
        parts = f" in {stage.accumulate} parts" if stage.accumulate > 1 else ""
        lines += [
            f"  {size.name}: {size.parameters / 1e6:.1f} M parameters{tokens}; {stage.steps:,} steps of {stage.batch} "
            f"clips of {stage.frames} frames{parts}",
            f"    memory in each of {world} process(es): {size.state / 1e9:.2f} GB weights, gradients, optimizer and "
            f"mean + {size.activations / 1e9:.2f} GB activations of {size.clips} clip(s)",
        ]
    total = sum(size.parameters for size in sizes)
    lines.append(f"  together {total / 1e6:.1f} M parameters, {2 * total / 1e6:.0f} MB in bfloat16")
    for data in recipe.data:
        frames = data.episodes * (data.steps + 1)
        latents = frames * (data.size[0] // 8) * (data.size[1] // 8) * recipe.codec.channels * 2 / recipe.codec.temporal
        lines.append(
            f"  data {data.size[0]}x{data.size[1]}: {data.episodes:,} episodes, {frames:,} frames; latents "
            f"{latents / 1e9:.2f} GB on disk"
        )
        if data.fresh:
            refreshes = max(0, recipe.dit_training.steps - 1) // recipe.refresh
            lines.append(
                f"    fresh: {data.fresh:,} of them are replaced every {recipe.refresh:,} steps, {refreshes} times: "
                f"{data.fresh * refreshes:,} episodes more are played; latents up to twice as large on disk"
            )
    return lines
