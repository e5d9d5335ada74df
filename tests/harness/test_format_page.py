"""The page docs/run-format.md says what lies in a run: its code runs, and no file or key of a real run is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from worldsim.evaluate import Prepared, evaluate

PAGE = (Path(__file__).parents[2] / "docs" / "run-format.md").read_text(encoding="utf-8")


def test_the_page_says_what_a_run_holds(
    ready: Callable[..., Prepared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs" / "mine"
    prepared = ready("Seeded", scenario={"name": "explore"}, out=out, metrics=("fidelity",), episodes=2)
    evaluate(prepared.config, prepared=prepared)

    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for block in blocks:
        exec(compile(block, "docs/run-format.md", "exec"), scope)
    assert len(blocks) == 2 and {"rows", "evidence", "truth", "model", "depth", "actions"} <= set(scope)

    for table in ("plan", "episodes", "observations", "scores", "curves"):
        first = json.loads((out / f"{table}.jsonl").read_text().splitlines()[0])
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{table}.jsonl`"))
        assert set(first) <= set(re.findall(r"[a-z_0-9]+", line)), table
    keys = PAGE.split("| key | meaning |")[1].split("\n\n")[0]
    for row in json.loads((out / "summary.json").read_text())["rows"]:
        assert set(row) <= set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`[^`]+`", keys))))
    for path in (*out.iterdir(), *(out / "episodes").glob("*/*")):
        assert path.stem.removesuffix("-free-0") in PAGE, path
