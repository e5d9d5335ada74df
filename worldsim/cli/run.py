"""`worldsim eval` and `worldsim rollout`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from worldsim.cli.arguments import parse
from worldsim.config import EvalConfig, from_plain, parse_args
from worldsim.errors import ConfigError, StoreError

EXAMPLES = """
worldsim eval --model worldsim/Oracle --scenarios quick --episodes 16 --seed 1 --out runs/oracle
worldsim eval --model my_model.py:MyModel --model-args steps=4 device=cuda
worldsim eval --model worldsim/Frozen --metrics fidelity.ssim fidelity.l1 --size 128x128
worldsim eval --model worldsim/Noise --samples 4 --reanchor-every 8
worldsim eval --resume --out runs/oracle          # goes on after a kill; settings come from the run
worldsim eval --model worldsim/Oracle --out runs/big --shard 2/4   # the second of four parts, same folder
"""


@dataclass(frozen=True, kw_only=True)
class EvalArgs(EvalConfig):
    """Rolls out truth and world model in lockstep, scores the episodes, and builds a page."""

    # The options are the settings of EvalConfig; only what a command line writes differently is declared here.
    model_args: tuple[str, ...] = ()  # type: ignore[assignment]
    """Arguments of the model's constructor: name=value ..."""
    env_args: tuple[str, ...] = ()  # type: ignore[assignment]
    """Arguments of the environment that override the scenario's: name=value ..."""
    size: str | None = None  # type: ignore[assignment]
    """Height x width of the frames, for example 128x128; none = the scenario's."""
    config: Path | None = None
    """YAML file of settings (as config.yaml in a run); options given beside it override it."""
    report: bool = True
    """Build the page."""


def evaluate(args: Sequence[str]) -> int:
    """The whole path."""
    return _run(args, "eval")


def rollout(args: Sequence[str]) -> int:
    """Rollout and render only."""
    return _run(args, "rollout")


def _run(argv: Sequence[str], verb: str) -> int:
    given = parse(EvalArgs, argv, verb, EXAMPLES.replace("worldsim eval", f"worldsim {verb}"), _defaults(argv))
    config = to_config(given)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    from worldsim import evaluate as stages
    from worldsim.cli.show_plan import print_plan
    from worldsim.store import RunStore

    prepared = stages.prepare(config)
    if not config.quiet:
        print_plan(prepared)
    command = ["worldsim", verb, *argv]
    if verb == "rollout":
        store = stages.open_run(prepared, command)
        finished = stages.rollout(prepared, store)
        stages.render(prepared, store)
        print(f"recorded {len(store.done())} episodes in {store.path}\nnext: worldsim score {store.path}")
        return 0 if finished and _complete(store) else 1
    store = stages.evaluate(config, command=command, prepared=prepared)
    if len(store.committed()) < len(store.plan):
        missing = len(store.plan) - len(store.committed())
        print(f"this part is done; {missing} episodes of other parts are missing in {store.path}")
        return 0
    from worldsim.cli.stages import finish

    finish(store, build=given.report)
    return 0 if _complete(RunStore.open(store.path)) else 1


def _complete(store: Any) -> bool:
    rows = store.committed().values()
    return not any(row["status"] == "failed" for row in rows)


def to_config(given: EvalArgs) -> EvalConfig:
    """The settings behind the options."""
    names = {f.name for f in fields(EvalConfig)}
    values = {f.name: getattr(given, f.name) for f in fields(EvalArgs) if f.name in names}
    values["model_args"] = parse_args(given.model_args, "--model-args")
    values["env_args"] = parse_args(given.env_args, "--env-args")
    values["size"] = parse_size(given.size)
    return EvalConfig(**values)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Reads "64x96" as (64, 96), height first."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise ConfigError(f"--size is height x width, for example 64x64 or 360x640; got {text!r}")
    return int(parts[0]), int(parts[-1])


def _defaults(argv: Sequence[str]) -> EvalArgs | None:
    """Settings of the run that is resumed, or of --config, as defaults of the options."""
    args = list(argv)
    source = _value(args, "--config")
    out = _value(args, "--out")
    if source is not None:
        path = Path(source)
    elif "--resume" in args:
        if out is None:
            raise ConfigError("--resume needs --out: the folder of the run to go on with")
        path = Path(out) / "config.yaml"
    else:
        return None
    import yaml

    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        what = "no run to resume there" if source is None else "no readable settings there"
        raise StoreError(f"{path}: {what} ({error})") from error
    config = from_plain(plain)
    names = {f.name for f in fields(EvalArgs)}
    values = {f.name: getattr(config, f.name) for f in fields(config) if f.name in names}
    values["model_args"] = tuple(f"{k}={_scalar(v)}" for k, v in config.model_args.items())
    values["env_args"] = tuple(f"{k}={_scalar(v)}" for k, v in config.env_args.items())
    values["size"] = None if config.size is None else f"{config.size[0]}x{config.size[1]}"
    return EvalArgs(**values)


def _scalar(value: Any) -> str:
    import json

    return json.dumps(value)  # JSON is YAML


def _value(args: list[str], option: str) -> str | None:
    for i, arg in enumerate(args):
        if arg == option and i + 1 < len(args):
            return args[i + 1]
        if arg.startswith(option + "="):
            return arg.partition("=")[2]
    return None
