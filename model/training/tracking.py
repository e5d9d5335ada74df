"""What a training run tells: progress with time left, a JSONL file of figures, TensorBoard if asked, and pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.arrays import part, storing
from worldsim.errors import PrerequisiteError
from worldsim.model.training.config import RunConfig
from worldsim.progress import Progress

_AGAIN = "run the same command again: it goes on from the last saved state"


class Tracker:
    """One line of `<folder>/<stage>.jsonl` every `log_every` steps, and a picture at each validation.

    Attributes:
        sums: Of each figure since the last line; part of the state, so that a resumed run writes the same lines.
        count: Steps in them.
    """

    def __init__(
        self,
        folder: Path,
        stage: str,
        steps: int,
        start: int,
        run: RunConfig,
        *,
        main: bool = True,
        log: Mapping[str, Any] | None = None,
    ) -> None:
        """Goes on at step `start` of `steps` with the `log` that `state` gave then; only the main process writes."""
        self._folder, self._stage, self._run, self._main = folder, stage, run, main
        self.sums: dict[str, float] = {k: float(v) for k, v in (log or {}).get("sums", {}).items()}
        self.count = int((log or {}).get("count", 0))
        self._cpu = time.process_time()
        self._board = _tensorboard(folder) if run.tensorboard and main else None
        self._progress = Progress(f"train {stage}", steps - start, quiet=run.quiet or not main)
        self._progress.__enter__()
        if main:
            folder.mkdir(parents=True, exist_ok=True)
            _drop_after(folder / f"{stage}.jsonl", start)

    def step(self, step: int, loss: Tensor, scalars: Mapping[str, Tensor]) -> None:
        """Adds one step; means are written every `log_every` steps."""
        self._progress.advance()
        named = {"loss": loss, **scalars}
        # One transfer for all of them: each would make the processor wait for a GPU.
        values = torch.stack([v.detach().double().to(loss.device, non_blocking=True) for v in named.values()]).tolist()
        for name, value in zip(named, values, strict=True):
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        if step % self._run.log_every == 0:
            self._write(step, {k: v / self.count for k, v in self.sums.items()})
            self.sums, self.count = {}, 0

    @property
    def state(self) -> dict[str, Any]:
        """What the next `Tracker` of this stage needs."""
        return {"sums": self.sums, "count": self.count}

    def figures(self, step: int, figures: Mapping[str, float], picture: Any) -> None:
        """Writes validation figures and the picture, where there are any."""
        if figures:
            self._write(step, {f"validation/{k}": v for k, v in figures.items()})
        if picture is not None and self._main:
            import cv2

            path = self._folder / "pictures" / f"{self._stage}-{step:07d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            packed = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1]
            with storing(path, again=_AGAIN):
                path.write_bytes(packed.tobytes())
            if self._board is not None:
                self._board.add_image(self._stage, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Ends progress and files."""
        self._progress.__exit__(None, None, None)
        if self._board is not None:
            self._board.close()

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        if not self._main:
            return
        row = {"step": step, "cpu_seconds": round(time.process_time() - self._cpu, 2), **values}
        path = self._folder / f"{self._stage}.jsonl"
        with storing(path, again=_AGAIN), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{self._stage}/{name}", value, step)


def _drop_after(path: Path, step: int) -> None:
    """Removes the lines of steps that a killed run did after its last saving: they are done again."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _step_of(line) <= step]
    if len(kept) < len(lines):
        fresh = part(path)
        with storing(path, again=_AGAIN):
            fresh.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
            fresh.replace(path)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")  # a line that was cut by the kill


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PrerequisiteError("TensorBoard is not installed: pip install 'worldsim[tracking]'") from error
    return SummaryWriter(str(folder / "tensorboard"))
