"""How one episode lies on disk: written frame by frame in bounded memory, read back lazily and exactly.

Used by `worldsim.store` only. Layout of `episodes/<id>/` in `docs/run-format.md`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from worldsim import trees, video
from worldsim.errors import StoreError
from worldsim.truth import CellChange, Event, Intervention, ObjectState, State, TruthState
from worldsim.types import Branch, Episode, Frames, FrameSource, Mark, Rollout, Trajectory

_COMPACT = 256  # actions are joined into arrays in pieces of this many, so that long episodes stay small in memory


# ------------------------------------------------------------------------------------------------- states as lines


def state_to_plain(state: TruthState) -> dict[str, Any]:
    """Everything of a state but its images, as JSON values. Floats survive exactly (repr round trip)."""
    return {
        "time": float(state.time),
        "world_from_camera": None if state.world_from_camera is None else state.world_from_camera.tolist(),
        "intrinsics": None if state.intrinsics is None else state.intrinsics.tolist(),
        "objects": [
            [
                o.id,
                o.kind,
                [float(x) for x in o.position],
                [float(x) for x in o.size],
                o.exists,
                o.visible_px,
                dict(o.attributes),
            ]
            for o in state.objects
        ],
        "cells": [[list(c.position), c.before, c.after] for c in state.cells],
        "events": [
            [e.kind, e.object_id, None if e.position is None else [float(x) for x in e.position], dict(e.details)]
            for e in state.events
        ],
    }


def state_from_plain(
    plain: Mapping[str, Any], depth: NDArray[np.float32] | None, segmentation: NDArray[np.int32] | None
) -> TruthState:
    """Inverse of `state_to_plain`."""

    def matrix(name: str) -> NDArray[np.float64] | None:
        return None if plain[name] is None else np.asarray(plain[name], np.float64)

    return TruthState(
        time=plain["time"],
        world_from_camera=matrix("world_from_camera"),
        intrinsics=matrix("intrinsics"),
        depth=depth,
        segmentation=segmentation,
        objects=tuple(
            ObjectState(
                id=i,
                kind=kind,
                position=np.asarray(position, np.float64),
                size=np.asarray(size, np.float64),
                exists=exists,
                visible_px=visible,
                attributes=attributes,
            )
            for i, kind, position, size, exists, visible, attributes in plain["objects"]
        ),
        cells=tuple(CellChange(position=(p[0], p[1], p[2]), before=b, after=a) for p, b, a in plain["cells"]),
        events=tuple(
            Event(kind=k, object_id=i, position=None if p is None else (p[0], p[1], p[2]), details=d)
            for k, i, p, d in plain["events"]
        ),
    )


class StoredStates(Sequence[TruthState]):
    """The states of an episode, read one at a time from `truth.jsonl`, `depth.npz` and `ids.npz`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "truth.jsonl"
        offsets = [0]
        with self._path.open("rb") as file:
            for line in file:
                offsets.append(offsets[-1] + len(line))
        self._offsets = offsets
        self._depth = _open_arrays(folder / "depth.npz")
        self._ids = _open_arrays(folder / "ids.npz")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, key: int) -> TruthState: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[TruthState, ...]: ...
    def __getitem__(self, key: int | slice) -> TruthState | tuple[TruthState, ...]:
        if isinstance(key, slice):
            return tuple(self[i] for i in range(*key.indices(len(self))))
        i = range(len(self))[key]
        with self._path.open("rb") as file:
            file.seek(self._offsets[i])
            plain = json.loads(file.readline())
        return state_from_plain(
            plain,
            None if self._depth is None else self._depth[i],
            None if self._ids is None else self._ids[i],
        )


def _open_arrays(path: Path) -> Any:
    return video.open_arrays(path) if path.exists() else None


# ------------------------------------------------------------------------------------------------------ writing


@dataclass(frozen=True, kw_only=True)
class RolloutKey:
    """Which of an episode's rollouts: arm, sample, and the model's seed."""

    arm: str
    sample: int
    seed: int

    @property
    def stem(self) -> str:
        """Its file name without suffix."""
        return f"generated-{self.arm}-{self.sample}"


class EpisodeWriter:
    """Writes one episode into a temporary folder; `RunStore.commit` renames it into place.

    All methods but the constructor are called from the encoder thread, in order.
    """

    def __init__(
        self, folder: Path, *, size: tuple[int, int], fps: float, rollouts: Sequence[RolloutKey], provenance: Any
    ) -> None:
        self.folder, self._size, self._fps = folder, size, fps
        folder.mkdir(parents=True)
        self._provenance = dict(provenance)
        self._truth = video.LosslessWriter(folder / "truth", size, fps)
        timeless = {k: v for k, v in self._provenance.items() if k != "created"}  # equal runs, equal bytes
        self._generated = {
            key: video.LosslessWriter(
                folder / key.stem, size, fps, metadata=timeless | {"rollout": key.stem, "seed": key.seed}
            )
            for key in rollouts
        }
        self._rollouts = tuple(rollouts)
        self._optional: dict[str, Any] = {}
        self._lines = (folder / "truth.jsonl").open("w", encoding="utf-8")
        self._pieces: list[Any] = []
        self._recent: list[Any] = []
        self._rewards: list[float] = []
        self._given: dict[RolloutKey, dict[str, list[Any]]] = {key: {} for key in rollouts}
        self._eyes = _Eyes(folder, size, fps, self._provenance | {"rollout": rollouts[0].stem}) if rollouts else None

    def truth(self, frame: Frames, state: TruthState, action: Any, reward: float) -> None:
        """Appends a frame of the truth with its state; `action` None marks the frame of the reset."""
        self._truth.append(frame[None])
        self._lines.write(json.dumps(state_to_plain(state), separators=(",", ":")) + "\n")
        for name, image in (("depth", state.depth), ("ids", state.segmentation)):
            if image is not None:
                self._stream(name, image)
        if action is not None:
            self._recent.append(action)
            self._rewards.append(reward)
            if len(self._recent) == _COMPACT:
                self._compact()
        if self._eyes:
            self._eyes.truth(frame)

    def generated(self, key: RolloutKey, frame: Frames, given: Mapping[str, Any]) -> None:
        """Appends a frame of a rollout, and what the model gave beside it (rewards, terminated, ...)."""
        self._generated[key].append(frame[None])
        for name, value in given.items():
            self._given[key].setdefault(name, []).append(value)
        if self._eyes and key == self._rollouts[0]:
            self._eyes.generated(frame)

    def side(self, name: str, frame: Frames) -> None:
        """Appends a frame of another account of the truth: "rerun" or "codec"."""
        if name not in self._optional:
            self._optional[name] = video.LosslessWriter(self.folder / name, self._size, self._fps)
        self._optional[name].append(frame[None])

    def finish(self, snapshots: Mapping[str, State]) -> None:
        """Writes what is only known at the end and closes every file."""
        self._compact()
        flat = trees.flatten(
            {"actions": trees.concatenate(self._pieces), "rewards": np.asarray(self._rewards, np.float32)}
        )
        for key, given in self._given.items():
            flat |= {f"{key.stem}/{name}": np.stack(values) for name, values in given.items()}
        _save_npz(self.folder / "arrays.npz", flat)
        if snapshots:
            _save_npz(self.folder / "snapshots.npz", trees.flatten(dict(snapshots)))
        self.close()
        if self._eyes:
            self._eyes.finish()

    def close(self) -> None:
        """Closes every file without completing the episode."""
        self._lines.close()
        for writer in (self._truth, *self._generated.values(), *self._optional.values()):
            writer.close()

    def _stream(self, name: str, image: NDArray[Any]) -> None:
        if name not in self._optional:
            self._optional[name] = video.ArrayWriter(self.folder / f"{name}.npz")
        self._optional[name].append(image[None])

    def _compact(self) -> None:
        if self._recent:
            self._pieces.append(trees.stack(self._recent))
            self._recent = []


class _Eyes:
    """`pair.mp4` (truth | generated | difference) and its poster: for people, never scored."""

    def __init__(self, folder: Path, size: tuple[int, int], fps: float, provenance: Mapping[str, Any]) -> None:
        scale = max(1, round(192 / size[0]))  # 64 px is too small to look at
        self._folder, self._waiting_truth, self._waiting_generated = folder, [], []  # type: tuple[Path, list[Frames], list[Frames]]
        self._poster: Frames | None = None
        self._count = 0
        self._mp4 = video.Mp4Writer(folder / "pair.mp4", (size[0], size[1] * 3), fps, metadata=provenance, scale=scale)

    def truth(self, frame: Frames) -> None:
        self._waiting_truth.append(frame)
        self._pair()

    def generated(self, frame: Frames) -> None:
        self._waiting_generated.append(frame)
        self._pair()

    def _pair(self) -> None:
        while self._waiting_truth and self._waiting_generated:
            a, b = self._waiting_truth.pop(0), self._waiting_generated.pop(0)
            row = np.concatenate([a, b, video.difference(a[None], b[None])[0]], axis=1)
            self._mp4.append(row[None])
            self._count += 1
            if self._poster is None or (self._count & (self._count - 1)) == 0:
                self._poster = row  # frames 1, 2, 4, 8, ...: the last one lies in the second half of any episode

    def finish(self) -> None:
        self._mp4.close()
        if self._poster is not None:
            video.write_png(self._folder / "poster.png", self._poster)


# ------------------------------------------------------------------------------------------------------- reading


def read_episode(folder: Path, row: Mapping[str, Any], branches: tuple[Branch, ...] = ()) -> Episode:
    """The episode of one committed line; frames and states stay on disk until they are indexed."""
    arrays = _load_npz(folder / "arrays.npz")
    actions = trees.unflatten({k: v for k, v in arrays.items() if k.split("/")[0] == "actions"})["actions"]
    common: dict[str, Any] = {"actions": actions, "fps": row["fps"]}
    truth = Trajectory(
        frames=_frames(folder / "truth"),
        rewards=arrays["rewards"],
        states=StoredStates(folder),
        ended=row["ended"],
        end_reason=row["end_reason"],
        **common,
    )
    rollouts = []
    for given in row["rollouts"]:
        key = RolloutKey(arm=given["arm"], sample=given["sample"], seed=given["seed"])
        beside = {k.split("/", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{key.stem}/")}
        extras = {name: _with_context(values, truth, name) for name, values in beside.items()}
        rewards = extras.pop("rewards", None)
        trajectory = Trajectory(frames=_frames(folder / key.stem), rewards=rewards, extras=extras, **common)
        rollouts.append(
            Rollout(
                trajectory=trajectory,
                arm=key.arm,
                sample=key.sample,
                seed=key.seed,
                prompts=tuple((t, text) for t, text in row["prompts"]),
            )
        )
    rerun = _optional_frames(folder / "rerun")
    return Episode(
        id=row["episode"],
        scenario=row["scenario"],
        world_seed=row["world_seed"],
        context_length=row["context"],
        truth=truth,
        generated=tuple(rollouts),
        rerun=None if rerun is None else Trajectory(frames=rerun, **common),
        codec=_optional_frames(folder / "codec"),
        branches=branches,
        marks=tuple(Mark(name=m["name"], frame=m["frame"]) for m in row["marks"]),
        pair_id=row["pair_id"],
        variant=row["variant"],
        label=row.get("label", ""),
        focus=row.get("focus", {}),
        prompt=row["prompts"][0][1] if row["prompts"] else "",
    )


def _with_context(values: NDArray[Any], truth: Trajectory, name: str) -> NDArray[Any]:
    """Prepends the steps of the context, which both sides share: the truth's rewards, zeros for anything else."""
    steps = len(truth) - len(values)
    head = np.zeros((steps, *values.shape[1:]), values.dtype)
    if name == "rewards" and truth.rewards is not None:
        head[:] = truth.rewards[:steps]
    return np.concatenate([head, values])


def read_snapshots(folder: Path) -> dict[str, State]:
    """The truth's snapshots by mark; empty if none were kept."""
    path = folder / "snapshots.npz"
    return dict(trees.unflatten(_load_npz(path))) if path.exists() else {}


def write_branches(path: Path, branches: Sequence[Branch]) -> None:
    """Writes rendered alternatives to one `.npz`, in one move."""
    flat: dict[str, NDArray[Any]] = {}
    index = []
    for i, b in enumerate(branches):
        index.append({"name": b.name, "event": b.event, "description": b.intervention.description, "at": b.at})
        flat |= {f"{i}/steps": b.steps, f"{i}/frames": b.frames}
        if b.changed is not None:
            flat[f"{i}/changed"] = np.packbits(b.changed, axis=-1)
        if b.lattice is not None:
            flat[f"{i}/lattice"] = b.lattice
    flat["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    _save_npz(path, flat)


def read_branches(path: Path) -> tuple[Branch, ...]:
    """Inverse of `write_branches`; () if the file is not there. The change itself is kept in words only."""
    if not path.exists():
        return ()
    flat = _load_npz(path)
    out = []
    for i, entry in enumerate(json.loads(flat["index"].tobytes().decode())):
        frames = flat[f"{i}/frames"]
        packed = flat.get(f"{i}/changed")
        changed = None if packed is None else np.unpackbits(packed, axis=-1, count=frames.shape[2]).astype(bool)
        out.append(
            Branch(
                name=entry["name"],
                event=entry["event"],
                intervention=Intervention(description=entry["description"]),
                at=entry["at"],
                steps=flat[f"{i}/steps"],
                frames=frames,
                changed=changed,
                lattice=flat.get(f"{i}/lattice"),
            )
        )
    return tuple(out)


def _frames(stem: Path) -> FrameSource:
    found = _optional_frames(stem)
    if found is None:
        raise StoreError(
            f"no {stem.name}.npz or {stem.name}.mkv in {stem.parent}: the episode is incomplete or was moved"
        )
    return found


def _optional_frames(stem: Path) -> FrameSource | None:
    for suffix in (".npz", ".mkv"):
        path = stem.parent / (stem.name + suffix)
        if path.exists():
            return video.open_lossless(path)
    return None


def _save_npz(path: Path, flat: Mapping[str, NDArray[Any]]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **flat)  # type: ignore[arg-type]
    temporary.replace(path)


def _load_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); run `worldsim eval --resume` to make it again") from error
