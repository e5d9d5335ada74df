"""Settings of a training run, as plain values: what a recipe file holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worldsim.errors import ConfigError

_LEAST = {"steps": 0, "batch": 1, "frames": 1, "accumulate": 1, "warmup": 0, "validate_every": 1}


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """Settings of one stage of training, whatever is trained.

    Attributes:
        steps: Optimizer steps: the budget.
        batch: Clips in one step, over all processes and parts.
        accumulate: Parts into which each process cuts its share of the batch, one after the other: less memory, and the
            step is that of `accumulate` times as many processes.
        frames: Frames of one clip.
        lr: Peak learning rate.
        warmup: Steps until the peak.
        decay: Share of the steps, at the end, over which the rate falls to zero in a straight line.
        weight_decay: Decoupled.
        clip: Largest norm of the gradient.
        ema: Decay of the running mean of the weights, which is what is kept in the end.
        precision: Of the forward pass: "bf16" (autocast) or "fp32".
        optimizer: "muon" or "adamw".
        validate_every: Steps between validations.
    """

    steps: int
    batch: int
    frames: int
    lr: float
    accumulate: int = 1
    warmup: int = 100
    decay: float = 0.4
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    precision: Literal["bf16", "fp32"] = "bf16"
    optimizer: Literal["muon", "adamw"] = "muon"
    validate_every: int = 500

    def __post_init__(self) -> None:
        for name, low in _LEAST.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if self.lr <= 0 or not 0 <= self.ema < 1 or not 0 <= self.decay <= 1 or self.clip <= 0:
            raise ConfigError(
                "expected lr > 0, clip > 0, ema in [0, 1) and decay in 0..1, got "
                f"{self.lr}, {self.clip}, {self.ema} and {self.decay}"
            )

    def part(self, world: int) -> int:
        """Clips in one part of one of `world` processes.

        Raises:
            ConfigError: If the batch cannot be dealt out evenly.
        """
        parts = world * self.accumulate
        if self.batch % parts:
            raise ConfigError(
                f"a batch of {self.batch} clips cannot be dealt out to {world} processes in {self.accumulate} parts "
                f"each: set batch to a multiple of {parts}"
            )
        return self.batch // parts

    def rate(self, step: int) -> float:
        """The learning rate at a step: up, level, down to zero."""
        up = min(1.0, (step + 1) / max(self.warmup, 1))
        down = min(1.0, (self.steps - step) / max(self.decay * self.steps, 1.0))
        return self.lr * min(up, down)


@dataclass(frozen=True, kw_only=True)
class CodecLossConfig:
    """What a codec is trained for.

    Attributes:
        mse: Weight of the squared error; all weights are of terms that are normalised by their own size.
        l1: Weight of the absolute error.
        edge: Weight of the gradient difference at three scales.
        adversarial: Weight of the discriminator's verdict; 0 = no discriminator.
        adversarial_from: Share of the steps after which it takes part.
        noise: Standard deviation of noise on the latents (which lie in -1..1), so that the decoder forgives.
        mask_share: Share of the frames whose patches are masked.
        mask_ratio: Largest share of such a frame's patches.
    """

    mse: float = 1.0
    l1: float = 0.5
    edge: float = 0.25
    adversarial: float = 0.0
    adversarial_from: float = 0.5
    noise: float = 0.03
    mask_share: float = 0.1
    mask_ratio: float = 0.25


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Where and how a run is carried out; nothing here but the seed changes what is learned.

    Attributes:
        seed: Everything random follows from it.
        save_seconds: Between savings of the state.
        log_every: Steps between lines of the log.
        quiet: No progress.
        tensorboard: Figures and pictures for TensorBoard, too.
        compile: The forward pass through `torch.compile`: minutes to start, faster steps; sums differ in the last bits.
    """

    seed: int = 0
    save_seconds: float = 60.0
    log_every: int = 20
    quiet: bool = False
    tensorboard: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.log_every < 1 or self.save_seconds < 0:
            raise ConfigError(
                f"expected log_every >= 1 and save_seconds >= 0, got {self.log_every} and {self.save_seconds}"
            )
