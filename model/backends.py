"""Ways to run the same network: as it is, compiled, in bfloat16, in int8, or exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from worldsim.errors import ConfigError, nearest
from worldsim.model.codec.network import VideoCodec
from worldsim.model.codec.stream import DecoderState
from worldsim.model.dit.network import DiT
from worldsim.model.engine.sampler import Network, SamplerConfig

NAMES = ("eager",)


class Backend(Protocol):
    """A network and a decoder."""

    network: Network

    def decode(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """As `VideoCodec.decode_chunk`."""
        ...


@dataclass(frozen=True)
class Eager:
    """The modules themselves."""

    network: Network
    codec: VideoCodec

    def decode(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """As `VideoCodec.decode_chunk`."""
        return self.codec.decode_chunk(latents, state)


def make_backend(name: str, codec: VideoCodec, dit: DiT, sampler: SamplerConfig) -> Backend:
    """The back end of a name. Raises ConfigError for one that does not exist."""
    if name == "eager":
        return Eager(dit, codec)
    raise ConfigError(f"no back end is called {name!r}.{nearest(name, NAMES)} Known: {', '.join(NAMES)}.")


__all__ = ["NAMES", "Backend", "Eager", "make_backend", "torch"]
