"""All planted faults by name, with their severities: what `worldsim.faults` offers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.faults import cheats, drift, geometry, interaction, picture, reward, sets, text, timing, unseen
from worldsim.faults.base import Fault

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
FEW = (0.2, 0.6, 1.0)


@dataclass(frozen=True, kw_only=True)
class FaultSpec:
    """One planted fault.

    Attributes:
        name: Unique.
        make: From a severity to the model; severity 0 is the oracle.
        full, ci: Increasing severities: at least five, and three of them for the quick preset.
        unit: What a severity counts.
        plants: What is wrong, in words.
        moves: Families of metrics that it should move.
        needs: What the truth must be able to do.
        any_of: Of these sets of abilities the truth must have one in full; none = no more is needed.
        seen: A mean distance of pixels to the truth grows with the severity, over any worlds; False where the fault
            waits for an event (an edit, a turn, a thing out of view), or changes no pixel.
        cheat: A simulator that games a metric.
        mild: Up to this severity a metric that claims to be blind to the fault must be.
    """

    name: str
    make: type[Fault]
    full: tuple[float, ...]
    ci: tuple[float, ...]
    unit: str
    plants: str
    moves: frozenset[str]
    needs: frozenset[str]
    seen: bool = True
    cheat: bool = False
    mild: float = math.inf
    any_of: tuple[frozenset[str], ...] = ()

    def __post_init__(self) -> None:
        levels = (0.0, *self.full)
        if len(self.full) < 5 or len(self.ci) != 3 or not set(self.ci) <= set(self.full):
            raise ConfigError(f"fault {self.name!r} needs at least five severities, and three of them for ci")
        if any(a >= b for a, b in pairwise(levels)) or levels[-1] > self.make.limit:
            raise ConfigError(
                f"fault {self.name!r}: severities must increase in 0..{self.make.limit:g}, got {self.full}"
            )

    @property
    def limit(self) -> float:
        """The end of the declared range 0..limit."""
        return self.make.limit


def _spec(
    make: type[Fault],
    unit: str,
    plants: str,
    moves: str,
    full: tuple[float, ...] = SHARES,
    ci: tuple[float, ...] | None = None,
    *,
    seen: bool = True,
    mild: float = math.inf,
) -> FaultSpec:
    return FaultSpec(
        name=make.name,
        make=make,
        full=full,
        ci=(full[0], full[2], full[4]) if ci is None else ci,
        unit=unit,
        plants=plants,
        moves=frozenset(moves.split()),
        needs=make.needs,
        seen=seen,
        cheat=make.__module__ == cheats.__name__,
        mild=mild,
        any_of=make.any_of,
    )


_ALL = (
    # Unseen world.
    _spec(unseen.Vanish, "probability", "objects out of view are gone", "permanence", seen=False),
    _spec(unseen.Teleport, "m", "objects out of view stand elsewhere", "permanence", (0.5, 1, 2, 3, 4), seen=False),
    _spec(unseen.Swap, "probability", "objects out of view change their colour", "permanence", seen=False),
    _spec(unseen.Standstill, "share of worlds", "nothing goes on out of view", "permanence", seen=False),
    # Interaction.
    _spec(interaction.EditIgnored, "probability", "edits are not made", "interaction", seen=False),
    _spec(interaction.EditReverts, "probability", "edits are undone when out of view", "interaction", seen=False),
    _spec(interaction.EditWrongCell, "probability", "edits land in a neighbouring cell", "interaction", seen=False),
    # Geometry.
    _spec(geometry.FlattenedParallax, "share of parallax", "the world is painted on a plane", "geometry", seen=False),
    _spec(geometry.SlidingLayer, "share of parallax", "what is near slides over the rest", "geometry", seen=False),
    _spec(geometry.PoseJitter, "degrees", "the camera trembles", "geometry", (0.25, 0.5, 1, 2, 4)),
    # Time and control.
    _spec(timing.Lag, "steps", "everything happens late", "control fidelity", (1, 2, 4, 6, 8)),
    _spec(timing.Drop, "probability", "actions are lost", "control", seen=False),
    _spec(timing.Flip, "probability", "actions are mirrored", "control", seen=False),
    _spec(timing.Gain, "share lost", "actions have less effect", "control", seen=False),
    # Drift.
    _spec(drift.YawDrift, "degrees a step", "the view turns by itself", "coherence", (0.1, 0.25, 0.5, 1, 2)),
    _spec(drift.Reseed, "probability", "what left the view is another world's", "coherence", seen=False),
    _spec(picture.ColourFade, "share a step", "colours fade", "coherence", (0.005, 0.01, 0.02, 0.04, 0.08)),
    # Picture.
    _spec(picture.Blur, "px", "a blurred picture", "fidelity distribution", (0.4, 0.7, 1, 1.5, 2), mild=1),
    _spec(picture.Noise, "levels", "a noisy picture", "fidelity distribution", (4, 8, 16, 24, 32), mild=8),
    _spec(picture.Tint, "share", "a warm tint", "fidelity distribution", (0.1, 0.2, 0.4, 0.6, 0.8), mild=0.2),
    _spec(picture.Jpeg, "100 - quality", "JPEG", "fidelity distribution", (30, 50, 70, 85, 95), mild=30),
    # Sets.
    _spec(sets.ModeCollapse, "share of worlds", "always the same world", "distribution", seen=False),
    _spec(sets.FrameShuffle, "steps", "frames out of order", "distribution", (1, 2, 4, 8, 16), mild=4),
    # Text.
    _spec(text.PromptSwap, "probability", "another prompt is followed", "text", seen=False),
    # Reward.
    _spec(reward.OptimisticReward, "share", "every step is paid as a success", "policy", seen=False),
    # Cheats.
    _spec(cheats.Freeze, "share of worlds", "freezes", "fidelity geometry permanence control"),
    _spec(cheats.ReplayContext, "share of worlds", "replays the context", "control coherence distribution"),
    _spec(cheats.PanByItself, "share of worlds", "pans by itself", "control geometry"),
    _spec(cheats.IgnoreCamera, "share of worlds", "ignores the camera", "control", seen=False),
    _spec(cheats.FadeToMean, "share a step", "fades to the mean", "fidelity", (0.02, 0.05, 0.1, 0.2, 0.4)),
    _spec(cheats.AlwaysTheObject, "share of worlds", "always shows the object", "permanence", seen=False),
    _spec(cheats.AlwaysTheEdit, "share of worlds", "always shows the edit", "interaction", seen=False),
)

#: Every planted fault by name.
FAULTS: Mapping[str, FaultSpec] = {spec.name: spec for spec in _ALL}


def make_fault(name: str, severity: float = 0.0) -> Fault:
    """The fault of a name at a severity in 0..limit; 0 is the oracle bit for bit.

    Raises:
        UnknownNameError: With the nearest name.
        ConfigError: For a severity out of range.
    """
    if name not in FAULTS:
        raise UnknownNameError(f"no fault is called {name!r}.{nearest(name, FAULTS)} Known: {', '.join(FAULTS)}.")
    return FAULTS[name].make(severity)
