"""Training of the transformer on latents: diffusion forcing with x-prediction, shortcuts, and its own errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim import seeding
from worldsim.model.dit.network import Condition, DiT
from worldsim.model.dit.patches import Grid, pad
from worldsim.model.flow import mix, move, shortcut_target, symlog, weight
from worldsim.model.training.config import StageConfig
from worldsim.model.training.dit_config import DiTLossConfig
from worldsim.model.training.latents import LatentClips, LatentRecording, draw_clips
from worldsim.model.training.masks import Masks, draw_masks


class DiTLoss(nn.Module):
    """The transformer and its loss as one module."""

    def __init__(self, dit: DiT, config: DiTLossConfig) -> None:
        super().__init__()
        self.dit, self.config = dit, config

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its terms for a batch of `DiTTask.batch`."""
        dit, clean = self.dit, batch["clean"]
        grid = Grid(places=batch["places"], valid=batch.get("valid"))
        text = self._text(batch)
        depth = int(batch["rollout_depth"])
        own = self._own(batch, grid, text, depth) if depth else None
        condition = self._condition(batch, text)
        before = self._before(batch, clean if own is None else own)
        noisy = mix(clean, batch["noise"], batch["signal"])
        few = int(batch["shortcut"])
        target = clean
        if few:
            target = torch.cat([self._shortcut(batch, noisy, before, condition, grid, few), clean[few:]])
        history = self._look(batch, grid, slice(None))
        out = dit(noisy, before, condition, grid, history)
        error = (out.clean - target).square().mean(dim=-1)  # (B, F, N)
        if grid.valid is not None:
            error = (error * grid.valid[:, None]).sum(-1) / grid.valid[:, None].sum(-1)
        else:
            error = error.mean(-1)
        asked = batch["asked"]
        frame = (weight(batch["signal"]) * error * asked).sum() / asked.sum()
        has = batch["has_action"].float()
        reward = ((out.reward - symlog(batch["reward"])).square() * has).sum() / has.sum().clamp_min(1)
        end = F.binary_cross_entropy_with_logits(out.end, batch["end"], reduction="none")
        end = (end * has).sum() / has.sum().clamp_min(1)
        start = (batch["signal"] < 0.25) & (asked > 0) & batch["has_previous"]
        hard = (error * start).sum() / start.sum().clamp_min(1)
        total = frame + self.config.heads * (reward + end)
        return total, {
            "frame": frame.detach(),
            "from_noise": hard.detach(),
            "reward": reward.detach(),
            "end": end.detach(),
        }

    def _text(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """(B, F, R, D): the prompt is in force from frame `text_from` on."""
        if "words" not in batch:
            return None
        read = self.dit.read(batch["words"])[:, None]
        f = batch["clean"].shape[1]
        on = torch.arange(f, device=read.device) >= batch["text_from"][:, None]
        return read * on[:, :, None, None]

    def _condition(self, batch: Mapping[str, Tensor], text: Tensor | None) -> Condition:
        return Condition(
            signal=batch["signal"],
            level=batch["level"],
            previous_noise=batch["previous_noise"],
            has_previous=batch["has_previous"],
            actions=batch["actions"],
            has_action=batch["has_action"],
            text=text,
            backward=batch["backward"],
        )

    def _before(self, batch: Mapping[str, Tensor], latents: Tensor) -> Tensor:
        """The latent before each frame, with its noise; zeros where there is none."""
        shifted = F.pad(latents[:, :-1], (0, 0, 0, 0, 1, 0))
        noisy = shifted + batch["previous_noise"][..., None, None] * batch["previous_draw"]
        return noisy * batch["has_previous"][..., None, None]

    def _look(self, batch: Mapping[str, Tensor], grid: Grid, rows: slice) -> Any:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        if batch["clean"].is_cuda:
            dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else torch.float32
        part = Grid(places=_rows(grid.places, rows), valid=None if grid.valid is None else grid.valid[rows])
        return self.dit.look(batch["times"], batch["visible"][rows], part, dtype)

    @torch.no_grad()
    def _own(self, batch: Mapping[str, Tensor], grid: Grid, text: Tensor | None, depth: int) -> Tensor:
        """Latents in which frames are the network's own predictions, up to `depth` in a row, all frames at once.

        Each pass predicts every frame in one step from noise, with the pass before as the latents before; after n
        passes a frame's input has gone through the network n times. It is a rollout of n steps from every frame of
        the clip, for the price of n passes (Jacobi iteration; the aim is that of Self Forcing, arXiv:2506.08009).
        """
        latents, zero = batch["clean"], torch.zeros_like(batch["signal"])
        condition = replace(self._condition(batch, text), signal=zero, level=torch.zeros_like(batch["level"]))
        history = self._look(batch, grid, slice(None))
        for _ in range(depth):
            out = self.dit(batch["noise"], self._before(batch, latents), condition, grid, history)
            chosen = batch["rollout"][:, None] & (batch["asked"] > 0) & batch["has_previous"]
            latents = torch.where(chosen[..., None, None], out.clean, batch["clean"])
        return latents

    @torch.no_grad()
    def _shortcut(
        self, batch: Mapping[str, Tensor], noisy: Tensor, before: Tensor, condition: Condition, grid: Grid, few: int
    ) -> Tensor:
        """Targets of the first `few` clips: where two half steps lead. Known frames keep their truth."""
        rows = slice(0, few)
        part = Grid(places=_rows(grid.places, rows), valid=None if grid.valid is None else grid.valid[rows])
        history = self._look(batch, grid, rows)
        signal, level = batch["signal"][rows], batch["level"][rows]
        size = 0.5 ** level.float()
        fields = {k: v[rows] if isinstance(v, Tensor) else v for k, v in condition.__dict__.items()}
        finer = Condition(**{**fields, "level": (level + 1).clamp_max(3)})
        first = self.dit(noisy[rows], before[rows], finer, part, history).clean
        middle = move(noisy[rows], first, signal, size / 2)
        later = replace(finer, signal=signal + size / 2)
        second = self.dit(middle, before[rows], later, part, history).clean
        target = shortcut_target(noisy[rows], first, second, middle, signal, size)
        asked = (batch["asked"][rows] > 0)[..., None, None]
        return torch.where(asked, target, batch["clean"][rows])


def _rows(places: Tensor, rows: slice) -> Tensor:
    return places if places.shape[0] == 1 else places[rows]


class DiTTask:
    """The stage "dit"."""

    name = "dit"
    unused = False
    plain: tuple[str, ...] = (
        *("embed", "final", "modulate", "text", "action.0", "keep", "heads", "signal.0"),
        *("previous_noise", "level", "registers", "bias", "flags"),
    )

    def __init__(
        self,
        dit: DiT,
        loss: DiTLossConfig,
        stage: StageConfig,
        train: Sequence[LatentRecording],
        shares: Sequence[float],
        *,
        seed: int,
        validate: Callable[[DiT], tuple[dict[str, float], Any]] | None = None,
        device: str = "cpu",
    ) -> None:
        """Prepares the stage.

        Args:
            dit: To train.
            loss: What for.
            stage: Budget.
            train: Recordings, one a size.
            shares: How often each is drawn.
            seed: Of everything.
            validate: Figures and a picture of the network as it is.
            device: Where.
        """
        self.dit, self.loss, self.stage, self.seed, self.device = dit, loss, stage, seed, device
        self.module = DiTLoss(dit, loss).to(device)
        self._train, self._shares, self._validate = train, shares, validate
        self._words: Any = None
        if dit.config.text_length:
            from worldsim.model.text.words import Vocabulary

            self._words = Vocabulary(words=dit.config.vocabulary)
        self._picture: Any = None

    def batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Clips, noise and questions of one step."""
        stage, config = self.stage, self.dit.config
        size, frames = stage.batch // world, stage.frames
        key = ("dit", self.seed, step, rank)
        clips = draw_clips(self._train, self._shares, frames=frames, size=size, seed=key)
        rng = seeding.generator("questions", *key)
        generator = torch.Generator().manual_seed(seeding.hash_seed("noise", *key))
        share = step / max(stage.steps, 1)
        masks = draw_masks(rng, size, frames, config.window, self.loss.masks, shortcut=share >= self.loss.shortcut_from)
        tokens, grid = pad([c.tokens for c in clips], [c.size for c in clips], config.patch)
        actions, has_action, reward, end = _actions(clips, masks, config.action_scale)
        back = torch.from_numpy(masks.backward)
        tokens[back] = tokens[back].flip(1)
        batch = {
            "clean": tokens,
            "places": grid.places,
            "noise": torch.randn(tokens.shape, generator=generator),
            "previous_draw": torch.randn(tokens.shape, generator=generator),
            "signal": torch.from_numpy(masks.signal),
            "level": torch.from_numpy(masks.level),
            "previous_noise": torch.from_numpy(masks.previous_noise),
            "has_previous": torch.from_numpy(masks.has_previous),
            "visible": torch.from_numpy(masks.visible),
            "asked": torch.from_numpy(~masks.known).float(),
            "backward": back,
            "times": torch.arange(frames, dtype=torch.float32)[None],
            "actions": torch.from_numpy(actions),
            "has_action": torch.from_numpy(has_action),
            "reward": torch.from_numpy(reward),
            "end": torch.from_numpy(end),
            "shortcut": torch.tensor(masks.shortcut),
        }
        if grid.valid is not None:
            batch["valid"] = grid.valid
        if self._words is not None:
            texts, since = _prompts(clips, masks, rng, self.loss.text_drop)
            batch["words"] = torch.from_numpy(self._words.encode_batch(texts, config.text_length))
            batch["text_from"] = torch.from_numpy(since)
        own = share >= self.loss.rollout_from
        batch["rollout"] = torch.from_numpy(rng.random(size) < (self.loss.rollout_share if own else 0.0))
        batch["rollout_depth"] = torch.tensor(int(rng.integers(1, self.loss.rollout_depth + 1)) if own else 0)
        return {k: v.to(self.device) for k, v in batch.items()}

    def validate(self) -> dict[str, float]:
        """See `validate` of the constructor."""
        if self._validate is None:
            return {}
        figures, self._picture = self._validate(self.dit)
        return figures

    def picture(self) -> Any:
        """The picture of the last validation."""
        return self._picture


def _actions(clips: Sequence[LatentClips], masks: Masks, scale: tuple[float, ...]) -> tuple[Any, Any, Any, Any]:
    """Scaled features (B, F, A) of the action that leads to each frame, whether there is one, reward and end."""
    raw = np.concatenate([c.actions for c in clips])
    b, steps, a = raw.shape
    features = np.zeros((b, steps + 1, a), np.float32)
    features[:, 1:] = raw / np.asarray(scale, np.float32)
    reward, end = np.zeros((b, steps + 1), np.float32), np.zeros((b, steps + 1), np.float32)
    reward[:, 1:] = np.concatenate([c.rewards for c in clips])
    end[:, 1:] = np.concatenate([c.terminated for c in clips])
    for i in np.flatnonzero(masks.backward):  # frame j is reached from j + 1 by the action between them, undone
        features[i, 1:] = features[i, 1:][::-1].copy()
        reward[i], end[i] = 0, 0
    has = masks.has_previous.copy()
    features[~has] = 0
    return features, has, reward, end


def _prompts(
    clips: Sequence[LatentClips], masks: Masks, rng: np.random.Generator, drop: float
) -> tuple[list[str], Any]:
    """A prompt for each clip and the frame from which it holds: some clauses of what is true at that frame."""
    texts, since = [], []
    for captions, back in zip((c for clip in clips for c in clip.captions), masks.backward, strict=True):
        frame = 0 if rng.random() < 0.5 else int(rng.integers(len(captions)))
        text = captions[len(captions) - 1 - frame] if back else captions[frame]
        texts.append("" if rng.random() < drop else some_clauses(text, rng))
        since.append(frame)
    return texts, np.array(since, np.int64)


def some_clauses(text: str, rng: np.random.Generator) -> str:
    """The caption, or, half of the time, some of its clauses in their order."""
    clauses = text.split("; ")
    if len(clauses) < 2 or rng.random() < 0.5:
        return text
    keep = rng.random(len(clauses)) < 0.5
    if not keep.any():
        keep[int(rng.integers(len(clauses)))] = True
    return "; ".join(c for c, k in zip(clauses, keep, strict=True) if k)
