"""What is measured: a checkpoint, or random weights of a recipe's size; and one step of its worlds, in parts."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from worldsim.model import actions
from worldsim.model.backends.base import Backend
from worldsim.model.checkpoint import find_checkpoint, load_checkpoint
from worldsim.model.codec.network import VideoCodec, to_uint8
from worldsim.model.codec.stream import DecoderState
from worldsim.model.dit.network import DiT
from worldsim.model.dit.patches import unpatchify
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Worlds
from worldsim.model.recipe import load_recipe

#: The keys and camera of a first-person game, as the recipes' world has them: ten features or so.
ACTIONS = {"type": "box", "low": [-1.0] * 10, "high": [1.0] * 10, "dtype": "float32"}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Codec and transformer, in evaluation mode, on the CPU."""

    name: str
    codec: VideoCodec
    dit: DiT


def load_subject(checkpoint: str | Path, recipe: str = "tiny", seed: int = 0) -> Subject:
    """A checkpoint, or for "random" random weights of the recipe's size: speed does not depend on them."""
    if str(checkpoint) != "random":
        loaded = load_checkpoint(find_checkpoint(checkpoint))
        return Subject(
            name=loaded.config.name, codec=loaded.codec.requires_grad_(False), dit=loaded.dit.requires_grad_(False)
        )
    made = load_recipe(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        codec = VideoCodec(made.codec)
        config = dataclasses.replace(
            made.dit,
            channels=made.codec.channels,
            temporal=made.codec.temporal,
            action_space=ACTIONS,
            action_scale=(1.0,) * 10,
            vocabulary=tuple(f"word{i}" for i in range(100)) if made.dit.text_length else (),
        )
        dit = DiT(config, actions.count(ACTIONS))
        for parameter in (*codec.parameters(), *dit.parameters()):
            if parameter.ndim > 1 and not parameter.any():  # those that start at zero would hide what goes wrong
                torch.nn.init.normal_(parameter, std=0.5 / parameter[0].numel() ** 0.5)
    return Subject(
        name=f"random weights of {recipe}",
        codec=codec.eval().requires_grad_(False),
        dit=dit.eval().requires_grad_(False),
    )


class Play:
    """Worlds that are stepped without anything around them; every step's parts are timed."""

    def __init__(
        self, subject: Subject, backend: Backend, sampler: SamplerConfig, batch: int, size: tuple[int, int]
    ) -> None:
        """Starts worlds of (h, w) latent cells with a full window behind them."""
        config = subject.dit.config
        self.backend, self.size, self.patch = backend, size, config.patch
        self.worlds = Worlds(
            subject.dit,
            sampler,
            batch,
            size,
            network=backend.network,
            device=subject.dit.flags.device,
            dtype=backend.dtype,
        )
        generator = torch.Generator().manual_seed(0)
        context = torch.randn(batch, config.window, self.worlds.tokens, config.token, generator=generator)
        led = torch.zeros(batch, config.window - 1, subject.dit.action_features)
        device = subject.dit.flags.device
        self.worlds.start(range(batch), context.to(device), led.to(device), list(range(batch)))
        self.actions = torch.zeros(batch, subject.dit.action_features, device=device)
        self.state = DecoderState(started=True)
        self.parts: dict[str, list[float]] = {"transformer": [], "codec": [], "transfer": []}

    @torch.no_grad()
    def step(self) -> None:
        """One frame of every world, as far as numpy."""
        marks = [time.perf_counter()]
        clean = self.worlds.step(self.actions).clean
        marks.append(time.perf_counter())
        frames, self.state = self.backend.decode(unpatchify(clean, self.size, self.patch)[:, None], self.state)
        marks.append(time.perf_counter())
        to_uint8(frames).cpu().numpy()
        marks.append(time.perf_counter())
        for name, a, b in zip(self.parts, marks, marks[1:], strict=False):
            self.parts[name].append(b - a)
