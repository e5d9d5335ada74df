"""A checkpoint that makes clips of what is known of them: numpy outside, tensors inside.

The ways to make one are in `worldsim.model.engine.director`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim import seeding, spaces, trees
from worldsim.errors import ConfigError, ShapeError, UnsupportedError
from worldsim.model import actions as action_features
from worldsim.model.checkpoint import load_checkpoint
from worldsim.model.codec.config import SPACE
from worldsim.model.codec.network import to_float, to_uint8
from worldsim.model.codec.stream import DecoderState
from worldsim.model.dit.patches import patchify, unpatchify
from worldsim.model.engine import director
from worldsim.model.engine.director import AHEAD, Take
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Worlds
from worldsim.model.text.words import Vocabulary, fit
from worldsim.trees import ArrayTree
from worldsim.types import Frames

_AT_A_TIME = 16  # frames coded, and worlds rolled, at a time: bounds the memory of both


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What is known of B clips of one size and length T; the rest is for the network to make.

    Attributes:
        size: (H, W).
        actions: Tree with leaves (B, T - 1, ...); action i leads from frame i to frame i + 1.
        before: (C, H, W, 3) uint8, the first frames of all, C >= 0; None = none.
        after: (E, H, W, 3) uint8, the last frames of all; alone, the clip is made from its end to its beginning.
        prompts: Frame -> a prompt for each clip, in force from that frame on; "" = none. Backwards and between two ends
            only that of frame 0 is used.
        cuts: Frames that begin anew, from the prompt alone.
        way: Between two ends: "meet" draws from both and blends, "ahead" from the first with the second in sight.
    """

    size: tuple[int, int]
    actions: ArrayTree
    before: Frames | None = None
    after: Frames | None = None
    prompts: Mapping[int, Sequence[str]] = field(default_factory=dict)
    cuts: Collection[int] = ()
    way: Literal["meet", "ahead"] = "meet"

    @property
    def frames(self) -> int:
        """T."""
        return int(np.shape(next(trees.leaves(self.actions)))[1]) + 1

    @property
    def batch(self) -> int:
        """B."""
        return int(np.shape(next(trees.leaves(self.actions)))[0])

    def rows(self, start: int, stop: int) -> Shot:
        """Some of the clips."""
        prompts = {frame: texts[start:stop] for frame, texts in self.prompts.items()}
        return replace(self, actions=trees.index(self.actions, slice(start, stop)), prompts=prompts)


@dataclass(frozen=True, kw_only=True)
class Made:
    """B clips.

    Attributes:
        frames: (B, T, H, W, 3) uint8; known frames are as they were given.
        drawn: (T,) bool, the frames that the network made.
        flow: (B, T) float32, how much each frame changed while it was drawn; NaN where it was not, or in one step.
        codec: (B, T) float32, how far each drawn frame, encoded again, lies from its latent; NaN for known frames.
    """

    frames: Frames
    drawn: NDArray[np.bool_]
    flow: NDArray[np.float32]
    codec: NDArray[np.float32]


class ClipGenerator:
    """A checkpoint that makes clips."""

    def __init__(
        self,
        checkpoint: str | Path = "tiny",
        *,
        steps: int | None = None,
        guidance: float = 1.0,
        device: str = "cpu",
        threads: int | None = 1,
    ) -> None:
        """Loads it.

        Args:
            checkpoint: Name of a bundled one, or a folder.
            steps: Denoising steps, 1, 2, 4 or 8; None = as the checkpoint says.
            guidance: 1 = off; larger = follow the prompt more. It doubles the work where there is a prompt.
            device: "cpu", "cuda", ...
            threads: Threads of torch on a CPU; None = leave them.

        Raises:
            StoreError: If the checkpoint cannot be used.
            ConfigError: If a setting does not fit.
            UnsupportedError: If its latents hold several frames each.
        """
        if threads is not None and device == "cpu":
            torch.set_num_threads(int(threads))
        loaded = load_checkpoint(checkpoint)
        self.info, self.digest = loaded.config, loaded.digest
        if loaded.codec.config.temporal != 1:
            raise UnsupportedError(
                f"{self.info.name} keeps {loaded.codec.config.temporal} frames in one latent; clips are made with one "
                "frame a latent: take a checkpoint whose codec has temporal: 1"
            )
        try:
            self.sampler = SamplerConfig(steps=int(steps or self.info.steps), text_guidance=float(guidance))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        try:
            self.device = torch.device(device)
            self._codec, self._dit = loaded.codec.to(self.device), loaded.dit.to(self.device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise ConfigError(f"device {device!r} cannot be used here ({str(error)[:200]}): take cpu") from error
        config = self._dit.config
        self.window, self.unit = config.window, SPACE * config.patch
        self.action_space: gym.Space[Any] = spaces.build(dict(config.action_space))
        self._words = Vocabulary(config.vocabulary) if config.text_length else None

    @property
    def reads_text(self) -> bool:
        """Whether it was trained with prompts; without, the first frame must be given."""
        return self._words is not None

    def fitting(self, gap: int, ends: int) -> int:
        """How many frames before a gap, at least 1, lie with it and the end within one window, as in training."""
        return max(1, self.window - gap - min(ends, AHEAD))

    def dropped(self, prompt: str) -> int:
        """How many clauses at the end of a caption do not fit into the model's prompts, and are not read."""
        return 0 if self._words is None else fit(prompt, self._dit.config.text_length)[1]

    def make(self, shot: Shot, seeds: Sequence[int]) -> Made:
        """Makes the clips; each depends on its own seed, prompt and actions only.

        Raises:
            ShapeError: For a size that does not split into patches, known frames of another size, actions of another
                space.
            ConfigError: For a word that the checkpoint does not know, or if memory is short.
            UnsupportedError: For a prompt, or a clip from nothing, if it was trained without text.
        """
        self._check(shot, seeds)
        parts = []
        try:
            for i in range(0, shot.batch, _AT_A_TIME):
                parts.append(self._finish(shot, self._take(shot.rows(i, i + _AT_A_TIME), seeds[i : i + _AT_A_TIME])))
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise ConfigError(
                f"out of memory on {self.device} with {shot.batch} clips of {shot.frames} frames, {shot.size[0]}x"
                f"{shot.size[1]}: ask for fewer or smaller ones (--best-of, --frames, --size; {error})"
            ) from error
        return Made(
            frames=np.concatenate([part.frames for part in parts]),
            drawn=parts[0].drawn,
            flow=np.concatenate([part.flow for part in parts]),
            codec=np.concatenate([part.codec for part in parts]),
        )

    def misses(self, shot: Shot, seeds: Sequence[int]) -> NDArray[np.float32]:
        """(B,) how badly each clip meets its end, in latents: how far its actions are from leading there.

        With the way "meet" it is how far the two sides are apart in the gap, with "ahead" how far the last drawn frame
        is from the first of the end.

        Raises:
            ShapeError: If not both ends are known, nothing is to be drawn, or as for `make`.
        """
        self._check(shot, seeds)
        if shot.after is None or shot.before is None:
            raise ShapeError("misses needs both ends of the clip: give before and after")
        target = self._encode(shot.after[:1])[:, 0]
        out = []
        for i in range(0, shot.batch, _AT_A_TIME):
            part, own = shot.rows(i, i + _AT_A_TIME), seeds[i : i + _AT_A_TIME]
            take, apart = self._between(part, own) if shot.way == "meet" else (self._take(part, own), None)
            out.append((director.landing(take, target) if apart is None else apart).float().cpu().numpy())
        return np.concatenate(out).astype(np.float32)

    def guess_actions(self, frames: Frames, candidates: ArrayTree, *, seed: int) -> ArrayTree:
        """The actions between known frames, as far as the network can tell.

        Step by step it is that of the candidates after which the drawn frame lies nearest to the known one.

        Args:
            frames: (C, H, W, 3) uint8.
            candidates: Leaves (S, ...), single actions.
            seed: Of what is drawn.

        Returns:
            Leaves (C - 1, ...).
        """
        count = trees.length(candidates)
        chosen: list[int] = []
        latents = self._encode(frames)
        for t in range(1, len(frames)):
            first = max(0, t - self.window)
            past = np.array(chosen[first:], np.int64)
            moves = trees.map_leaves(
                lambda x, past=past: np.concatenate([np.repeat(x[past][None], count, axis=0), x[:, None]], axis=1),
                candidates,
            )
            shot = Shot(size=frames.shape[1:3], actions=moves, before=frames[first:t])
            take = self._take(shot, [seeding.hash_seed("guess", seed, t)] * count)
            chosen.append(int(director.landing(take, latents[:, t]).argmin()))
        return trees.index(candidates, np.array(chosen, np.int64))

    # -------------------------------------------------------------------------------------------------------- private

    def _check(self, shot: Shot, seeds: Sequence[int]) -> None:
        h, w = shot.size
        if h < 1 or w < 1 or h % self.unit or w % self.unit:
            raise ShapeError(f"{self.info.name} makes frames with sides in multiples of {self.unit}, got {h}x{w}")
        for name, frames in (("before", shot.before), ("after", shot.after)):
            if frames is not None and frames.shape[1:3] != (h, w):
                raise ShapeError(
                    f"the known frames {name} the rest are {frames.shape[1]}x{frames.shape[2]}, the clip is {h}x{w}: "
                    "all frames of a clip have one size"
                )
        if len(seeds) != shot.batch:
            raise ShapeError(f"one seed for each of {shot.batch} clips is needed, got {len(seeds)}")
        known = sum(len(frames) for frames in (shot.before, shot.after) if frames is not None)
        if known > shot.frames:
            raise ShapeError(f"{known} frames are known of a clip of {shot.frames}: give actions for at least as many")
        said = any(text for texts in shot.prompts.values() for text in texts)
        if not self.reads_text and (said or not known or shot.cuts):
            raise UnsupportedError(
                f"{self.info.name} was trained without text: it reads no prompt, and needs a first frame (--image or "
                "--clip)"
            )

    def _take(self, shot: Shot, seeds: Sequence[int]) -> Take:
        if shot.before is not None and shot.after is not None and shot.way == "meet":
            return self._between(shot, seeds)[0]
        worlds, before, after, actions, prompts = self._prepare(shot)
        if after is None:
            first = worlds.previous.new_zeros(shot.batch, 0, *worlds.previous.shape[1:]) if before is None else before
            return director.go_on(worlds, first, actions, seeds, prompts=prompts, cuts=shot.cuts)
        if before is None:
            return director.go_back(worlds, after, actions, seeds, words=prompts.get(0))
        return director.go_between(worlds, before, after, actions, seeds, words=prompts.get(0))

    def _between(self, shot: Shot, seeds: Sequence[int]) -> tuple[Take, Tensor]:
        worlds, before, after, actions, prompts = self._prepare(shot)
        if before is None or after is None:
            raise ShapeError("a clip between two ends needs a frame of each at least")
        return director.meet(worlds, before, after, actions, seeds, words=prompts.get(0))

    @torch.no_grad()
    def _prepare(self, shot: Shot) -> tuple[Worlds, Tensor | None, Tensor | None, Tensor, dict[int, Tensor | None]]:
        """Worlds, both ends, scaled actions and prompts as the director takes them."""
        b = shot.batch
        cells = (shot.size[0] // SPACE, shot.size[1] // SPACE)
        said = any(text for texts in shot.prompts.values() for text in texts)
        sampler = self.sampler if said else replace(self.sampler, text_guidance=1.0)  # else the same twice, for nothing
        worlds = Worlds(self._dit, sampler, b, cells, device=self.device)
        features = action_features.features(shot.actions, dict(self._dit.config.action_space))
        scaled = features / np.asarray(self._dit.config.action_scale, np.float32)
        actions = torch.from_numpy(np.ascontiguousarray(scaled)).to(self.device)
        before, after = (self._known(frames, b) for frames in (shot.before, shot.after))
        prompts = {frame: self._read(texts) for frame, texts in sorted(shot.prompts.items())}
        return worlds, before, after, actions, prompts

    def _known(self, frames: Frames | None, batch: int) -> Tensor | None:
        if frames is None or not len(frames):
            return None
        return self._encode(frames).expand(batch, -1, -1, -1)

    @torch.no_grad()
    def _encode(self, frames: Frames) -> Tensor:
        """(T, H, W, 3) uint8 -> (1, T, N, P)."""
        parts = []
        for i in range(0, len(frames), _AT_A_TIME):
            piece = torch.from_numpy(np.ascontiguousarray(frames[i : i + _AT_A_TIME])).to(self.device)
            parts.append(self._codec.encode(to_float(piece)[None]))
        return patchify(torch.cat(parts, dim=1), self._dit.config.patch)

    def _read(self, prompts: Sequence[str]) -> Tensor | None:
        if self._words is None or not any(prompts):
            return None
        return torch.from_numpy(self._words.encode_batch(list(prompts), self._dit.config.text_length)).to(self.device)

    @torch.no_grad()
    def _finish(self, shot: Shot, take: Take) -> Made:
        """Decodes in the order of watching, a few frames at a time, and puts known frames back as they were."""
        cells = (shot.size[0] // SPACE, shot.size[1] // SPACE)
        latents = unpatchify(take.latents, cells, self._dit.config.patch)
        state, frames, errors = DecoderState(), [], []
        for i in range(0, latents.shape[1], _AT_A_TIME):
            piece = latents[:, i : i + _AT_A_TIME]
            decoded, state = self._codec.decode_chunk(piece, state)
            frames.append(to_uint8(decoded).cpu().numpy())
            again = torch.cat([self._codec.encode(clip[None]) for clip in decoded.clamp(0, 1)])
            errors.append((again - piece).square().mean(dim=(2, 3, 4)).sqrt().float().cpu().numpy())
        made = np.concatenate(frames, axis=1)
        drawn = take.drawn.numpy()
        if shot.before is not None and len(shot.before):
            made[:, : len(shot.before)] = shot.before
        if shot.after is not None and len(shot.after):
            made[:, made.shape[1] - len(shot.after) :] = shot.after
        flow = take.instability.float().cpu().numpy()
        sure = drawn[None] & (self.sampler.steps > 1)
        return Made(
            frames=made,
            drawn=drawn,
            flow=np.where(sure, flow, np.float32(np.nan)),
            codec=np.where(drawn[None], np.concatenate(errors, axis=1), np.float32(np.nan)),
        )
