"""Checkpoints on disk: a folder of `config.json`, and `config.json` + `model.safetensors` for each component.

    config.json            schema, name, how it is played, what it was trained on, SHA-256 of each weight file
    codec/config.json      CodecConfig        codec/model.safetensors
    dit/config.json        DiTConfig          dit/model.safetensors
    README.md              the model card, for people

Nothing is pickled, so a file from a stranger can do no more than be wrong; and what is wrong is said by name.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from worldsim import spaces
from worldsim.arrays import storing
from worldsim.errors import ConfigError, StoreError, nearest
from worldsim.model import actions
from worldsim.model.codec.config import CodecConfig
from worldsim.model.codec.network import VideoCodec
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.network import DiT
from worldsim.model.plain import from_plain, to_plain

SCHEMA = 1
BUNDLED = Path(__file__).parent / "checkpoints"


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """What `config.json` says beside the components.

    Attributes:
        schema: Of the folder.
        name: Shown in reports.
        fps: Simulated frames per second.
        sizes: (H, W) it was trained on.
        steps: Denoising steps it plays with.
        context: Context frames it was validated with.
        env: The truth it was trained on.
        env_args: Of that truth.
        sha256: Of each weight file: "codec", "dit".
        card: Free facts: recipe, seeds, hash of the data, scores.
    """

    schema: int = SCHEMA
    name: str = "worldsim/DiT"
    fps: float = 20.0
    sizes: tuple[tuple[int, int], ...] = ((64, 64),)
    steps: int = 2
    context: int = 8
    env: str = "blocks"
    env_args: Mapping[str, Any] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def controller(self) -> str:
        """Who walked in the data it was trained on."""
        return str(self.card.get("recipe", {}).get("play", {}).get("controller", "explore"))


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A loaded checkpoint; modules are in float32, in evaluation mode, on the CPU."""

    config: CheckpointConfig
    codec: VideoCodec
    dit: DiT
    path: Path

    @property
    def digest(self) -> str:
        """SHA-256 over the weight files' hashes: which weights these are."""
        return hashlib.sha256("".join(v for _, v in sorted(self.config.sha256.items())).encode()).hexdigest()


def save_checkpoint(
    folder: Path, config: CheckpointConfig, codec: VideoCodec, dit: DiT, *, dtype: torch.dtype = torch.bfloat16
) -> CheckpointConfig:
    """Writes a checkpoint; returns its config with the hashes filled in. `dtype` is that of the weights on disk."""
    hashes = {}
    for name, module, own in (("codec", codec, codec.config), ("dit", dit, dit.config)):
        place = folder / name
        with storing(place):
            place.mkdir(parents=True, exist_ok=True)
            tensors = {k: v.detach().to(dtype).contiguous().cpu() for k, v in module.state_dict().items()}
            save_file(tensors, place / "model.safetensors")
            _write_json(place / "config.json", {"schema": SCHEMA, **to_plain(own)})
        hashes[name] = _digest(place / "model.safetensors")
    config = CheckpointConfig(**{**config.__dict__, "sha256": hashes})
    _write_json(folder / "config.json", to_plain(config))
    return config


def find_checkpoint(name: str | Path) -> Path:
    """The folder of a bundled checkpoint's name ("tiny", or as reports call it, "worldsim/DiT-tiny"), or itself."""
    path = Path(name)
    if path.is_dir():
        return path
    short = str(name).removeprefix("worldsim/").removeprefix("DiT-")
    bundled = BUNDLED / short
    if short and "/" not in short and short not in (".", "..") and bundled.is_dir():
        return bundled
    known = sorted(p.name for p in BUNDLED.glob("*") if p.is_dir()) if BUNDLED.is_dir() else []
    raise StoreError(
        f"no checkpoint {str(name)!r}: expected a folder with config.json, or one of those that come with worldsim "
        f"({', '.join(known) or 'none'}).{nearest(str(name), known)} `worldsim train` makes one."
    )


def load_checkpoint(name: str | Path) -> Checkpoint:
    """Loads a checkpoint.

    Raises:
        StoreError: If it is missing, cut off, of another network, or holds numbers that are not finite; the message
            names the file.
    """
    folder = find_checkpoint(name)
    config: CheckpointConfig = _config(folder, CheckpointConfig)
    codec = VideoCodec(_config(folder / "codec", CodecConfig))
    dit_config: DiTConfig = _config(folder / "dit", DiTConfig)
    dit = DiT(dit_config, _features(dit_config, folder / "dit" / "config.json"))
    if codec.config.channels != dit_config.channels or codec.config.temporal != dit_config.temporal:
        raise StoreError(
            f"{folder}: codec and dit do not belong together: latents of {codec.config.channels} channels and "
            f"{codec.config.temporal} frames against {dit_config.channels} and {dit_config.temporal}"
        )
    hashes = {}
    for part, module in (("codec", codec), ("dit", dit)):
        hashes[part] = _load_weights(module, folder / part / "model.safetensors", config.sha256.get(part))
    return Checkpoint(config=replace(config, sha256=hashes), codec=codec.eval(), dit=dit.eval(), path=folder)


def _config(folder: Path, kind: type[Any]) -> Any:
    """The `config.json` of a checkpoint or of one component."""
    path = folder / "config.json"
    plain = dict(_read_json(path))
    schema = plain.pop("schema", None)
    if schema != SCHEMA:
        raise StoreError(
            f"{path} has schema {schema!r}, this version of worldsim reads {SCHEMA}: update worldsim, or train again"
        )
    try:
        return from_plain(kind, plain, str(path))
    except (ConfigError, ValueError, TypeError) as error:
        named = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise StoreError(f"{named}; expected what `worldsim train` wrote: copy the checkpoint again") from error


def _features(config: DiTConfig, path: Path) -> int:
    """A, the number of features of an action."""
    try:
        count = actions.count(config.action_space)
        spaces.build(dict(config.action_space))
    except ConfigError as error:
        raise StoreError(f"{path}: action_space is {error}") from error
    if len(config.action_scale) != count or not all(math.isfinite(s) and s > 0 for s in config.action_scale):
        raise StoreError(
            f"{path}: action_scale must be {count} numbers above 0, one a feature of action_space, got "
            f"{list(config.action_scale)}"
        )
    return count


def _load_weights(module: nn.Module, path: Path, sha256: str | None) -> str:
    """Loads a file into a module; returns its SHA-256."""
    try:
        digest = _digest(path)
        if sha256 is not None and digest != sha256:
            raise StoreError(
                f"{path} is not the file that config.json describes (SHA-256 {digest[:12]}..., expected "
                f"{sha256[:12]}...): it is cut off or was exchanged; copy the checkpoint again"
            )
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"{path} cannot be read as safetensors ({error}); expected the weights of a {type(module).__name__}: "
            "copy the checkpoint again, or train it with `worldsim train`"
        ) from error
    own = module.state_dict()
    missing, strange = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or strange:
        raise StoreError(
            f"{path} holds the weights of another network: missing {missing[:3] or 'none'}, unknown "
            f"{strange[:3] or 'none'}; its config.json must be the one that it was saved with"
        )
    for key, value in tensors.items():
        if own[key].shape != value.shape:
            raise StoreError(f"{path}: {key} is {tuple(value.shape)}, expected {tuple(own[key].shape)} by config.json")
        if not torch.isfinite(value.float()).all():
            raise StoreError(
                f"{path}: {key} holds NaN or infinite numbers; the training that wrote it had diverged: take an "
                "earlier checkpoint"
            )
    module.load_state_dict({k: v.to(own[k].dtype) for k, v in tensors.items()})
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); a checkpoint folder holds it") from error
    if not isinstance(plain, dict):
        raise StoreError(f"{path} must hold a mapping, got {type(plain).__name__}")
    return plain


def _write_json(path: Path, plain: Mapping[str, Any]) -> None:
    with storing(path):
        path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
