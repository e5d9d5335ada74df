"""What a back end is, and how one is made by its name."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldsim.errors import ConfigError, nearest
from worldsim.model.backends.compiled import compiled_decoder, compiled_frame
from worldsim.model.backends.decoder import DecoderNet, empty_past
from worldsim.model.backends.export import decoder_file, frame_file
from worldsim.model.backends.frame import FrameNet
from worldsim.model.backends.fused import frame_net
from worldsim.model.backends.packed import packed
from worldsim.model.backends.player import Maker, Player, fits
from worldsim.model.backends.quantized import quantized
from worldsim.model.backends.sessions import ExportedDecoder, ExportedFrame, OnnxSession, OpenVinoSession, Session, need
from worldsim.model.codec.network import VideoCodec
from worldsim.model.codec.stream import DecoderState
from worldsim.model.dit.condition import Condition, Output
from worldsim.model.dit.network import DiT
from worldsim.model.dit.patches import Grid, grid
from worldsim.model.engine.sampler import Network, SamplerConfig

NAMES = ("eager", "compile", "bf16", "int8", "onnx", "openvino", "openvino-bf16")

#: (latents (B, 1, Z, h, w), past) -> (frames, past), as `DecoderNet`.
Decoding = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Backend:
    """A network and a decoder.

    Attributes:
        name: One of `NAMES`.
        network: For `worldsim.model.engine.worlds.Worlds`.
        dtype: In which the cache is kept.
    """

    def __init__(
        self,
        name: str,
        codec: VideoCodec,
        network: Player,
        decoding: Callable[[Tensor], Decoding],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """`decoding` makes the decoder for latents of one shape."""
        self.name, self.codec, self.network, self.dtype = name, codec, network, dtype
        self._make, self._shape = decoding, torch.Size()
        self._decoding: Decoding | None = None

    def prepare(self, batch: int, size: tuple[int, int]) -> None:
        """Makes all that worlds of (h, w) latent cells need, so that the first frame does not wait for it.

        Where that takes long it is said on stderr. May be called again; what is ready stays.
        """
        config = self.network.config
        device = self.codec.latent_mean.device
        with torch.no_grad():
            self.network.prepare(batch, grid(size, config.patch, device))
            latents = torch.zeros(batch, 1, config.channels, *size, device=device)
            self._decoder(latents)(latents, empty_past(self.codec, latents))

    def decode(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """As `VideoCodec.decode_chunk`; the step of play, one latent after others, is the fast one."""
        if latents.shape[1] != 1 or not state.started:
            return self.codec.decode_chunk(latents, state)
        past = empty_past(self.codec, latents) if state.past is None else state.past
        frames, after = self._decoder(latents)(latents, past)
        return frames, DecoderState(past=after if after.shape[1] else None, started=True)

    def _decoder(self, latents: Tensor) -> Decoding:
        if self._decoding is None or self._shape != latents.shape:
            self._decoding, self._shape = self._make(latents), latents.shape
        return self._decoding


def make_backend(name: str, codec: VideoCodec, dit: DiT, sampler: SamplerConfig) -> Backend:
    """The back end of a name.

    Args:
        name: One of `NAMES`.
        codec: In evaluation mode.
        dit: In evaluation mode; later changes of its weights are not seen.
        sampler: How frames will be drawn.

    Raises:
        ConfigError: For a name that does not exist, or settings for which there is no graph to export.
        PrerequisiteError: If it needs a package that is missing.
        UnsupportedError: If torch lacks the kernels.
    """
    if name not in NAMES:
        raise ConfigError(f"no back end is called {name!r}.{nearest(name, NAMES)} Known: {', '.join(NAMES)}.")
    exports = name in ("onnx", "openvino", "openvino-bf16")
    if exports and not fits(dit.config, sampler):
        raise ConfigError(
            f"the back end {name} draws whole frames: it needs full time attention, a register and no "
            "guidance; use eager for these settings"
        )
    if (exports or name == "int8") and dit.flags.device.type != "cpu":
        raise ConfigError(f"the back end {name} runs on the CPU: use eager, compile or bf16 on {dit.flags.device}")
    make: dict[str, Callable[[VideoCodec, DiT, SamplerConfig], Backend]] = {
        "eager": _eager,
        "compile": _compile,
        "bf16": _bfloat16,
        "int8": _int8,
        "onnx": functools.partial(_exported, "onnx"),
        "openvino": functools.partial(_exported, "openvino"),
        "openvino-bf16": functools.partial(_exported, "openvino-bf16"),
    }
    return make[name](codec, dit, sampler)


def _eager(codec: VideoCodec, dit: DiT, sampler: SamplerConfig) -> Backend:
    decoder = DecoderNet(packed(codec))
    make: Maker = lambda batch, places: packed(frame_net(dit, sampler, places))  # noqa: E731
    return Backend("eager", codec, Player(packed(dit), dit.config, sampler, make), lambda latents: decoder)


def _compile(codec: VideoCodec, dit: DiT, sampler: SamplerConfig) -> Backend:
    decoder = DecoderNet(codec)
    player = Player(dit, dit.config, sampler, functools.partial(compiled_frame, dit, sampler))
    return Backend(
        "compile", codec, player, lambda latents: compiled_decoder(decoder, latents, empty_past(codec, latents))
    )


def _bfloat16(codec: VideoCodec, dit: DiT, sampler: SamplerConfig) -> Backend:
    half = torch.bfloat16
    decoder = DecoderNet(packed(copy.deepcopy(codec).to(half)))

    def decode(latents: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        frames, after = decoder(latents.to(half), past.to(half))
        return frames.float(), after.float()

    def make(batch: int, places: Tensor) -> FrameNet:
        return packed(frame_net(dit, sampler, places).to(half))

    return Backend("bf16", codec, Player(autocast(dit), dit.config, sampler, make), lambda latents: decode, half)


def _int8(codec: VideoCodec, dit: DiT, sampler: SamplerConfig) -> Backend:
    decoder = DecoderNet(packed(codec))
    make: Maker = lambda batch, places: quantized(frame_net(dit, sampler, places))  # noqa: E731
    return Backend("int8", codec, Player(quantized(dit), dit.config, sampler, make), lambda latents: decoder)


def _exported(name: str, codec: VideoCodec, dit: DiT, sampler: SamplerConfig) -> Backend:
    need(*{"onnx": ("onnxruntime", "export")}.get(name, ("openvino", "openvino")))

    def session(path: Path) -> Session:
        threads = torch.get_num_threads()
        if name == "onnx":
            return OnnxSession(path, threads)
        return OpenVinoSession(path, threads, "bf16" if name == "openvino-bf16" else "f32")

    def make(batch: int, places: Tensor) -> ExportedFrame:
        return ExportedFrame(session(frame_file(dit, sampler, batch, places)))

    def decoding(latents: Tensor) -> ExportedDecoder:
        return ExportedDecoder(session(decoder_file(codec, latents)))

    return Backend(name, codec, Player(dit, dit.config, sampler, make), decoding)


def autocast(dit: DiT) -> Network:
    """Single passes in bfloat16, for settings where whole frames are not one call."""

    def run(noisy: Tensor, previous: Tensor, condition: Condition, places: Grid, history: Any) -> Output:
        with torch.autocast(noisy.device.type, dtype=torch.bfloat16):
            out: Output = dit(noisy, previous, condition, places, history)
        return out

    return run
