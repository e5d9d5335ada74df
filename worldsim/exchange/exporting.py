"""One dataset of ours written in another format, shard by shard, so that a kill costs one shard."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsim.arrays import part, storing
from worldsim.dataset import file_digest, read_info, read_shard
from worldsim.errors import ConfigError, StoreError
from worldsim.exchange.episodes import Episode, split
from worldsim.exchange.sidecar import Sidecar
from worldsim.progress import Progress

STATE = "export.json"
AGAIN = "run the same command again: only what is missing is made"


class Target(ABC):
    """A dataset in a foreign format in the making.

    Attributes:
        format: Its name.
        out: Its folder.
        sidecar: Of the dataset that is exported.
        notes: What is lost, said once it is known.
    """

    format: str

    def __init__(self, out: Path, sidecar: Sidecar) -> None:
        self.out, self.sidecar = out, sidecar
        self.notes: list[str] = []

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What decides the bytes beside the dataset; JSON values."""

    @abstractmethod
    def prepare(self, dataset: Path, shards: Sequence[str]) -> None:
        """Before the first shard; called again when an export goes on."""

    @abstractmethod
    def has(self, shard: int) -> bool:
        """Whether all of a shard is there."""

    @abstractmethod
    def write(self, shard: int, first: int, episodes: Sequence[Episode]) -> None:
        """Writes the episodes of a shard, of which the first has the number `first`; the last file commits it."""

    @abstractmethod
    def finish(self) -> None:
        """Writes what needs all shards."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written: where, how many episodes, bytes on disk, and what was lost."""

    out: Path
    episodes: int
    size: int
    notes: tuple[str, ...]


def export_dataset(dataset: Path, target: Target, *, quiet: bool = False) -> Exported:
    """Writes a dataset, or what is missing of it.

    Args:
        dataset: Of ours.
        target: The format.
        quiet: No progress.

    Raises:
        ConfigError: If the folder holds something else.
        StoreError: If a shard is damaged, or the disk is full.
    """
    info = read_info(dataset)
    _claim(target, info.digest)
    names = [name for name, _, _ in info.shards]
    with storing(target.out, again=AGAIN):
        target.prepare(dataset, names)
        first = 0
        with Progress("export", info.episodes, quiet=quiet, unit="episodes") as progress:
            for k, (name, count, sha) in enumerate(info.shards):
                if not target.has(k):
                    if file_digest(dataset / name) != sha:
                        raise StoreError(f"{dataset / name} is not what was written (its SHA-256 differs)")
                    target.write(k, first, list(split(read_shard(dataset / name))))
                first += count
                progress.advance(count)
        target.finish()
        size = sum(path.stat().st_size for path in target.out.rglob("*") if path.is_file())
    return Exported(out=target.out, episodes=first, size=size, notes=tuple(target.notes))


def _claim(target: Target, digest: str) -> None:
    """Says in the folder what is being made there, and refuses a folder that holds anything else."""
    state = {"format": target.format, "digest": digest, "settings": dict(target.settings())}
    path = target.out / STATE
    if path.is_file():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path} cannot be read ({error}): delete {target.out}, or choose another --out"
            ) from error
        if there != json.loads(json.dumps(state)):
            raise ConfigError(
                f"{target.out} holds an export of another dataset, or with other settings ({there}): choose another "
                "--out, or delete it"
            )
    elif target.out.exists() and any(target.out.iterdir()):
        raise ConfigError(f"{target.out} is not empty: choose another --out, or delete it")
    write_json(path, state)


def write_json(path: Path, plain: Any) -> None:
    """Writes JSON, whole or not at all."""
    write_bytes(path, (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all."""
    with storing(path, again=AGAIN):
        path.parent.mkdir(parents=True, exist_ok=True)
        part(path).write_bytes(data)
        part(path).replace(path)


__all__ = ["AGAIN", "STATE", "Exported", "Target", "export_dataset", "write_bytes", "write_json"]
