"""The transformer: frame-causal, per-frame noise levels, x-prediction, shared modulation.

Tokens of a frame are R registers and N patches. Each frame is modulated by one vector made of its noise level, the
step size of the sampler, the noise on the latent before it, its action, its text and the direction of time (adaLN of
DiT, arXiv:2212.09748, with one projection shared by all layers and a bias for each, as in PixArt, arXiv:2310.00426).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.model.dit.attention import History, MaskedHistory, Norm, Projections, attend_space
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.patches import Grid
from worldsim.model.dit.rotary import space_turn
from worldsim.model.dit.text import TextEncoder

LEVELS = 4  # step sizes 1, 1/2, 1/4, 1/8: 1, 2, 4 and 8 denoising steps


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a frame's denoising depends on beside latents; B clips, F frames.

    Attributes:
        signal: (B, F) tau in 0..1: 0 = pure noise, 1 = clean.
        level: (B, F) int64, log2 of the number of steps the sampler takes.
        previous_noise: (B, F) standard deviation of the noise on the latent before.
        has_previous: (B, F) bool, False where nothing comes before.
        actions: (B, F, A) features of the action that leads to the frame; zero where there is none.
        has_action: (B, F) bool.
        text: (B, F, R, D) of `DiT.read`, or None: no prompt.
        backward: (B,) bool: time runs backwards, or None: forwards.
    """

    signal: Tensor
    level: Tensor
    previous_noise: Tensor
    has_previous: Tensor
    actions: Tensor
    has_action: Tensor
    text: Tensor | None = None
    backward: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the transformer says of each frame.

    Attributes:
        clean: (B, F, N, P) the clean patches.
        reward: (B, F) of the step that leads to the frame, symlog scale.
        end: (B, F) logit: that step ends the episode.
    """

    clean: Tensor
    reward: Tensor
    end: Tensor


class Layer(nn.Module):
    """Attention and a gated feed-forward part, both modulated."""

    def __init__(self, config: DiTConfig, index: int) -> None:
        super().__init__()
        self.index, self.time = index, index in config.time_layers
        self.attention = Projections(config)
        # Axial time attention comes beside the space attention; full time attention contains it.
        self.over_time = Projections(config) if self.time and config.time_attention == "axial" else None
        self.norm = Norm(config.width, affine=False)
        hidden = int(config.mlp * config.width)
        self.up, self.down = nn.Linear(config.width, 2 * hidden), nn.Linear(hidden, config.width)
        self.bias = nn.Parameter(torch.zeros(6, config.width))
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(
        self, x: Tensor, modulation: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None, history: History
    ) -> Tensor:
        """x (B, F, M, D), modulation (B, F, 1, 6, D), turn of `space_turn`, mask (B, 1, 1, M) or None."""
        m = modulation + self.bias.to(modulation.dtype)
        scale, shift, gate, scale2, shift2, gate2 = m.unbind(dim=-2)
        q, k, v = self.attention.split(self.norm(x) * (1 + scale) + shift, turn)
        if self.time and self.over_time is None:
            seen = history.attend(self.index, q, k, v)
        else:
            seen = attend_space(q, k, v, mask)
        x = x + (1 + gate) * self.attention.out(seen.flatten(-2))
        if self.over_time is not None:
            q, k, v = self.over_time.split(self.norm(x) * (1 + scale) + shift, turn)
            x = x + (1 + gate) * self.over_time.out(history.attend(self.index, q, k, v).flatten(-2))
        a, b = self.up(self.norm(x) * (1 + scale2) + shift2).chunk(2, dim=-1)
        return x + (1 + gate2) * self.down(F.silu(a) * b)


class DiT(nn.Module):
    """See the module."""

    def __init__(self, config: DiTConfig, action_features: int) -> None:
        """Builds it for actions of so many features (see `worldsim.model.actions`)."""
        super().__init__()
        self.config, self.action_features = config, action_features
        d = config.width
        self.embed = nn.Linear(config.token * (2 if config.previous else 1), d)
        self.registers = nn.Parameter(0.02 * torch.randn(config.registers, d))
        self.signal = nn.Sequential(nn.Linear(64, d), nn.SiLU(), nn.Linear(d, d))
        self.previous_noise = nn.Linear(64, d, bias=False)
        self.level = nn.Embedding(LEVELS, d)
        self.action = nn.Sequential(nn.Linear(action_features, d), nn.SiLU(), nn.Linear(d, 2 * d))
        self.flags = nn.Parameter(torch.zeros(3, d))  # nothing before, no action, backward
        self.text = TextEncoder(config) if config.text_length else None
        self.modulate = nn.Linear(d, 6 * d)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.depth))
        self.final_norm = Norm(d)
        self.final_modulate = nn.Linear(d, 2 * d)
        self.final = nn.Linear(d, config.token)
        self.keep = nn.Linear(d, 2)  # how much of the noisy and of the previous patch goes straight through
        self.heads = nn.Linear(d, 2)
        for module in (self.modulate, self.final_modulate, self.final, self.keep, self.heads):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)

    def read(self, words: Tensor) -> Tensor:
        """Prompts (B, text_length) int64 -> (B, R, D); an empty prompt gives zeros.

        Raises:
            ValueError: If the model was built without text.
        """
        if self.text is None:
            raise ValueError("this model was built without text (text_length = 0)")
        out: Tensor = self.text(words)
        return out

    def forward(
        self,
        noisy: Tensor,
        previous: Tensor,
        condition: Condition,
        grid: Grid,
        history: History,
    ) -> Output:
        """Predicts the clean patches of each frame.

        Args:
            noisy: (B, F, N, P) patches, tau * clean + (1 - tau) * noise.
            previous: (B, F, N, P) patches of the frame before each, zeros where there is none.
            condition: Of each frame.
            grid: Places of the patches.
            history: What the time layers see.
        """
        config, (b, f, n, _) = self.config, noisy.shape
        vector, addend = self.condition_vector(condition)
        x = self.embed(torch.cat([noisy, previous], dim=-1) if config.previous else noisy) + addend[:, :, None]
        registers = self.registers.to(x.dtype).expand(b, f, -1, -1)
        if condition.text is not None:
            registers = registers + condition.text.to(x.dtype)
        x = torch.cat([registers, x], dim=2)  # (B, F, M = R + N, D)
        turn = space_turn(grid.places, config.registers, config.head)
        mask = token_mask(grid.valid, config.registers, x.dtype)
        modulation = self.modulate(F.silu(vector)).unflatten(-1, (6, -1))[:, :, None]
        for layer in self.layers:
            x = layer(x, modulation, turn, mask, history)
        scale, shift = self.final_modulate(F.silu(vector))[:, :, None].chunk(2, dim=-1)
        x = self.final_norm(x) * (1 + scale) + shift
        registers, patches = x[:, :, : config.registers], x[:, :, config.registers :]
        kept = self.keep(patches)
        clean = self.final(patches) + kept[..., :1] * noisy + kept[..., 1:] * previous
        told = self.heads(registers.mean(dim=2) if config.registers else patches.mean(dim=2)).float()
        return Output(clean=clean.float(), reward=told[..., 0], end=told[..., 1])

    def condition_vector(self, c: Condition) -> tuple[Tensor, Tensor]:
        """(B, F, D) that modulates, and (B, F, D) that is added to every patch."""
        vector = self.signal(fourier(c.signal)) + self.level(c.level)
        moved = self.action(c.actions) * c.has_action[..., None]
        to_vector, to_tokens = moved.chunk(2, dim=-1)
        vector = vector + to_vector + self.previous_noise(fourier(c.previous_noise)) * c.has_previous[..., None]
        flags = self.flags.to(vector.dtype)
        vector = vector + (~c.has_previous)[..., None] * flags[0] + (~c.has_action)[..., None] * flags[1]
        if c.backward is not None:
            vector = vector + c.backward[:, None, None] * flags[2]
        if c.text is not None:
            vector = vector + c.text.mean(dim=2).to(vector.dtype)
        return vector, to_tokens

    def look(self, times: Tensor, visible: Tensor, grid: Grid, dtype: torch.dtype) -> History:
        """The history of training: (B or 1, F) times, (B or 1, F, F) bool who sees whom."""
        valid = grid.valid
        if valid is not None:
            valid = F.pad(valid, (self.config.registers, 0), value=True)
        tokens = self.config.registers + grid.places.shape[1]
        return MaskedHistory.make(self.config, times, visible, tokens, valid, dtype)


def token_mask(valid: Tensor | None, registers: int, dtype: torch.dtype) -> Tensor | None:
    """(B, N) bool -> (B, 1, 1, R + N) additive, or None."""
    if valid is None:
        return None
    seen = F.pad(valid, (registers, 0), value=True)[:, None, None]
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))


def fourier(x: Tensor) -> Tensor:
    """(...) in 0..1 -> (..., 64): sines and cosines of frequencies from 1/4 to 64 turns."""
    frequencies = 0.25 * 256 ** (torch.arange(32, device=x.device, dtype=torch.float32) / 31)
    turns = 2 * math.pi * x.float()[..., None] * frequencies
    return torch.cat([turns.sin(), turns.cos()], dim=-1)
