"""CLIPScore, Hessel et al. 2021, eq. 1: does the picture fit its prompt?

    CLIPScore(I, c) = 2.5 max(cos(E_image(I), E_text(c)), 0),   c = "A photo depicts " + prompt

Some libraries print 100 max(cos, 0) without the prefix instead: not the same number.

Limits: the prompt is that of the first frame, so what moves into view later is not in it; a frozen first frame fits it
well, which is why the nulls stand beside it. The truth's own frames do not reach 2.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from worldsim.metrics.base import Float
from worldsim.metrics.learned.base import LearnedFrames, Script, check_size, cosines, resized, standardised, to_tensor
from worldsim.metrics.learned.bpe import Tokenizer
from worldsim.metrics.learned.weights import Checked, WeightFile
from worldsim.types import Episode, Frames, MetricSpec

SCALE = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of the pictures CLIP learnt from
WEIGHT = 2.5  # stretches the usual cosines, 0 to 0.4, over 0..1
PREFIX = "A photo depicts "

WEIGHTS = WeightFile(
    variable="WORLDSIM_CLIP_WEIGHTS",
    file="clip.pt",
    holds="a TorchScript archive: encode_image((n, 3, 224, 224) float32), encode_text((n, 77) int64) -> (n, d)",
    recipe="CLIPScore",
)
VOCABULARY = WeightFile(
    variable="WORLDSIM_CLIP_VOCABULARY",
    file="clip_bpe.txt.gz",
    holds="a comment line, then one byte-pair merge a line, UTF-8, gzipped or not",
    recipe="CLIPScore",
)


class ClipNet:
    """Both encoders and the tokenizer."""

    def __init__(self, network: Script, tokenizer: Tokenizer, size: int) -> None:
        """Holds them."""
        self.network, self.tokenizer, self.size = network, tokenizer, size

    def images(self, frames: Frames) -> Float:
        """(n, H, W, 3) uint8 -> (n, d): shorter side resized to `size`, then the square in the middle."""
        height, width = frames.shape[1:3]
        scale = self.size / min(height, width)
        tall, wide = (max(self.size, round(scale * side)) for side in (height, width))
        top, left = (tall - self.size) // 2, (wide - self.size) // 2
        images = resized(to_tensor(frames), (tall, wide), "bicubic")
        images = images[..., top : top + self.size, left : left + self.size]
        return np.asarray(self.network(standardised(images, SCALE), method="encode_image").double().numpy())

    def text(self, prompt: str) -> Float:
        """(1, d)."""
        import torch

        tokens = torch.tensor([self.tokenizer(prompt)], dtype=torch.int64)
        return np.asarray(self.network(tokens, method="encode_text").double().numpy())


class CLIPScore(LearnedFrames[ClipNet]):
    """How well frames fit the prompt of their episode."""

    needs = WEIGHTS
    why_undefined = "no prompt"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="learned.clipscore",
        version=1,
        unit="1",
        range=(0.0, WEIGHT),
        higher_is_better=True,
        floor="frozen",
        requires=frozenset({"prompts"}),
        undefined=("no weights", "no predicted frame", "the simulator ended the episode", why_undefined),
        sensitive=frozenset({"prompt-swap"}),
        source="Hessel et al. 2021, eq. 1: 2.5 max(cos(image, 'A photo depicts ' + prompt), 0)",
        summary="Does a network that learnt pictures with captions find that the picture fits the prompt?",
        headline=False,
        power=0.02,
    )

    def __init__(
        self,
        weights: str | Path | None = None,
        sha256: str | None = None,
        *,
        vocabulary: str | Path | None = None,
        vocabulary_sha256: str | None = None,
        prefix: str = PREFIX,
        size: int = 224,
    ) -> None:
        """See `Learned`.

        Args:
            weights: As in `Learned`.
            sha256: As in `Learned`.
            vocabulary: Path of the byte-pair merges; None = by environment variable.
            vocabulary_sha256: Their SHA-256; None = by environment variable.
            prefix: Put before each prompt.
            size: Height and width, px, that the image encoder takes.

        Raises:
            ConfigError: If the size is out of range.
        """
        super().__init__(weights, sha256)
        self._vocabulary, self._vocabulary_sha256 = vocabulary, vocabulary_sha256
        self.prefix, self.size = prefix, check_size(size)

    def build(self, checked: Checked) -> ClipNet:
        """Both files, tried on three grey frames and the prefix."""
        merges = VOCABULARY.read(self._vocabulary, self._vocabulary_sha256)
        network = Script(checked, ("encode_image", "encode_text"))
        net = ClipNet(network, Tokenizer(merges), self.size)
        image, text = net.images(np.full((3, self.size, self.size, 3), 128, np.uint8)), net.text(self.prefix)
        if image.ndim != 2 or text.shape != (1, image.shape[1]):
            raise checked.error(f"gives {image.shape} for 3 frames and {text.shape} for a text, not (3, d) and (1, d)")
        self.hashes[VOCABULARY.file] = merges.sha256
        return net

    def judge(self, episode: Episode, truth: Frames, shown: Frames) -> Float:
        """See the module; NaN without a prompt. A frame without features scores 0."""
        if not episode.prompt.strip():
            return np.full(len(shown), np.nan)
        net = self.load()
        text = net.text(self.prefix + episode.prompt)
        cosine = cosines(text, net.images(shown))
        return np.asarray(WEIGHT * np.maximum(cosine, 0.0))
