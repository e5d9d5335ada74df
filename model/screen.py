"""What is shown: latents become frames, with the decoder's memory of each world of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldsim.errors import ContractError
from worldsim.model.codec.network import VideoCodec
from worldsim.model.codec.stream import DecoderState

#: As `VideoCodec.decode_chunk`.
Decode = Callable[[Tensor, DecoderState], tuple[Tensor, DecoderState]]


class Screen:
    """The decoder for B worlds of one size."""

    def __init__(self, codec: VideoCodec, decode: Decode, batch: int, cells: tuple[int, int]) -> None:
        """`decode` is the codec's own, or a faster form of it; `cells` is (h, w)."""
        self._codec, self._decode = codec, decode
        config, device = codec.config, codec.latent_mean.device
        kernel = config.time_kernel - 1
        self._past = torch.zeros(batch, kernel, config.decoder[0], *cells, device=device) if kernel else None

    def start(self, rows: list[int], latents: Tensor) -> None:
        """Some worlds begin anew: the decoder looks back on their contexts (b, L, Z, h, w), L >= 0."""
        if self._past is None:
            return
        past, kernel = self._past.clone(), self._past.shape[1]
        past[rows] = 0.0
        if latents.shape[1]:
            # Latents that are seen from their first on are decoded as a whole video is; of later ones a few are enough.
            begins = latents.shape[1] <= kernel
            state = DecoderState() if begins else DecoderState(started=True)
            seen = self._codec.decode_chunk(latents[:, -kernel:], state)[1].past
            assert seen is not None  # there is a temporal layer
            past[rows] = seen
        self._past = past

    def show(self, latents: Tensor) -> Tensor:
        """The next latent (B, 1, Z, h, w) of every world -> its frames (B, n, 3, 8h, 8w), about 0..1."""
        # Also the first latent of all, of a world without context, gives n frames: a step always does.
        frames, state = self._decode(latents, DecoderState(past=self._past, started=True))
        self._past = state.past
        return frames

    def read(self, row: int) -> Tensor:
        """What the decoder remembers of one world, (time_kernel - 1, C, h, w); a copy."""
        return torch.zeros(0) if self._past is None else self._past[row].clone()

    def write(self, row: int, past: Tensor) -> None:
        """Sets it back. Raises ContractError for another decoder's."""
        if self._past is None:
            return
        if past.shape != self._past.shape[1:]:
            raise ContractError(
                f"the decoder's memory has the shape {list(self._past.shape[1:])}, the snapshot's {list(past.shape)}: "
                "restore it with the checkpoint it is from"
            )
        self._past = self._past.clone()
        self._past[row] = past.to(self._past)
