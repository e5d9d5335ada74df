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
from worldsim.model.training.latents import Episodes, LatentClips, draw_clips
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
        asked, base = batch["asked"], clean
        if own is not None:  # what is remembered is its own, too; nothing is asked about it
            old = batch["rollout"][:, None] & batch["has_previous"] & (batch["signal"] >= self.config.masks.clean_from)
            base, asked = torch.where(old[..., None, None], own, clean), asked * ~old
        noisy = mix(base, batch["noise"], batch["signal"])
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
        frame = (weight(batch["signal"]) * error * asked).sum() / asked.sum().clamp_min(1)
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
        part = Grid(places=_rows(grid.places, rows), valid=None if grid.valid is None else grid.valid[rows])
        return self.dit.look(batch["times"], batch["visible"][rows], part, self._dtype(batch["clean"]))

    @staticmethod
    def _dtype(like: Tensor) -> torch.dtype:
        """Of attention: that of autocast, if it is on."""
        device = like.device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32

    @torch.no_grad()
    def _own(self, batch: Mapping[str, Tensor], grid: Grid, text: Tensor | None, depth: int) -> Tensor:
        """Latents in which the clips of `rollout` are the network's own, up to `depth` predictions in a row.

        Each pass predicts every frame of a clip in one step from noise, as at play: it sees the latents of the pass
        before as its history and as the latent before it. After n passes a frame's input has gone through the network
        n times: a rollout of n steps from every frame of the clip, for the price of n passes (Jacobi iteration; the aim
        is that of Self Forcing, arXiv:2506.08009).
        """
        clean, rows = batch["clean"], batch["rollout"].nonzero()[:, 0]
        if not len(rows):
            return clean
        part = {k: v[rows] if v.ndim and len(v) == len(clean) else v for k, v in batch.items()}
        grid = Grid(
            places=grid.places if len(grid.places) == 1 else grid.places[rows],
            valid=None if grid.valid is None else grid.valid[rows],
        )
        condition = self._condition(part, None if text is None else text[rows])
        # Two streams of the same frames: those that are remembered, nearly clean, and those that are drawn from noise.
        # A drawn frame sees the remembered ones that it may see, and itself.
        f = clean.shape[1]
        signal = torch.cat([torch.full_like(part["signal"], 0.9), torch.zeros_like(part["signal"])], dim=1)
        level = torch.cat([torch.full_like(part["level"], 3), torch.zeros_like(part["level"])], dim=1)
        two = {
            k: torch.cat([v, v], dim=1)
            for k, v in condition.__dict__.items()
            if isinstance(v, Tensor) and k != "backward"
        }
        both = replace(condition, **{**two, "signal": signal, "level": level})
        alone = torch.eye(f, dtype=torch.bool, device=clean.device).expand(len(rows), f, f)
        seen, none = part["visible"], torch.zeros_like(alone)
        visible = torch.cat([torch.cat([seen, none], 2), torch.cat([seen & ~alone, alone], 2)], 1)
        times = torch.cat([batch["times"], batch["times"]], dim=1)
        history = self.dit.look(times, visible, grid, self._dtype(clean))
        chosen = ((part["asked"] > 0) & part["has_previous"])[..., None, None]
        latents = part["clean"]
        for _ in range(depth):
            before = self._before(part, latents)
            out = self.dit(
                torch.cat([latents, part["noise"]], dim=1), torch.cat([before, before], dim=1), both, grid, history
            )
            latents = torch.where(chosen, out.clean[:, f:], part["clean"])
        own = clean.clone()
        own[rows] = latents
        return own

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
        train: Sequence[Episodes] | Callable[[int], Sequence[Episodes]],
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
            train: Recordings, one a size; where they change on the way, a function that gives those of a step.
            shares: How often each is drawn.
            seed: Of everything.
            validate: Figures and a picture of the network as it is.
            device: Where.
        """
        self.dit, self.loss, self.stage, self.seed, self.device = dit, loss, stage, seed, device
        self.module = DiTLoss(dit, loss).to(device)
        self._train = train if callable(train) else lambda step: train
        self._shares, self._validate = shares, validate
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
        clips = draw_clips(self._train(step), self._shares, frames=frames, size=size, seed=key)
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
