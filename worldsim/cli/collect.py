"""`worldsim collect`: records play to train on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worldsim.cli.arguments import parse

if TYPE_CHECKING:
    from worldsim.collect import CollectConfig

EXAMPLES = """
worldsim collect --env blocks --env-args preset=arena --episodes 2048 --steps 96 --out data/arena
worldsim collect --episodes 2048 --workers 2 --out data/arena     # the same bytes; after a kill it goes on
worldsim collect --episodes 4096 --out data/arena                 # more of the same: what is there is kept
worldsim collect --episodes 96 --steps 64 --split validation --seed 7 --out data/arena-validation
worldsim collect --env-args preset=village actions=discrete --size 128x128 --shard 8 --walks 1 --out data/village
worldsim collect --env gym:MiniWorld-PickupObjects-v0 --out data/miniworld
worldsim collect --env my_env.py:Make --controller my_env.py:Walk --out data/mine
worldsim check dataset data/arena
"""


@dataclass(frozen=True, kw_only=True)
class CollectArgs:
    """Plays worlds and records frames, actions, rewards and captions in shards: data to train on.

    The same settings give the same bytes. After an interruption the same command makes only what is missing.
    """

    out: Path
    """Folder of the dataset."""
    env: str = "blocks"
    """The truth: a registered name, or path/to/file.py:Name."""
    env_args: tuple[str, ...] = ()
    """Arguments of the environment: name=value ...; none = preset=arena for blocks."""
    episodes: int = 256
    """How many."""
    steps: int = 96
    """Steps of each; one that ends earlier is padded."""
    scenarios: tuple[str, ...] = ()
    """Scenario sets whose probes play a share of the episodes; none = core for blocks, only walks elsewhere."""
    walks: float = 0.7
    """Share of the episodes that are walks, 0 to 1."""
    interact: float = 0.1
    """Probability of an attack or use in each stretch of a walk, in half of the walks."""
    controller: str = ""
    """Who walks: a registered name, or path/to/file.py:Name; none = explore, but random for gym:<id>."""
    size: str = "64x64"
    """Height x width of the frames."""
    split: Literal["train", "validation", "test"] = "train"
    """Which worlds; no world is in two of them."""
    seed: int = 0
    """Everything random follows from it."""
    shard: int = 32
    """Episodes in one file, which lies in memory as a whole."""
    workers: int = 1
    """Processes that play; the bytes are the same for any number."""
    quiet: bool = False
    """No progress."""


def collect_command(args: Sequence[str]) -> int:
    """Makes, completes or extends a dataset."""
    given = parse(CollectArgs, args, "collect", EXAMPLES)
    from worldsim.collect import collect
    from worldsim.dataset import read_lengths

    if given.split == "test":
        print(
            "note: test worlds are what results are reported on; train and tune on --split train and validation",
            file=sys.stderr,
        )
    try:
        info = collect(to_config(given), given.out, workers=given.workers, quiet=given.quiet)
    except KeyboardInterrupt:
        print("interrupted; finished shards are safe, the same command goes on", file=sys.stderr)
        return 130
    steps = sum(int(read_lengths(given.out / name).sum()) for name, _, _ in info.shards)
    size = sum((given.out / name).stat().st_size for name, _, _ in info.shards)
    print(f"{info.episodes} episodes, {steps:,} steps, {len(info.shards)} shards, {size / 1e6:,.1f} MB: {given.out}")
    print(f"next: worldsim check dataset {given.out}")
    return 0


def to_config(given: CollectArgs) -> CollectConfig:
    """The settings behind the options."""
    from worldsim.cli.run import parse_size
    from worldsim.collect import CollectConfig
    from worldsim.config import parse_args

    blocks = given.env in ("blocks", "worldsim/Blocks-v0")
    return CollectConfig(
        env=given.env,
        env_args=parse_args(given.env_args, "--env-args") or ({"preset": "arena"} if blocks else {}),
        scenarios=given.scenarios or (("core",) if blocks else ()),
        walks=given.walks,
        interact=given.interact,
        controller=given.controller or ("random" if given.env.startswith("gym:") else "explore"),
        episodes=given.episodes,
        steps=given.steps,
        size=parse_size(given.size) or (64, 64),
        seed=given.seed,
        split=given.split,
        shard=given.shard,
    )
