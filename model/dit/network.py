"""The transformer: frame-causal, per-frame noise levels, x-prediction, shared modulation.

Tokens of a frame are R registers and N patches. Each frame is modulated by one vector made of its noise level, the
step size of the sampler, the noise on the latent before it, its action, its text and the direction of time (adaLN of
DiT, arXiv:2212.09748, with one projection shared by all layers and a bias for each, as in PixArt, arXiv:2310.00426).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.model.dit.attention import History, MaskedHistory, Norm
from worldsim.model.dit.condition import LEVELS, Condition, Output, fourier
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.layer import Layer
from worldsim.model.dit.patches import Grid
from worldsim.model.dit.rotary import space_turn
from worldsim.model.dit.text import TextEncoder

__all__ = ["LEVELS", "Condition", "DiT", "Layer", "Output", "fourier"]


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
        config, (b, f) = self.config, noisy.shape[:2]
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
        told = self.heads(registers.mean(dim=2) if config.registers else mean_patch(patches, grid.valid)).float()
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


def mean_patch(patches: Tensor, valid: Tensor | None) -> Tensor:
    """The mean over the patches of a frame that are no padding: (B, F, N, D), valid (B, N) or None -> (B, F, D)."""
    if valid is None:
        return patches.mean(dim=2)
    share = valid.to(patches.dtype) / valid.sum(dim=1, keepdim=True)
    return (patches * share[:, None, :, None]).sum(dim=2)
