"""worldsim: does this simulator keep the world?

A neural simulator and a real game side by side, the same actions, and a calibrated verdict with error bars. The public
names below are imported on first use, so that `import worldsim` loads neither torch nor gymnasium.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Abilities": "truth",
    "Context": "types",
    "Episode": "types",
    "Intervention": "truth",
    "Metric": "protocols",
    "MetricSpec": "types",
    "ModelSpec": "types",
    "Observation": "types",
    "Prediction": "types",
    "Rollout": "types",
    "Scenario": "types",
    "Score": "types",
    "Trajectory": "types",
    "TruthEnv": "protocols",
    "TruthState": "truth",
    "WorldModel": "protocols",
    "WorldsimError": "errors",
    "register_controller": "registry",
    "register_metric": "registry",
    "register_model": "registry",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from worldsim.errors import WorldsimError as WorldsimError
    from worldsim.protocols import Metric as Metric
    from worldsim.protocols import TruthEnv as TruthEnv
    from worldsim.protocols import WorldModel as WorldModel
    from worldsim.registry import register_controller as register_controller
    from worldsim.registry import register_metric as register_metric
    from worldsim.registry import register_model as register_model
    from worldsim.truth import Abilities as Abilities
    from worldsim.truth import Intervention as Intervention
    from worldsim.truth import TruthState as TruthState
    from worldsim.types import Context as Context
    from worldsim.types import Episode as Episode
    from worldsim.types import MetricSpec as MetricSpec
    from worldsim.types import ModelSpec as ModelSpec
    from worldsim.types import Observation as Observation
    from worldsim.types import Prediction as Prediction
    from worldsim.types import Rollout as Rollout
    from worldsim.types import Scenario as Scenario
    from worldsim.types import Score as Score
    from worldsim.types import Trajectory as Trajectory


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"worldsim.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'worldsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
