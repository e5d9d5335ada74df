"""What LeRobot's own reader, and ours, expect of a v3.0 dataset; strict where its documentation is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import StoreError
from worldsim.exchange import lerobot_layout as layout
from worldsim.exchange.lerobot_read import read_episodes, read_info, read_tasks
from worldsim.exchange.needs import need
from worldsim.exchange.videos import count_frames, describe

_COLUMNS = ("episode_index", "tasks", "length", "data/chunk_index", "data/file_index", "dataset_from_index",
            "dataset_to_index", "meta/episodes/chunk_index", "meta/episodes/file_index")  # fmt: skip
_TOLERANCE = 1e-4  # seconds: LeRobot's own


def check_lerobot(root: Path) -> list[str]:
    """A sentence for each fault; pictures are not decoded here."""
    try:
        info = read_info(root)
    except StoreError as error:
        return [str(error)]
    found = [f"{layout.INFO}: {said}" for said in _info(info)]
    if found:
        return found
    videos = [key for key, ft in info["features"].items() if ft["dtype"] == "video"]
    columns = [*_COLUMNS, *(f"videos/{key}/{name}" for key in videos for name in _VIDEO)]
    try:
        rows, tasks = read_episodes(root, columns), read_tasks(root)
    except StoreError as error:
        return [str(error)]
    found += _totals(info, rows, tasks)
    found += _episodes(rows, set(tasks))
    found += _data(root, info, rows, tasks)
    for key in videos:
        found += _video(root, info, rows, key)
    return found + list(_stats(root, info))


_VIDEO = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")


def _info(info: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(info["fps"], int | float) or info["fps"] <= 0:
        yield f"fps: must be above 0, got {info['fps']!r}"
    features = info["features"]
    if not isinstance(features, Mapping):
        yield f"features: must be an object, got {features!r}"
        return
    for key, feature in features.items():
        if "/" in key:
            yield f"features/{key}: a name must hold no '/'"
        if not isinstance(feature, Mapping) or not {"dtype", "shape"} <= set(feature):
            yield f"features/{key}: needs dtype and shape, got {feature!r}"
            continue
        shape, names = feature["shape"], feature.get("names")
        if not isinstance(shape, Sequence) or not shape or not all(isinstance(n, int) and n > 0 for n in shape):
            yield f"features/{key}/shape: must be a list of numbers above 0, got {shape!r}"
        elif isinstance(names, list) and len(shape) == 1 and len(names) != shape[0]:
            yield f"features/{key}/names: must be {shape[0]} names, got {len(names)}"
        if feature["dtype"] == "video" and not info.get("video_path"):
            yield f"video_path: is missing, but features/{key} is a video"
    for key, want in layout.DEFAULTS.items():
        if key not in features or features[key].get("dtype") != want["dtype"]:
            yield f"features/{key}: must have the dtype {want['dtype']}, got {features.get(key)}"


def _totals(info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> Iterator[str]:
    counted = {"total_episodes": len(rows), "total_frames": sum(int(row["length"]) for row in rows),
               "total_tasks": len(tasks)}  # fmt: skip
    for field, there in counted.items():
        if info.get(field) != there:
            yield f"{layout.INFO}: {field}: is {info.get(field)}, {there} are there"
    if len(set(tasks)) < len(tasks):
        yield f"{layout.TASKS}: a task comes twice"
    ends = [int(text.split(":")[1]) for text in info.get("splits", {}).values() if ":" in str(text)]
    if ends and max(ends) > len(rows):
        yield f"{layout.INFO}: splits: go up to episode {max(ends)}, {len(rows)} are there"


def _episodes(rows: Sequence[Mapping[str, Any]], tasks: set[str]) -> Iterator[str]:
    start = 0
    for i, row in enumerate(rows):
        where = f"{layout.EPISODES}: episode {i}"
        if row["episode_index"] != i:
            yield f"{where}: episode_index: is {row['episode_index']}: they must be numbered from 0 on"
        if row["dataset_from_index"] != start or row["dataset_to_index"] - row["dataset_from_index"] != row["length"]:
            got = f"{row['dataset_from_index']}..{row['dataset_to_index']}"
            yield f"{where}: dataset_from_index..dataset_to_index: expected {start}..{start + row['length']}, got {got}"
        if unknown := set(row["tasks"]) - tasks:
            yield f"{where}: tasks: {sorted(unknown)[0]!r} is not in {layout.TASKS}"
        start = int(row["dataset_to_index"])


def _data(
    root: Path, info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], tasks: Sequence[str]
) -> Iterator[str]:
    pq = need("pyarrow.parquet", "LeRobot")
    wanted = {key for key, ft in info["features"].items() if ft["dtype"] != "video"}
    numbers = [*layout.DEFAULTS]
    for path, own in _by_file(root, info["data_path"], rows, "data/").items():
        name = path.relative_to(root)
        try:
            file = pq.ParquetFile(path)
            there = set(file.schema_arrow.names)
            for key in sorted(wanted - there):
                yield f"{name}: {key}: the column is missing"
            if wanted - there:
                continue
            table = file.read(columns=numbers).to_pandas()
        except (OSError, ValueError) as error:
            yield f"{name}: cannot be read: {error}"
            continue
        count = sum(int(row["length"]) for row in own)
        if len(table) != count:
            yield f"{name}: has {len(table)} rows, {layout.EPISODES} says {count}"
            continue
        start = 0
        for row in own:
            part = {key: table[key].to_numpy()[start : start + row["length"]] for key in numbers}
            yield from (
                f"{name}: row {start + at}: {said}" for at, said in _columns(part, row, info["fps"], len(tasks))
            )
            start += int(row["length"])


def _by_file(
    root: Path, template: str, rows: Sequence[Mapping[str, Any]], prefix: str, **words: str
) -> dict[Path, list[Mapping[str, Any]]]:
    out: dict[Path, list[Mapping[str, Any]]] = {}
    for row in rows:
        place = {name: row[f"{prefix}{name}"] for name in ("chunk_index", "file_index")}
        out.setdefault(root / template.format(**place, **words), []).append(row)
    return out


def _columns(part: Mapping[str, Any], row: Mapping[str, Any], fps: float, tasks: int) -> Iterator[tuple[int, str]]:
    """(row, what is wrong) of the numbers of one episode: the first wrong row of each column."""
    n = np.arange(row["length"])
    expected = {"frame_index": n, "index": row["dataset_from_index"] + n,
                "episode_index": np.full(len(n), row["episode_index"])}  # fmt: skip
    for key, want in expected.items():
        if (wrong := part[key] != want).any():
            at = int(wrong.argmax())
            yield at, f"{key}: expected {want[at]}, got {part[key][at]}"
    if (wrong := np.abs(part["timestamp"] - n / fps) > _TOLERANCE).any():
        at = int(wrong.argmax())
        yield at, f"timestamp: expected {n[at] / fps:.4f} s at {fps} frames a second, got {part['timestamp'][at]:.4f}"
    if (wrong := (part["task_index"] < 0) | (part["task_index"] >= tasks)).any():
        at = int(wrong.argmax())
        yield at, f"task_index: must be in 0..{tasks - 1}, got {part['task_index'][at]}"


def _video(root: Path, info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], key: str) -> Iterator[str]:
    by_file = _by_file(root, info["video_path"], rows, f"videos/{key}/", video_key=key)
    for path, own in by_file.items():
        name = path.relative_to(root)
        try:
            size, fps, _, _ = describe(path)
            count = count_frames(path)
        except StoreError as error:
            yield str(error)
            continue
        shape = list(info["features"][key]["shape"])
        if sorted([*size, 3]) != sorted(shape):
            yield f"{name}: is {size[0]}x{size[1]}, features/{key}/shape is {shape}"
        if fps and abs(fps - info["fps"]) > 0.01:
            yield f"{name}: is played at {fps:g} frames a second, fps is {info['fps']}"
        for row in own:
            low, high = (float(row[f"videos/{key}/{end}"]) for end in ("from_timestamp", "to_timestamp"))
            where = f"{layout.EPISODES}: episode {row['episode_index']}: videos/{key}"
            if abs((high - low) * info["fps"] - row["length"]) > 0.5:
                yield f"{where}/to_timestamp: {high - low:.3f} s are not {row['length']} frames"
            elif round(high * info["fps"]) > count:
                yield f"{where}/to_timestamp: {high:.3f} s is beyond the {count} frames of {name}"


def _stats(root: Path, info: Mapping[str, Any]) -> Iterator[str]:
    path = root / layout.STATS
    try:
        stats = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        yield f"{layout.STATS}: cannot be read: {error}"
        return
    for key, feature in info["features"].items():
        own = stats.get(key)
        if feature["dtype"] == "string":
            continue
        if not isinstance(own, Mapping) or not {"min", "max", "mean", "std", "count"} <= set(own):
            yield f"{layout.STATS}: {key}: needs min, max, mean, std and count"
            continue
        picture = feature["dtype"] in ("image", "video")
        shape = (3, 1, 1) if picture else tuple(feature["shape"])
        low, mean, high = (np.asarray(own[name], np.float64) for name in ("min", "mean", "max"))
        if any(values.shape != shape for values in (low, mean, high)):
            yield f"{layout.STATS}: {key}: must have the shape {shape}, got {low.shape}, {mean.shape}, {high.shape}"
        elif not ((low <= mean + 1e-6) & (mean <= high + 1e-6)).all():
            yield f"{layout.STATS}: {key}: min <= mean <= max does not hold"
        elif picture and high.max() > 1 + 1e-6:
            yield f"{layout.STATS}: {key}: of pictures must be in 0..1, got {high.max()}"
