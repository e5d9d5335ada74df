"""Our simulator at the door: a checkpoint as a `WorldModel`, numpy outside, tensors inside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim import spaces, trees
from worldsim.errors import ConfigError, ContractError, ShapeError, UnsupportedError
from worldsim.model import actions as action_features
from worldsim.model.checkpoint import Checkpoint, load_checkpoint
from worldsim.model.codec.network import to_float, to_uint8
from worldsim.model.codec.stream import DecoderState
from worldsim.model.dit.patches import patchify, unpatchify
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Step, Worlds
from worldsim.model.flow import symexp
from worldsim.model.text.words import Vocabulary
from worldsim.trees import ArrayTree, Tree
from worldsim.types import Context, Frames, ModelSpec, Prediction

UNCERTAINTIES = ("flow", "codec")


class LatentSimulator:
    """A latent diffusion transformer that is played: discrete, continuous or dict actions, prompts, any size."""

    def __init__(
        self,
        checkpoint: str | Path = "tiny",
        *,
        steps: int | None = None,
        device: str = "cpu",
        threads: int | None = 1,
        text_guidance: float = 1.0,
        history_guidance: float = 1.0,
        context_noise: float = 0.1,
        uncertainty: Sequence[str] = ("flow",),
        backend: str = "eager",
    ) -> None:
        """Loads it.

        Args:
            checkpoint: Name of a bundled one, or a folder.
            steps: Denoising steps, 1, 2, 4 or 8; None = as the checkpoint says.
            device: "cpu", "cuda", ...
            threads: Threads of torch on a CPU; None = leave them. One is fastest where cores are shared.
            text_guidance: 1 = off; larger = follow the prompt more.
            history_guidance: 1 = off; larger = keep to the past more.
            context_noise: How noisy the network is told that its past is.
            uncertainty: Which signals `Prediction.extras` holds: "flow" (how much the frame changed while it was drawn),
                "codec" (how far the frame, encoded again, lies from its latent; costs an encoding).
            backend: A name of `worldsim.model.backends`.

        Raises:
            StoreError: If the checkpoint cannot be used.
            ConfigError: If a setting does not fit.
        """
        if strangers := set(uncertainty) - set(UNCERTAINTIES):
            raise ConfigError(f"uncertainty is any of {', '.join(UNCERTAINTIES)}, got {sorted(strangers)}")
        if threads is not None and device == "cpu":
            torch.set_num_threads(int(threads))
        loaded: Checkpoint = load_checkpoint(checkpoint)
        try:
            self._sampler = SamplerConfig(
                steps=int(steps or loaded.config.steps),
                context_noise=float(context_noise),
                text_guidance=float(text_guidance),
                history_guidance=float(history_guidance),
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.checkpoint, self.device, self._uncertainty = loaded, torch.device(device), tuple(uncertainty)
        self.codec, self.dit = loaded.codec.to(self.device), loaded.dit.to(self.device)
        from worldsim.model.backends import make_backend

        self._backend = make_backend(backend, self.codec, self.dit, self._sampler)
        config = self.dit.config
        self._space = dict(config.action_space)
        self._scale = np.asarray(config.action_scale, np.float32)
        self._words = Vocabulary(config.vocabulary) if config.text_length else None
        self._spec = ModelSpec(
            name=loaded.config.name,
            fps=loaded.config.fps,
            frames_per_step=config.temporal,
            action_space=spaces.build(self._space),
            context_length=0 if self._words is not None else 1,
            accepts_text=self._words is not None,
            stochastic=True,
        )
        self._worlds: Worlds | None = None
        self._decoder = DecoderState()

    # ------------------------------------------------------------------------------------------------ the interface

    @property
    def spec(self) -> ModelSpec:
        """What it accepts and gives."""
        return self._spec

    def reset(self, context: Context, *, seeds: Sequence[int], indices: Sequence[int] | None = None) -> None:
        """Starts worlds; see `WorldModel.reset`.

        Raises:
            ShapeError: For a size that does not split into patches, or another size than the batch has.
            ConfigError: For a prompt with a word that the checkpoint does not know.
        """
        b, size = context.batch, self._cells(context)
        if len(seeds) != b:
            raise ShapeError(f"reset needs one seed for each of the {b} rows, got {len(seeds)}")
        if indices is None:
            rows = list(range(b))
            worlds = self._make_worlds(b, size)
        else:
            rows, worlds = [int(i) for i in indices], self._running()
            if sorted(set(rows)) != sorted(rows) or not all(0 <= i < worlds.batch for i in rows) or len(rows) != b:
                raise ContractError(
                    f"indices must be {b} different worlds of the batch, 0..{worlds.batch - 1}, got {list(indices)}"
                )
            if worlds.size != size:
                raise ShapeError(
                    f"this batch has frames of {worlds.size[0] * 8}x{worlds.size[1] * 8}, got "
                    f"{size[0] * 8}x{size[1] * 8}; all worlds of a batch have one size"
                )
        with torch.no_grad(), self._memory(worlds.batch, size):
            latents, actions = self._encode(context)
            words = self._read(context.prompts)
            worlds.start(rows, latents, actions, [int(s) for s in seeds], words)
            self._start_decoder(worlds, rows, latents)
        self._worlds = worlds

    def step(self, actions: ArrayTree) -> Prediction:
        """The next n frames of every world: (B, n, H, W, 3).

        Raises:
            ContractError: Before the first reset.
            ShapeError: For actions that are not of the checkpoint's space.
        """
        worlds = self._running()
        n = self._spec.frames_per_step
        for leaf in trees.leaves(actions):
            if np.shape(leaf)[:2] != (worlds.batch, n):
                raise ShapeError(
                    f"actions must have leaves (B, n, ...) = ({worlds.batch}, {n}, ...), got {np.shape(leaf)}"
                )
        features = self._features(actions).mean(axis=1)
        with torch.no_grad(), self._memory(worlds.batch, worlds.size):
            step = worlds.step(torch.from_numpy(features).to(self.device))
            latents = unpatchify(step.clean, worlds.size, self.dit.config.patch)[:, None]
            decoded, self._decoder = self._backend.decode(latents, self._decoder)
        return self._prediction(step, latents, decoded)

    def set_prompt(self, prompts: Sequence[str], indices: Sequence[int] | None = None) -> None:
        """From the next step on, these worlds follow these prompts."""
        worlds = self._running()
        rows = list(range(worlds.batch)) if indices is None else [int(i) for i in indices]
        if self._words is None:
            raise UnsupportedError(f"{self._spec.name} was trained without text")
        if len(prompts) != len(rows):
            raise ShapeError(f"set_prompt needs one prompt for each of {len(rows)} worlds, got {len(prompts)}")
        worlds.set_words(rows, self._read(prompts))

    def snapshot(self, index: int) -> Tree:
        """The whole state of one world: numpy arrays and plain values."""
        worlds = self._running()
        past = self._decoder.past
        state: dict[str, Any] = {
            name: value.float().cpu().numpy() if value.is_floating_point() else value.cpu().numpy()
            for name, value in worlds.read(index).items()
            if isinstance(value, Tensor)
        }
        state |= {k: v for k, v in worlds.read(index).items() if not isinstance(v, Tensor)}
        state["size"] = list(worlds.size)
        state["weights"] = self.checkpoint.digest
        state["decoder"] = np.zeros(0, np.float32) if past is None else past[index].cpu().numpy()
        return state

    def restore(self, state: Tree, index: int) -> None:
        """Sets one world of the batch to a kept state; what follows is bit-equal.

        Raises:
            ContractError: For a state of other weights or another size.
        """
        worlds = self._running()
        if state.get("weights") != self.checkpoint.digest:
            raise ContractError("this snapshot was taken with other weights: restore it with the checkpoint it is from")
        if tuple(state["size"]) != worlds.size:
            raise ContractError(
                f"this snapshot has frames of {state['size'][0] * 8}x{state['size'][1] * 8}, the batch "
                f"{worlds.size[0] * 8}x{worlds.size[1] * 8}: reset the batch with that size first"
            )
        worlds.write(
            index, {k: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for k, v in state.items()}
        )
        if self._decoder.past is not None:
            past = self._decoder.past.clone()
            past[index] = torch.from_numpy(np.array(state["decoder"])).to(past)
            self._decoder = DecoderState(past=past, started=True)

    def round_trip(self, frames: Frames) -> Frames:
        """(T, H, W, 3) through the codec: the ceiling of what it can show."""
        with torch.no_grad():
            x = to_float(torch.from_numpy(np.ascontiguousarray(frames))).to(self.device)
            out = []
            state = DecoderState()
            for part in x.split(32):  # bounded memory; the decoder's state is carried
                latents = torch.cat([self.codec.encode(f[None, None]) for f in part], dim=1) if self.codec.config.temporal == 1 else self.codec.encode(x[None])
                decoded, state = self.codec.decode_chunk(latents, state)
                out.append(to_uint8(decoded[0]).cpu().numpy())
                if self.codec.config.temporal != 1:
                    break
        return np.concatenate(out)[: len(frames)]

    def close(self) -> None:
        """Forgets the worlds; may be called twice."""
        self._worlds, self._decoder = None, DecoderState()

    # -------------------------------------------------------------------------------------------------------- private

    def _running(self) -> Worlds:
        if self._worlds is None:
            raise ContractError("step before reset: call reset(context, seeds=...) first")
        return self._worlds

    def _make_worlds(self, batch: int, size: tuple[int, int]) -> Worlds:
        with self._memory(batch, size):
            return Worlds(
                self.dit, self._sampler, batch, size, network=self._backend.network, device=self.device
            )

    def _cells(self, context: Context) -> tuple[int, int]:
        h, w = context.frames.shape[2:4]
        unit = 8 * self.dit.config.patch
        if h % unit or w % unit or not h or not w:
            raise ShapeError(f"{self._spec.name} draws frames with sides in multiples of {unit}, got {h}x{w}")
        if context.frames.shape[1] < self._spec.context_length:
            raise ShapeError(f"{self._spec.name} reads no text and needs at least one frame of context, got none")
        return h // 8, w // 8

    def _encode(self, context: Context) -> tuple[Tensor, Tensor]:
        """Latents (B, L, N, P) and scaled action features (B, L - 1, A) of a context."""
        config, (b, c) = self.dit.config, context.frames.shape[:2]
        width = self.dit.action_features
        n = config.temporal
        if c == 0:
            size = self._cells(context)
            tokens = (size[0] // config.patch) * (size[1] // config.patch)
            return torch.zeros(b, 0, tokens, config.token, device=self.device), torch.zeros(b, 0, width, device=self.device)
        used = 1 + (min(c, 4 * config.window * n) - 1) // n * n
        frames = torch.from_numpy(np.ascontiguousarray(context.frames[:, c - used :])).to(self.device)
        latents = torch.cat([self.codec.encode(to_float(f[None])) for f in frames])
        if used == 1:
            features = np.zeros((b, 0, width), np.float32)
        else:
            steps = trees.map_leaves(lambda x: np.asarray(x)[:, c - used :], context.actions)
            features = self._features(steps).reshape(b, -1, n, width).mean(axis=2)
        return patchify(latents, config.patch), torch.from_numpy(features).to(self.device)

    def _features(self, actions: ArrayTree) -> Any:
        return action_features.features(actions, self._space) / self._scale

    def _read(self, prompts: Sequence[str]) -> Tensor | None:
        if self._words is None or not any(prompts):
            return None
        length = self.dit.config.text_length
        return torch.from_numpy(self._words.encode_batch(list(prompts), length)).to(self.device)

    def _start_decoder(self, worlds: Worlds, rows: list[int], latents: Tensor) -> None:
        """The decoder looks back on the last frames of the context."""
        codec, config = self.codec, self.dit.config
        kernel = codec.config.time_kernel - 1
        if not kernel:
            self._decoder = DecoderState(started=True)
            return
        width = codec.config.decoder[0]
        past = self._decoder.past
        if past is None or past.shape[0] != worlds.batch or past.shape[-2:] != worlds.size or len(rows) == worlds.batch:
            past = torch.zeros(worlds.batch, kernel, width, *worlds.size, device=self.device)
        past = past.clone()
        past[rows] = 0.0
        if latents.shape[1]:
            last = unpatchify(latents[:, -kernel:], worlds.size, config.patch)
            seen = codec.decode_chunk(last, DecoderState(started=True))[1].past
            assert seen is not None
            past[rows] = seen
        # With temporal compression a world's first latent of all gives one frame only; the engine's steps give n.
        self._decoder = DecoderState(past=past, started=True)

    def _prediction(self, step: Step, latents: Tensor, decoded: Tensor) -> Prediction:
        n = self._spec.frames_per_step
        extras: dict[str, Any] = {}
        if "flow" in self._uncertainty and self._sampler.steps > 1:
            extras["uncertainty_flow"] = _spread(step.instability, n)
        if "codec" in self._uncertainty and n == 1:
            with torch.no_grad():
                again = torch.cat([self.codec.encode(f[None]) for f in decoded.clamp(0, 1)])
            extras["uncertainty_codec"] = _spread((again - latents).square().mean(dim=(1, 2, 3, 4)).sqrt(), n)
        return Prediction(
            frames=to_uint8(decoded).cpu().numpy(),
            rewards=_spread(symexp(step.reward) / n, n),
            terminated=_last(step.end > 0, n),
            truncated=np.zeros((len(decoded), n), np.bool_),
            extras=extras,
        )

    @contextlib.contextmanager
    def _memory(self, batch: int, size: tuple[int, int]) -> Iterator[None]:
        """Says what did not fit, instead of a traceback from an allocator."""
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise ConfigError(
                f"out of memory on {self.device} with {batch} worlds of {size[0] * 8}x{size[1] * 8}: use a smaller "
                f"--batch or size ({error})"
            ) from error


def _spread(x: Tensor, n: int) -> Any:
    """(B,) -> (B, n) float32: the same for each of the n frames."""
    return np.repeat(x.float().cpu().numpy()[:, None], n, axis=1)


def _last(x: Tensor, n: int) -> Any:
    """(B,) bool -> (B, n): an end belongs to the last of n frames."""
    out = np.zeros((len(x), n), np.bool_)
    out[:, -1] = x.cpu().numpy()
    return out


class DiTTiny(LatentSimulator):
    """`worldsim/DiT-tiny`: the checkpoint that comes with worldsim."""
