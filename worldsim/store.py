"""RunStore: the only module that knows how a run lies on disk (schema 1, `docs/run-format.md`).

An episode is written to a temporary folder, renamed into place, and *committed* by one line appended to
`episodes.jsonl`. A process that is killed at any moment loses at most the episodes it was in; a torn last line is
ignored and cut off by the next writer. All JSON is free of NaN, keys are in a fixed order, and tables hold no times,
so that equal runs have equal bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldsim import episode_io
from worldsim.config import EvalConfig, from_plain, to_plain
from worldsim.errors import ConfigError, StoreError
from worldsim.lane import PlannedEpisode
from worldsim.truth import State
from worldsim.types import Branch, Episode

SCHEMA = 1
TABLES = ("observations", "scores", "curves")


#: What `create` writes before run.json: a folder with nothing else is one whose start was killed, and is started again.
_BEFORE_RUN_JSON = frozenset({"episodes", "config.yaml", "plan.jsonl", "episodes.jsonl"})


class RunStore:
    """One run: settings, plan, committed episodes, tables."""

    def __init__(self, path: Path) -> None:
        """`path` must hold a run; use `create` or `open`."""
        self.path = path

    # ------------------------------------------------------------------------------------------ making and opening

    @classmethod
    def create(
        cls, path: Path, config: EvalConfig, plan: Sequence[PlannedEpisode], info: Mapping[str, Any]
    ) -> RunStore:
        """Starts a run in an empty or new folder.

        Raises:
            StoreError: If the folder holds a run already, or something else.
        """
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path} is a file; choose another --out")
        found = {entry.name for entry in path.iterdir() if entry.suffix != ".tmp"} if path.exists() else set()
        if "run.json" in found:
            raise StoreError(f"{path} holds a run already; go on with it by --resume, or choose another --out")
        begun = path / "episodes.jsonl"
        if found - _BEFORE_RUN_JSON or (begun.exists() and begun.stat().st_size):
            raise StoreError(f"{path} holds other files already; choose another --out")
        import yaml

        store = cls(path)
        with writing(path):
            (path / "episodes").mkdir(parents=True, exist_ok=True)
            _replace(path / "config.yaml", yaml.safe_dump(to_plain(config), sort_keys=False))
            _replace(path / "plan.jsonl", "".join(_line(dataclasses.asdict(p)) for p in plan))
            (path / "episodes.jsonl").touch()
            store.write_run({"schema": SCHEMA, "status": "started", **info})
        return store

    @classmethod
    def open(cls, path: Path) -> RunStore:
        """Opens an existing run.

        Raises:
            StoreError: If there is none, or its schema is newer than this worldsim.
        """
        store = cls(path)
        if not (path / "run.json").is_file():
            raise StoreError(f"{path} is not a run: it has no run.json. `worldsim ls runs` lists the runs under runs/.")
        schema = store.run.get("schema")
        if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
            raise StoreError(f"{path} has schema {schema!r}; this worldsim reads 1..{SCHEMA}. Update worldsim.")
        return store

    # ---------------------------------------------------------------------------------------------------- reading

    @property
    def run(self) -> dict[str, Any]:
        """The contents of run.json."""
        return _read_json(self.path / "run.json")

    @property
    def config(self) -> EvalConfig:
        """The settings it was started with."""
        import yaml

        plain = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        return from_plain(plain, out=self.path)

    @property
    def plan(self) -> tuple[PlannedEpisode, ...]:
        """Every intended episode."""
        return tuple(PlannedEpisode(**row) for row in _read_lines(self.path / "plan.jsonl"))

    def committed(self) -> dict[str, dict[str, Any]]:
        """Episode id -> its newest committed line, in the order of the plan."""
        rows = {row["episode"]: row for row in _read_lines(self.path / "episodes.jsonl")}
        return {p.episode: rows[p.episode] for p in self.plan if p.episode in rows}

    def done(self) -> list[dict[str, Any]]:
        """The committed lines of episodes that ran to their end."""
        return [row for row in self.committed().values() if row["status"] == "done"]

    def episode(self, row: Mapping[str, Any]) -> Episode:
        """The episode of a committed line; frames and states are read from disk when indexed."""
        return episode_io.read_episode(self.folder(row["episode"]), row, self.branches(row["episode"]))

    def snapshots(self, episode: str) -> dict[str, State]:
        """The truth's snapshots of an episode, by mark."""
        return episode_io.read_snapshots(self.folder(episode))

    def branches(self, episode: str) -> tuple[Branch, ...]:
        """The rendered alternatives of an episode; () before the render stage."""
        return episode_io.read_branches(self._branches(episode))

    def has_branches(self, episode: str) -> bool:
        """Whether the render stage has drawn this episode's alternatives."""
        return self._branches(episode).exists()

    def table(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of observations, scores or curves."""
        return _read_lines(self.path / f"{name}.jsonl")

    @property
    def summary(self) -> dict[str, Any]:
        """The contents of summary.json."""
        return _read_json(self.path / "summary.json")

    def folder(self, episode: str) -> Path:
        """Where an episode's files lie."""
        return self.path / "episodes" / episode

    def _branches(self, episode: str) -> Path:
        return self.path / "branches" / f"{episode}.npz"

    def damage(self) -> Iterator[str]:
        """Compares the files of committed episodes with their recorded SHA-256; a sentence for each that differs."""
        for row in self.committed().values():
            folder = self.folder(row["episode"])
            for name, recorded in row["files"].items():
                path = folder / name
                if not path.is_file():
                    yield f"{path} is missing"
                elif _sha256(path) != recorded:
                    yield f"{path} is not what was written (its SHA-256 differs)"

    # ---------------------------------------------------------------------------------------------------- writing

    def begin(self, episode: str, **kwargs: Any) -> episode_io.EpisodeWriter:
        """A writer into a fresh temporary folder of this process; see `EpisodeWriter` for the arguments."""
        folder = self.path / "episodes" / f".{episode}.{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        with writing(folder):
            return episode_io.EpisodeWriter(folder, **kwargs)

    def commit(self, row: Mapping[str, Any], writer: episode_io.EpisodeWriter | None) -> None:
        """Makes an episode part of the run: rename its folder, then append its line. `writer` None: a line only."""
        with writing(self.path):
            files: dict[str, str] = {}
            if writer is not None:
                final = self.folder(row["episode"])
                files = {f.name: _sha256(f) for f in sorted(writer.folder.iterdir()) if f.suffix != ".mp4"}
                shutil.rmtree(final, ignore_errors=True)  # renamed by a process that was killed before it committed
                writer.folder.replace(final)
                self._branches(row["episode"]).unlink(missing_ok=True)
            self._append(self.path / "episodes.jsonl", _line({**row, "files": files}))

    def discard(self, writer: episode_io.EpisodeWriter) -> None:
        """Throws an unfinished episode away."""
        with contextlib.suppress(StoreError, OSError, ValueError):  # it is thrown away in any case
            writer.close()
        shutil.rmtree(writer.folder, ignore_errors=True)

    def write_branches(self, episode: str, branches: Sequence[Branch]) -> None:
        """Keeps the rendered alternatives of an episode."""
        with writing(self.path):
            episode_io.write_branches(self._branches(episode), branches)

    def write_table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replaces a table in one move."""
        with writing(self.path):
            temporary = self.path / f"{name}.jsonl.tmp"
            with temporary.open("w", encoding="utf-8") as file:
                for row in rows:
                    file.write(_line(row))
            temporary.replace(self.path / f"{name}.jsonl")
            _parquet_twin(self.path / f"{name}.jsonl")

    def write_summary(self, status: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replaces summary.json in one move."""
        with writing(self.path):
            _replace(self.path / "summary.json", _pretty({"schema": SCHEMA, "status": status, "rows": list(rows)}))

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Replaces run.json in one move."""
        with writing(self.path):
            _replace(self.path / "run.json", _pretty(run))

    def update_run(self, **changes: Any) -> None:
        """Changes some keys of run.json."""
        self.write_run({**self.run, **changes})

    def clean(self) -> None:
        """Removes what killed processes left: temporary folders of processes that are gone."""
        for folder in (self.path / "episodes").glob(".*"):
            pid = folder.name.rpartition(".")[2]
            if not pid.isdigit() or not Path(f"/proc/{pid}").exists() or int(pid) == os.getpid():
                shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _append(path: Path, line: str) -> None:
        """Appends a line under a lock, after cutting off a torn one, and forces it to disk."""
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            data_end = file.seek(0, os.SEEK_END)
            file.seek(max(0, data_end - (1 << 20)))
            tail = file.read()
            whole = tail.rfind(b"\n") + 1
            file.seek(data_end - len(tail) + whole)
            file.truncate()
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())


def check_same(stored: EvalConfig, asked: EvalConfig) -> None:
    """Raises ConfigError naming the settings in which a resumed run differs from what is asked now."""
    a, b = to_plain(stored), to_plain(asked)
    different = [f"{key}: {a[key]!r} then, {b[key]!r} now" for key in a if a[key] != b[key]]
    if different:
        raise ConfigError(
            "--resume goes on with the run as it was started; these settings differ: " + "; ".join(different)
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a full or read-only disk into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG):
            raise StoreError(
                f"cannot write to {path}: {os.strerror(error.errno)}. Committed episodes are safe; "
                "free space or mend the permissions, then go on with --resume."
            ) from error
        raise


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, allow_nan=False, separators=(",", ":")) + "\n"


def _pretty(document: Mapping[str, Any]) -> str:
    return json.dumps(document, allow_nan=False, indent=1) + "\n"


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    return document


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file. A last line without a newline was torn by a kill and does not count."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise StoreError(f"{path}, line {number} is not JSON: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parquet_twin(table: Path) -> None:
    """The same rows as Parquet beside the JSONL, where pyarrow is there (`pip install worldsim[parquet]`)."""
    twin = table.with_suffix(".parquet")
    twin.unlink(missing_ok=True)  # never one that belongs to older rows
    if table.stat().st_size == 0:
        return
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return
    # `details` hold what each metric likes: as text, or one metric's number would meet another's list in a column.
    rows = [{k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()} for row in _read_lines(table)]
    temporary = twin.with_suffix(".parquet.tmp")
    parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)
    temporary.replace(twin)
