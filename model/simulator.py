"""Our simulator: a checkpoint as a `WorldModel`, numpy outside, tensors inside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim import spaces
from worldsim.errors import ConfigError, ContractError, ShapeError, UnsupportedError
from worldsim.model import world_state
from worldsim.model.backends import make_backend
from worldsim.model.checkpoint import load_checkpoint
from worldsim.model.codec.network import to_float, to_uint8
from worldsim.model.codec.stream import DecoderState, EncoderState
from worldsim.model.dit.patches import unpatchify
from worldsim.model.door import Canvas, Door
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Step, Worlds
from worldsim.model.flow import symexp
from worldsim.model.screen import Screen
from worldsim.trees import ArrayTree, Tree
from worldsim.types import Context, Frames, ModelSpec, Prediction

UNCERTAINTIES = ("flow", "codec", "seeds")
_CHUNK = 32  # frames that `round_trip` codes at once


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
        fused: bool = False,
        uncertainty: Sequence[str] = ("flow",),
        redraws: int = 3,
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
            fused: Commit each frame together with the first step of the next: the same frames with one pass less;
                rewards and ends are then what the last denoising step says.
            uncertainty: Which signals `Prediction.extras` holds as "uncertainty_...": "flow" (how much the frame
                changed while it was drawn; from two steps on), "codec" (how far the frame, encoded again, lies from its
                latent; costs an encoding), "seeds" (how far draws with other noise spread; costs `redraws` more draws).
            redraws: Of "seeds".
            backend: A name of `worldsim.model.backends`.

        Raises:
            StoreError: If the checkpoint cannot be used.
            ConfigError: If a setting does not fit.
        """
        asked = (uncertainty,) if isinstance(uncertainty, str) else tuple(uncertainty)
        if strangers := set(asked) - set(UNCERTAINTIES):
            raise ConfigError(f"uncertainty is any of {', '.join(UNCERTAINTIES)}, got {sorted(strangers)}")
        if threads is not None and device == "cpu":
            torch.set_num_threads(int(threads))
        loaded = load_checkpoint(checkpoint)
        try:
            self._sampler = SamplerConfig(
                steps=int(steps or loaded.config.steps),
                context_noise=float(context_noise),
                text_guidance=float(text_guidance),
                history_guidance=float(history_guidance),
                fused=bool(fused),
                redraws=int(redraws) if "seeds" in asked else 0,
            )
            self.device = torch.device(device)
            with self._memory("to load the checkpoint"):
                self.codec, self.dit = loaded.codec.to(self.device), loaded.dit.to(self.device)
        except (ValueError, RuntimeError, AssertionError) as error:  # torch's, for a device that is not there
            raise ConfigError(str(error)) from error
        self.checkpoint, self._uncertainty = loaded, asked
        self._backend = make_backend(backend, self.codec, self.dit, self._sampler)
        config = self.dit.config
        self._door = Door(self.codec, config, self.device)
        reads = self._door.words is not None
        self._spec = ModelSpec(
            name=loaded.config.name,
            fps=loaded.config.fps,
            frames_per_step=config.temporal,
            action_space=spaces.build(dict(config.action_space)),
            context_length=0 if reads else 1,
            accepts_text=reads,
            stochastic=True,
        )
        self._worlds: Worlds | None = None
        self._screen: Screen | None = None
        self._canvas: Canvas | None = None

    # ------------------------------------------------------------------------------------------------ the interface

    @property
    def spec(self) -> ModelSpec:
        """What it accepts and gives."""
        return self._spec

    def reset(self, context: Context, *, seeds: Sequence[int], indices: Sequence[int] | None = None) -> None:
        """Starts worlds; see `WorldModel.reset`. If it fails, the worlds that there are live on.

        Raises:
            ShapeError: For frames smaller than a token or of another size than the batch has, and actions that are not
                of the checkpoint's space.
            ConfigError: For a prompt with a word that the checkpoint does not know, or if memory runs out.
        """
        b, (height, width) = context.batch, context.frames.shape[2:4]
        canvas = Canvas(height=height, width=width, patch=self.dit.config.patch)
        if len(seeds) != b:
            raise ShapeError(f"reset needs one seed for each of the {b} rows, got {len(seeds)}")
        if context.frames.shape[1] < self._spec.context_length:
            raise ShapeError(f"{self._spec.name} reads no text and needs at least one frame of context, got none")
        if indices is not None:
            rows = self._rows(indices, b)
            if canvas != self._canvas:
                raise ShapeError(
                    f"all worlds of a batch have one size, here {_size(self._canvas)}, got {_size(canvas)}: reset the "
                    "whole batch for another"
                )
        else:
            rows = list(range(b))
        with torch.no_grad(), self._memory(f"for {b} worlds of {_size(canvas)}"):
            latents, actions = self._door.context(context, canvas)
            words = self._door.read(context.prompts)
            if indices is None:
                self._backend.prepare(b, canvas.cells)
                worlds = Worlds(
                    self.dit,
                    self._sampler,
                    b,
                    canvas.cells,
                    network=self._backend.network,
                    device=self.device,
                    dtype=self._backend.dtype,
                )
                screen = Screen(self.codec, self._backend.decode, b, canvas.cells)
            else:
                worlds, screen, _ = self._running()
            worlds.start(rows, latents, actions, [int(s) for s in seeds], words)
            screen.start(rows, unpatchify(latents, canvas.cells, self.dit.config.patch))
        self._worlds, self._screen, self._canvas = worlds, screen, canvas

    def step(self, actions: ArrayTree) -> Prediction:
        """The next n frames of every world: (B, n, H, W, 3).

        Raises:
            ContractError: Before the first reset.
            ShapeError: For actions that are not of the checkpoint's space.
        """
        worlds, screen, canvas = self._running()
        features = self._door.actions(actions, worlds.batch)
        with torch.no_grad(), self._memory(f"for {worlds.batch} worlds of {_size(canvas)}"):
            step = worlds.step(features)
            latents = unpatchify(step.clean, worlds.size, self.dit.config.patch)[:, None]
            decoded = screen.show(latents)
            signals = self._signals(step, latents, decoded)
        n = self._spec.frames_per_step
        return Prediction(
            frames=canvas.cut(to_uint8(decoded).cpu().numpy()),
            rewards=_spread(symexp(step.reward) / n, n),
            terminated=_last(step.end > 0, n),
            truncated=np.zeros((worlds.batch, n), np.bool_),
            extras={f"uncertainty_{name}": _spread(value, n) for name, value in signals.items()},
        )

    def set_prompt(self, prompts: Sequence[str], indices: Sequence[int] | None = None) -> None:
        """From the next step on, these worlds follow these prompts.

        Raises:
            UnsupportedError: If the checkpoint reads no text.
            ConfigError: For a word that it does not know.
        """
        worlds, _, _ = self._running()
        if self._door.words is None:
            raise UnsupportedError(f"{self._spec.name} was trained without text")
        rows = self._rows(range(worlds.batch) if indices is None else indices, len(prompts))
        worlds.set_words(rows, self._door.read(prompts))

    def snapshot(self, index: int) -> Tree:
        """The whole state of one world: numpy arrays and plain values."""
        worlds, screen, canvas = self._running()
        row = self._rows([index], 1)[0]
        return world_state.to_tree(worlds.read(row), screen.read(row), canvas, self.checkpoint.digest)

    def restore(self, state: Tree, index: int) -> None:
        """Sets one world of the batch to a kept state; what follows is bit-equal in a batch of the same size.

        Raises:
            ContractError: For what is no snapshot, or one of other weights, another size or another form.
        """
        worlds, screen, canvas = self._running()
        row = self._rows([index], 1)[0]
        world, past = world_state.from_tree(state, canvas, self.checkpoint.digest)
        worlds.write(row, world)
        screen.write(row, past)

    def round_trip(self, frames: Frames) -> Frames:
        """(T, H, W, 3) through the codec: the ceiling of what it can show. Memory is bounded, whatever T is."""
        t, height, width = frames.shape[:3]
        canvas = Canvas(height=height, width=width, patch=self.dit.config.patch)
        encoder, decoder, out = EncoderState(), DecoderState(), []
        with torch.no_grad(), self._memory(f"for frames of {_size(canvas)}"):
            for start in range(0, t, _CHUNK):
                part = frames[start : start + _CHUNK]
                if start + _CHUNK >= t:  # the last frame is repeated until its latent is full
                    part = np.concatenate([part, frames[-1:].repeat(-(t - 1) % self.dit.config.temporal, axis=0)])
                x = to_float(torch.from_numpy(canvas.put(part)).to(self.device))
                latents, encoder = self.codec.encode_chunk(x[None], encoder)
                decoded, decoder = self.codec.decode_chunk(latents, decoder)
                out.append(canvas.cut(to_uint8(decoded[0]).cpu().numpy()))
        return np.concatenate(out)[:t] if out else frames.copy()

    def close(self) -> None:
        """Forgets the worlds; may be called twice."""
        self._worlds, self._screen, self._canvas = None, None, None

    # -------------------------------------------------------------------------------------------------------- private

    def _running(self) -> tuple[Worlds, Screen, Canvas]:
        if self._worlds is None or self._screen is None or self._canvas is None:
            raise ContractError("there are no worlds yet: call reset(context, seeds=...) first")
        return self._worlds, self._screen, self._canvas

    def _rows(self, indices: Sequence[int], count: int) -> list[int]:
        """`indices` as different worlds of the batch, `count` of them."""
        batch, rows = self._running()[0].batch, [int(i) for i in indices]
        if len(set(rows)) != len(rows) or not all(0 <= i < batch for i in rows) or len(rows) != count:
            raise ContractError(f"indices must be {count} different worlds of the batch, 0..{batch - 1}, got {rows}")
        return rows

    def _signals(self, step: Step, latents: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """Name -> (B,) how unsure the frames of a step are."""
        signals = {}
        if "flow" in self._uncertainty and self._sampler.steps > 1:
            signals["flow"] = step.instability
        if "seeds" in self._uncertainty and step.spread is not None:
            signals["seeds"] = step.spread
        if "codec" in self._uncertainty:
            going_on = EncoderState(started=True)  # n frames fill one latent
            again = self.codec.encode_chunk(decoded.clamp(0, 1), going_on)[0]
            signals["codec"] = (again - latents).square().mean(dim=(1, 2, 3, 4)).sqrt()
        return signals

    @contextlib.contextmanager
    def _memory(self, what: str) -> Iterator[None]:
        """Says what did not fit, instead of a traceback from an allocator."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError; its CPU has no own
            known = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
            if not known:
                raise
            raise ConfigError(
                f"not enough memory on {self.device} {what}: use a smaller batch (--batch) or smaller frames ({error})"
            ) from error


def _size(canvas: Canvas | None) -> str:
    return "none" if canvas is None else f"{canvas.height}x{canvas.width}"


def _spread(x: Tensor, n: int) -> NDArray[np.float32]:
    """(B,) -> (B, n) float32: the same for each of the n frames."""
    return np.repeat(x.float().cpu().numpy()[:, None], n, axis=1)


def _last(x: Tensor, n: int) -> NDArray[np.bool_]:
    """(B,) bool -> (B, n): an end belongs to the last of n frames."""
    out = np.zeros((len(x), n), np.bool_)
    out[:, -1] = x.cpu().numpy()
    return out


class DiTTiny(LatentSimulator):
    """`worldsim/DiT-tiny`: the checkpoint that comes with worldsim."""
