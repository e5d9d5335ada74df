"""Names -> things, lazily: listing imports nothing heavy, and a typo is answered with the nearest name.

One `Registry` each for models, environments, metrics, controllers and scenario sets. Three routes in, by effort:
`file.py:Name` on the command line, the decorator `@register_model("me/mine")`, an entry point in the registry's group.
A plug-in that fails to import becomes an explained failure when it is asked for, never a crash of the host.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from worldsim.errors import ConfigError, UnknownNameError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to objects or to "module:attribute" strings that are imported on first use."""

    def __init__(
        self,
        kind: str,
        builtin: Mapping[str, str],
        group: str | None = None,
        families: Mapping[str, str] | None = None,
    ) -> None:
        """Starts the table.

        Args:
            kind: "model", "metric", ...: used in messages.
            builtin: name -> "module:attribute".
            group: Entry-point group, for example "worldsim.models".
            families: prefix -> "module:attribute" of something whose first argument is the rest of the name: all names
                that begin with the prefix are known, and none of them is listed.
        """
        self.kind = kind
        self.families = dict(families or {})
        self._table: dict[str, str | T] = dict(builtin)
        self._group = group
        self._scanned = group is None
        self._lock = threading.RLock()

    def register(self, name: str, thing: T | str | None = None) -> Any:
        """Adds a name; with only a name it is a decorator. Taking a name twice is refused."""
        if thing is None:

            def decorate(inner: T) -> T:
                self.register(name, inner)
                return inner

            return decorate
        with self._lock:
            if name in self._table:
                raise ConfigError(f"{self.kind} {name!r} is registered already; choose another name")
            self._table[name] = thing
        return thing

    def names(self) -> list[str]:
        """All names, sorted; imports nothing."""
        self._scan()
        return sorted(self._table)

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._table or (isinstance(name, str) and self._family(name) is not None)

    def get(self, name: str) -> T:
        """The thing behind a name, or behind "path/to/file.py:Attribute".

        Raises:
            UnknownNameError: With the nearest known name.
            ConfigError: If its module cannot be imported or lacks the attribute.
        """
        if ".py:" in name:
            return self._from_file(name)
        self._scan()
        prefix = self._family(name)
        if prefix is not None:
            maker: Any = self._import(name, self.families[prefix])
            member: Any = functools.partial(maker, name.removeprefix(prefix))
            return member  # type: ignore[no-any-return]
        with self._lock:
            if name not in self._table:
                raise UnknownNameError(
                    f"no {self.kind} is called {name!r}.{nearest(name, self._table)} "
                    f"`worldsim ls {self.kind}s` lists them; a file is given as path/to/file.py:Name."
                )
            thing = self._table[name]
            if isinstance(thing, str):
                thing = self._import(name, thing)
                self._table[name] = thing
            return thing

    def target(self, name: str) -> str:
        """Where a registered name lies, as "module:attribute"; imports nothing."""
        self._scan()
        prefix = self._family(name)
        if prefix is not None:
            return self.families[prefix]
        thing = self._table[name]
        return thing if isinstance(thing, str) else f"{thing.__module__}:{getattr(thing, '__qualname__', name)}"

    def _family(self, name: str) -> str | None:
        """The prefix of a family's member; None for names of the table, and for a prefix alone."""
        return next((p for p in self.families if name.startswith(p) and name != p), None)

    def _import(self, name: str, target: str) -> T:
        module_name, _, attribute = target.partition(":")
        try:
            module = importlib.import_module(module_name)
            thing: T = getattr(module, attribute)
        except (ImportError, AttributeError, SyntaxError) as error:
            raise ConfigError(f"{self.kind} {name!r} ({target}) cannot be imported: {error}") from error
        return thing

    def _from_file(self, name: str) -> T:
        path_text, _, attribute = name.rpartition(":")
        path = Path(path_text).expanduser().resolve()
        if not path.is_file():
            raise UnknownNameError(f"no file {path} for the {self.kind} {name!r}; expected path/to/file.py:Name")
        module_name = f"_worldsim_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
        module = sys.modules.get(module_name)
        if module is None:
            spec = importlib.util.spec_from_file_location(module_name, path)
            if spec is None or spec.loader is None:
                raise ConfigError(f"{path} is not a Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module  # dataclasses look their module up by name
            try:
                spec.loader.exec_module(module)
            except BaseException as error:
                del sys.modules[module_name]
                if isinstance(error, Exception):
                    kind = type(error).__name__
                    raise ConfigError(f"{path} cannot be imported: {kind}: {error}") from error
                raise
        if not hasattr(module, attribute):
            public = [n for n in vars(module) if not n.startswith("_")]
            raise UnknownNameError(f"{path} has no {attribute!r}.{nearest(attribute, public)}")
        thing: T = getattr(module, attribute)
        return thing

    def _scan(self) -> None:
        with self._lock:
            if self._scanned:
                return
            self._scanned = True
            for point in entry_points(group=self._group or ""):
                self._table.setdefault(point.name, f"{point.module}:{point.attr}")


MODELS: Registry[Callable[..., Any]] = Registry(
    "model",
    {
        "worldsim/Oracle": "worldsim.oracle:Oracle",
        "worldsim/Frozen": "worldsim.baselines:Frozen",
        "worldsim/CopyContext": "worldsim.baselines:CopyContext",
        "worldsim/ContextMean": "worldsim.baselines:ContextMean",
        "worldsim/Noise": "worldsim.baselines:Noise",
        "worldsim/OtherEpisode": "worldsim.oracle:OtherEpisode",
        "worldsim/OracleOtherFuture": "worldsim.oracle:OracleOtherFuture",
        "worldsim/OracleCodec": "worldsim.oracle:OracleCodec",
        "worldsim/Lagged": "worldsim.oracle:Lagged",
        "worldsim/ShuffledAction": "worldsim.oracle:ShuffledAction",
        "worldsim/DiT-tiny": "worldsim.model.simulator:DiTTiny",
    },
    group="worldsim.models",
)
METRICS: Registry[type[Any]] = Registry(
    "metric",
    {
        "fidelity.l1": "worldsim.metrics.fidelity:L1",
        "fidelity.psnr": "worldsim.metrics.fidelity:PSNR",
        "fidelity.ssim": "worldsim.metrics.fidelity:SSIM",
        "fidelity.gradient_zncc": "worldsim.metrics.fidelity:GradientZNCC",
        "fidelity.l1_static": "worldsim.metrics.fidelity:L1Static",
        "fidelity.l1_object": "worldsim.metrics.fidelity:L1Object",
        "fidelity.l1_revealed": "worldsim.metrics.fidelity:L1Revealed",
        "fidelity.useful_horizon": "worldsim.metrics.fidelity:UsefulHorizon",
        "permanence.identity": "worldsim.metrics.permanence:Identity",
        "permanence.gap": "worldsim.metrics.permanence:Gap",
        "permanence.evolution": "worldsim.metrics.permanence:Evolution",
        "interaction.effect": "worldsim.metrics.interaction:Effect",
        "interaction.persistence": "worldsim.metrics.interaction:Persistence",
        "geometry.reprojection": "worldsim.metrics.geometry:Reprojection",
        "geometry.tsed": "worldsim.metrics.geometry:Tsed",
        "geometry.self_pose": "worldsim.metrics.geometry:SelfPose",
        "coherence.place": "worldsim.metrics.place:Place",
        "coherence.drift": "worldsim.metrics.drift:Drift",
        "coherence.revisit": "worldsim.metrics.coherence:Revisit",
        "coherence.horizon": "worldsim.metrics.coherence:Horizon",
        "control.branch": "worldsim.metrics.control_branch:Identification",
        "control.direction": "worldsim.metrics.control_branch:Direction",
        "control.gain": "worldsim.metrics.control_branch:Gain",
        "control.leak": "worldsim.metrics.control_branch:Leak",
        "control.motion": "worldsim.metrics.control_motion:Motion",
        "control.idm": "worldsim.metrics.control_idm:InverseDynamics",
        "distribution.mmd_appearance": "worldsim.metrics.distribution:MMDAppearance",
        "distribution.mmd_motion": "worldsim.metrics.distribution:MMDMotion",
        "distribution.mmd_joint": "worldsim.metrics.distribution:MMDJoint",
        "distribution.frechet": "worldsim.metrics.distribution:Frechet",
        "distribution.coverage": "worldsim.metrics.distribution:Coverage",
        "distribution.precision": "worldsim.metrics.distribution:Precision",
        "distribution.diversity": "worldsim.metrics.distribution:Diversity",
        "policy.spearman": "worldsim.metrics.policy:Spearman",
        "policy.pearson": "worldsim.metrics.policy:Pearson",
        "policy.mmrv": "worldsim.metrics.policy:Mmrv",
        "policy.bias": "worldsim.metrics.policy:Bias",
        "policy.regret": "worldsim.metrics.policy:Regret",
        "learned.lpips": "worldsim.metrics.learned.lpips:LPIPS",
        "learned.fvd": "worldsim.metrics.learned.fvd:FVD",
        "learned.clipscore": "worldsim.metrics.learned.clipscore:CLIPScore",
        "learned.dino": "worldsim.metrics.learned.dino:Dino",
        "learned.met3r": "worldsim.metrics.learned.dino:Met3rLike",
        "text.attribute": "worldsim.metrics.text:Attribute",
        "text.flip": "worldsim.metrics.text:Flip",
    },
    group="worldsim.metrics",
)
ENVS: Registry[Callable[..., Any]] = Registry(
    "env",
    {
        "blocks": "worldsim.envs.blocks.env:BlocksEnv",
        "worldsim/Blocks-v0": "worldsim.envs.blocks.env:BlocksEnv",
        "doom": "worldsim.envs.doom.env:DoomEnv",
        "worldsim/Doom-v0": "worldsim.envs.doom.env:DoomEnv",
        "minecraft": "worldsim.envs.minecraft.env:MinecraftEnv",
        "worldsim/Minecraft-v0": "worldsim.envs.minecraft.env:MinecraftEnv",
        "minerl": "worldsim.envs.minerl.env:MineRLEnv",
        "worldsim/MineRL-v0": "worldsim.envs.minerl.env:MineRLEnv",
    },
    group="worldsim.envs",
    families={"gym:": "worldsim.envs.gymnasium_adapter.env:GymEnv"},
)
CONTROLLERS: Registry[Callable[..., Any]] = Registry(
    "controller",
    {
        "noop": "worldsim.envs.controllers:NoOp",
        "explore": "worldsim.envs.controllers:Explore",
        "random": "worldsim.envs.controllers.anything:Random",
        "held": "worldsim.envs.controllers.anything:Held",
        "script": "worldsim.envs.controllers:Script",
        "replay": "worldsim.envs.controllers:Replay",
        "policy": "worldsim.envs.controllers:Policy",
        "panel": "worldsim.envs.controllers.panel:Panel",
        "seek": "worldsim.envs.controllers.seek:Seek",
        "human": "worldsim.envs.controllers:Human",
    },
    group="worldsim.controllers",
)


def short_env(name: str) -> str:
    """The one name of an environment that has two: worldsim/Doom-v0 -> doom; others, as gym:ALE/Pong-v5, stay."""
    return name.removeprefix("worldsim/").removesuffix("-v0").lower() if name.startswith("worldsim/") else name


register_model = MODELS.register
register_metric = METRICS.register
register_controller = CONTROLLERS.register
