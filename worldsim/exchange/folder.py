"""A folder with a video for each episode and its actions beside it: what every script can read.

episode-000012.mkv          frames 0..n: FFV1 (.mkv) and .npz keep every byte; .mp4 (H.264, 4:2:0) loses some
episode-000012.jsonl        n lines {"action": ..., "reward": ..., "terminated": ..., "caption": ...}, and a last
                            one with the caption of the last frame; or .csv with a column for each number
episode-000012.actions.npy  the same actions as (n, k) numbers, and
episode-000012.txt          the caption of the first frame: `worldsim score --truth FOLDER` reads these two
episode-000012.json         steps, the seed of the world, and in dB what an .mp4 lost
worldsim.json               the rest of `dataset.json`
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from worldsim import trees
from worldsim.errors import ConfigError
from worldsim.exchange.episodes import Episode
from worldsim.exchange.exporting import Target, write_bytes, write_json
from worldsim.exchange.sidecar import Sidecar
from worldsim.exchange.vectors import layout
from worldsim.exchange.videos import FrameStream, psnr
from worldsim.video import LosslessWriter, Mp4Writer

Frames = Literal["mkv", "npz", "mp4"]
Actions = Literal["jsonl", "csv"]
OURS = "worldsim.json"


class FolderTarget(Target):
    """A folder of videos and actions in the making.

    Attributes:
        frames: "mkv", "npz" or "mp4".
        actions: "jsonl" or "csv".
    """

    format = "folder"

    def __init__(self, out: Path, sidecar: Sidecar, *, frames: Frames = "mkv", actions: Actions = "jsonl") -> None:
        """`out` is the folder."""
        if frames not in get_args(Frames) or actions not in get_args(Actions):
            raise ConfigError(
                f"frames must be one of {', '.join(get_args(Frames))} and actions one of "
                f"{', '.join(get_args(Actions))}; got {frames!r}, {actions!r}"
            )
        super().__init__(out, sidecar)
        self.frames, self.actions = frames, actions
        self._layout = layout(sidecar.info.action_space, sidecar.dtypes)
        self._starts = np.cumsum([0, *sidecar.counts]).tolist()

    def settings(self) -> Mapping[str, Any]:
        """As the base class says."""
        return {"frames": self.frames, "actions": self.actions}

    def prepare(self, dataset: Path, shards: Sequence[str]) -> None:
        """Makes the folder."""
        self.out.mkdir(parents=True, exist_ok=True)

    def has(self, shard: int) -> bool:
        """As the base class says."""
        return all(self._file(i, "json").is_file() for i in range(self._starts[shard], self._starts[shard + 1]))

    def write(self, shard: int, first: int, episodes: Sequence[Episode]) -> None:
        """As the base class says."""
        for i, episode in enumerate(episodes, first):
            if self._file(i, "json").is_file():
                continue
            lost = self._write_frames(i, episode)
            text = _jsonl(episode) if self.actions == "jsonl" else self._csv(episode)
            write_bytes(self._file(i, self.actions), text.encode())
            packed = io.BytesIO()
            np.save(packed, self._layout.vectors(episode.actions), allow_pickle=False)
            write_bytes(self._file(i, "actions.npy"), packed.getvalue())
            if episode.captions[0]:
                write_bytes(self._file(i, "txt"), (episode.captions[0] + "\n").encode())
            about = {"steps": len(episode), "world_seed": episode.world_seed, **lost}
            write_json(self._file(i, "json"), about)  # the episode is there from now on

    def finish(self) -> None:
        """As the base class says."""
        write_json(self.out / OURS, {**self.sidecar.to_plain(), "frames": self.frames, "actions": self.actions})
        if self.frames == "mp4":
            files = [self._file(i, "json") for i in range(self._starts[-1])]
            values = [json.loads(file.read_text(encoding="utf-8"))["psnr"] for file in files]
            self.notes.append(
                f"the videos are H.264 with 4:2:0 colours: {np.mean(values):.1f} dB PSNR over the episodes, "
                f"{min(values):.1f} dB in the worst; mkv and npz lose nothing"
            )

    def _file(self, episode: int, suffix: str) -> Path:
        return self.out / f"episode-{episode:06d}.{suffix}"

    def _write_frames(self, number: int, episode: Episode) -> dict[str, float]:
        size, fps = self.sidecar.info.size, self.sidecar.info.fps
        stem = self.out / f"episode-{number:06d}"
        if self.frames != "mp4":
            with LosslessWriter(stem, size, fps, kind="ffv1" if self.frames == "mkv" else "arrays") as writer:
                writer.append(episode.frames)
            return {}
        path = stem.with_name(stem.name + ".mp4")
        with Mp4Writer(path, size, fps) as lossy:
            lossy.append(episode.frames)
        back = FrameStream(path).take(0, len(episode.frames))[:, : size[0], : size[1]]
        return {"psnr": round(min(psnr(back, episode.frames), 99.0), 2)}

    def _csv(self, episode: Episode) -> str:
        """Numbers as Python writes them: they come back exactly."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "reward", "terminated", "caption", *self._layout.names])
        flat = trees.flatten(episode.actions)
        columns = [flat[leaf.path].reshape(len(episode), -1).tolist() for leaf in self._layout.leaves]
        for t in range(len(episode)):
            cells = [_number(value) for column in columns for value in column[t]]
            ended = int(episode.terminated and t == len(episode) - 1)
            writer.writerow([t, repr(float(episode.rewards[t])), ended, episode.captions[t], *cells])
        writer.writerow([len(episode), "", "", episode.captions[-1], *[""] * len(self._layout.names)])
        return file.getvalue()


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | int) else repr(float(value))


def _jsonl(episode: Episode) -> str:
    lines = []
    for t in range(len(episode)):
        line = {
            "action": trees.map_leaves(lambda x, t=t: np.asarray(x[t]).tolist(), episode.actions),
            "reward": float(episode.rewards[t]),
            "terminated": bool(episode.terminated and t == len(episode) - 1),
            "caption": episode.captions[t],
        }
        lines.append(json.dumps(line, ensure_ascii=False))
    lines.append(json.dumps({"caption": episode.captions[-1]}, ensure_ascii=False))
    return "\n".join(lines) + "\n"
