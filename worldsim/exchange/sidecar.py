"""What a foreign format has no words for, as JSON beside it: enough to get the same bytes back.

{"schema": 1, "dataset": {dataset.json without its shards}, "digest": "...", "steps": T, "shards": [32, 32, 7],
 "dtypes": {"camera": "float32", ...}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worldsim.dataset import DatasetInfo, from_plain_settings, plain_settings, read_info, read_shard
from worldsim.errors import StoreError
from worldsim.exchange.vectors import space_dtypes

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What is kept of a dataset of ours.

    Attributes:
        info: Its index, without shards.
        digest: Of the shards.
        steps: T.
        counts: Episodes of each shard.
        dtypes: Path -> dtype of each leaf of the actions.
    """

    info: DatasetInfo
    digest: str
    steps: int
    counts: tuple[int, ...]
    dtypes: Mapping[str, str]

    def to_plain(self) -> dict[str, Any]:
        """As values for JSON."""
        return {
            "schema": SCHEMA,
            "dataset": plain_settings(self.info),
            "digest": self.digest,
            "steps": self.steps,
            "shards": list(self.counts),
            "dtypes": dict(self.dtypes),
        }


def of_dataset(folder: Path) -> Sidecar:
    """What is to be kept of a dataset; reads its index and first shard. Raises StoreError if it has none."""
    info = read_info(folder)
    if not info.shards:
        raise StoreError(f"{folder} holds no shard yet: finish `worldsim collect --out {folder}` first")
    first = read_shard(folder / info.shards[0][0])
    return Sidecar(
        info=replace(info, shards=()),
        digest=info.digest,
        steps=first.steps,
        counts=tuple(count for _, count, _ in info.shards),
        dtypes=space_dtypes(first.actions),
    )


def from_plain(plain: Any, where: str) -> Sidecar:
    """Inverse of `Sidecar.to_plain`. Raises StoreError naming `where` and the field."""
    if not isinstance(plain, Mapping) or plain.get("schema") != SCHEMA:
        found = plain.get("schema") if isinstance(plain, Mapping) else plain
        raise StoreError(f"{where}: schema: this version reads {SCHEMA}, got {found!r}; export the dataset again")
    try:
        info = from_plain_settings(plain["dataset"])
        counts = tuple(int(n) for n in plain["shards"])
        return Sidecar(
            info=info, digest=plain["digest"], steps=int(plain["steps"]), counts=counts, dtypes=dict(plain["dtypes"])
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StoreError(f"{where}: a field is missing or of the wrong kind ({error!r}); export it again") from error


def read(path: Path) -> Sidecar | None:
    """The sidecar in a file; None if there is no file. Raises StoreError if it cannot be read."""
    if not path.is_file():
        return None
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); export the dataset again, or delete this file") from error
    return from_plain(plain, str(path))
