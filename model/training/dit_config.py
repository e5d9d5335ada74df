"""What the transformer is trained for, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldsim.model.training.masks import MaskConfig


@dataclass(frozen=True, kw_only=True)
class DiTLossConfig:
    """What the transformer is trained for.

    Attributes:
        masks: Which questions are asked.
        text_drop: Share of clips without a prompt.
        shortcut_from: Share of the steps after which shortcuts are learned.
        rollout_from: Share of the steps after which it is fed with its own predictions.
        rollout_share: Share of the clips for which that is done.
        rollout_depth: Most predictions in a row.
        heads: Weight of reward and end.
    """

    masks: MaskConfig = field(default_factory=MaskConfig)
    text_drop: float = 0.4
    shortcut_from: float = 0.3
    rollout_from: float = 0.85
    rollout_share: float = 0.5
    rollout_depth: int = 4
    heads: float = 0.05
