"""The settings of a run: a frozen dataclass in, YAML of plain data out, unknown keys refused with the nearest match."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from worldsim.errors import ConfigError, nearest

#: Settings that say where and how a run is carried out; they do not change what is recorded.
NOT_PART_OF_THE_RUN = frozenset(
    {"out", "resume", "skip_failed", "shard", "quiet", "env_threads", "isolate_envs", "workers"}
)


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Settings of `worldsim eval`.

    Attributes:
        model: Registered name ("worldsim/Oracle"), or path/to/file.py:Name. `worldsim ls models` lists the names.
        model_args: Arguments of the model's constructor.
        env: The truth: "blocks", ... `worldsim ls envs` lists them.
        env_args: Arguments of the environment that override the scenario's.
        scenarios: A scenario set ("quick", "core", "long") or the path of a YAML file.
        metrics: Names or families ("fidelity"); none = all that are registered.
        episodes: Worlds of each scenario.
        seed: Everything random follows from it.
        samples: K rollouts of each start, differing in the model's seed only.
        size: Height and width of the frames; none = the scenario's, or the model's first where that does not fit.
        drive_from: Whose frames the controller acts on.
        reanchor_every: k > 0 adds an arm that is set back on the truth every k steps (1 = teacher-forced).
        split: Which worlds: "test" for results, "validation" while developing, never "train".
        batch: Worlds stepped together.
        env_threads: Threads that step the truths.
        isolate_envs: Each truth in a process of its own: one that crashes or hangs costs its episode, not the run.
        step_timeout: Seconds after which a model or environment that does not answer counts as hung.
        workers: Processes that score; the result is the same for any number.
        resamples: Bootstrap resamples.
        min_worlds: Fewer worlds than this give no point estimate.
        out: Folder of the run; none = a new one under runs/.
        resume: Go on with the run in `out`.
        skip_failed: When resuming, leave failed episodes as they are; otherwise they are tried again.
        shard: "i/n": only the i-th of n parts of the plan (1-based); parts share the folder.
        quiet: No progress.
    """

    model: str = ""
    model_args: Mapping[str, Any] = field(default_factory=dict)
    env: str = "blocks"
    env_args: Mapping[str, Any] = field(default_factory=dict)
    scenarios: str = "quick"
    metrics: tuple[str, ...] = ()
    episodes: int = 16
    seed: int = 0
    samples: int = 1
    size: tuple[int, int] | None = None
    drive_from: Literal["truth", "generated"] = "truth"
    reanchor_every: int = 0
    split: Literal["test", "validation"] = "test"
    batch: int = 8
    env_threads: int = 1
    isolate_envs: bool = False
    step_timeout: float = 300.0
    workers: int = 1
    resamples: int = 2000
    min_worlds: int = 10
    out: Path | None = None
    resume: bool = False
    skip_failed: bool = False
    shard: str = "1/1"
    quiet: bool = False

    def __post_init__(self) -> None:
        for name, low in (
            ("episodes", 1),
            ("samples", 1),
            ("batch", 1),
            ("env_threads", 1),
            ("workers", 1),
            ("reanchor_every", 0),
        ):
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if self.step_timeout <= 0:
            raise ConfigError(f"step_timeout must be positive seconds, got {self.step_timeout}")
        if self.drive_from == "generated" and (self.samples > 1 or self.reanchor_every):
            raise ConfigError(
                "with drive_from=generated the actions follow the model's own frames, so each sample would need a "
                "truth of its own: use samples=1 and reanchor_every=0"
            )
        parse_shard(self.shard)


def parse_shard(text: str) -> tuple[int, int]:
    """Reads "2/4" as (2, 4). Raises ConfigError unless 1 <= i <= n."""
    try:
        part, total = (int(x) for x in text.split("/"))
    except ValueError:
        part, total = 0, 0
    if not 1 <= part <= total:
        raise ConfigError(f'shard must be "i/n" with 1 <= i <= n, for example "2/4"; got {text!r}')
    return part, total


def parse_args(pairs: tuple[str, ...], option: str) -> dict[str, Any]:
    """("quality=50", "name=abc") -> {"quality": 50, "name": "abc"}; values are read as YAML scalars."""
    import yaml

    out: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.isidentifier():
            raise ConfigError(f"{option} takes name=value, got {pair!r}")
        try:
            out[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{option} {pair!r}: {error}") from error
    return out


def to_plain(config: EvalConfig) -> dict[str, Any]:
    """The part of the settings that decides what is recorded and scored, as plain data."""
    plain = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in NOT_PART_OF_THE_RUN}
    return json.loads(json.dumps(plain))  # type: ignore[no-any-return]  # tuples become lists, as YAML gives them back


def from_plain(plain: Mapping[str, Any], **overrides: Any) -> EvalConfig:
    """Inverse of `to_plain`; unknown keys are refused with the nearest match."""
    known = {f.name for f in dataclasses.fields(EvalConfig)}
    for key in plain:
        if key not in known:
            raise ConfigError(f"unknown setting {key!r}.{nearest(key, known)}")
    values = dict(plain) | overrides
    for name in ("metrics", "size"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    return EvalConfig(**values)


def digest(plain: Any) -> str:
    """SHA-256 over canonical JSON."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
