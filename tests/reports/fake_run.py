"""Writes a small run folder of schema 1 with plausible numbers, so that the page is tested without a rollout.

Everything is a function of the arguments: two calls write equal bytes (the videos apart, which an encoder makes).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.reports.fake_metrics import METRICS, SCENARIOS

NULLS = ("frozen", "copy-context", "context-mean", "noise", "other-episode")
CONTEXT, HORIZON, FPS, SIZE = 8, 32, 20.0, 64


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows), encoding="utf-8")


def skill_of(spec: dict[str, Any], value: float) -> float:
    return float((value - spec["floor"]) / (spec["ceiling"] - spec["floor"]))


def summary_row(spec: dict[str, Any], scenario: str, shift: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "metric": spec["metric"],
        "version": "1",
        "family": spec["metric"].split(".")[0],
        "scenario": scenario,
        "arm": "free",
        "n": 32,
        "n_worlds": 16,
        "undefined": spec.get("undefined", 0),
        "unit": spec["unit"],
        "higher_is_better": spec.get("higher", True),
        "certified": spec.get("certified", False),
        "floor_name": spec["floor_name"],
        "ceiling_name": spec.get("ceiling_name", "re-run"),
        "range": spec["range"],
        "headline": True,
        "pixel": spec.get("pixel", False),
        "reason": spec.get("reason"),
        "summary": spec["summary"],
        "details": spec.get("details", {}),
    }
    if spec["value"] is None:
        nothing = ("value", "low", "high", "pessimistic", "floor", "ceiling", "ceiling_codec", "skill", "mde")
        return row | dict.fromkeys((*nothing, "skill_low", "skill_high")) | {"coverage": 0.0, "nulls": {}}
    span = spec["ceiling"] - spec["floor"]
    value = spec["value"] + shift * span
    undefined = row["undefined"]
    nulls = {}
    for k, null in enumerate(NULLS):
        at = 0.0 if null == spec["floor_name"] else -0.05 * (1 + k)
        nulls[null] = {"value": spec["floor"] + at * span, "skill": at}
    if spec.get("chance"):
        nulls["chance"] = {"value": spec["floor"] - 0.02 * span, "skill": -0.02}
    return row | {
        "value": value,
        "low": value - 0.06 * abs(span),
        "high": value + 0.05 * abs(span),
        "coverage": 1 - undefined / 32,
        "pessimistic": value - undefined / 32 * (value - spec["floor"]),
        "floor": spec["floor"],
        "ceiling": spec["ceiling"],
        "ceiling_codec": spec["ceiling"] if spec.get("pixel") else None,
        "skill": skill_of(spec, value),
        "skill_low": skill_of(spec, value) - 0.06,
        "skill_high": skill_of(spec, value) + 0.05,
        "nulls": nulls,
        "mde": 0.08,
    }


def curve_rows(spec: dict[str, Any], scenario: str, episode: str, shift: float) -> list[dict[str, Any]]:
    """The model's curve falls from the ceiling to somewhere above the floor; the anchors are flat."""
    rows = []
    span = spec["ceiling"] - spec["floor"]
    sources = (
        ["model"]
        if episode != "*"
        else [
            "model",
            "ceiling",
            *(["ceiling_codec"] if spec.get("pixel") else []),
            *(f"null:{null}" for null in NULLS),
        ]
    )
    for source in sources:
        for h in range(1, HORIZON + 1):
            kept = math.exp(-h / (14 + 20 * shift)) + 0.02 * math.sin(h + 9 * shift)
            level = kept if source == "model" else 1.0
            if source.startswith("null:"):
                k = NULLS.index(source[5:])
                level = (0.0 if source[5:] == spec["floor_name"] else -0.05 * (1 + k)) + 0.2 * math.exp(-h / 4)
            value = spec["floor"] + level * span
            band = source == "model" and episode == "*"
            rows.append(
                {
                    "metric": spec["metric"],
                    "scenario": scenario,
                    "source": source,
                    "arm": "free",
                    "episode": episode,
                    "h": h,
                    "value": value,
                    "low": value - 0.07 * abs(span) if band else None,
                    "high": value + 0.07 * abs(span) if band else None,
                    "n": 16,
                }
            )
    return rows


def frames_of(seed: int) -> np.ndarray:
    """(T+1, H, 3W, 3) uint8: a square that walks; the generated one lags more and more behind the true one."""
    total = CONTEXT + HORIZON
    sky = np.linspace(200, 120, SIZE)[:, None, None] * np.array([0.75, 0.9, 1.0])
    still = np.broadcast_to(sky, (SIZE, SIZE, 3)).astype(np.uint8).copy()
    still[SIZE * 5 // 8 :] = (96, 128, 72)
    out = np.empty((total, SIZE, 3 * SIZE, 3), np.uint8)
    for t in range(total):
        lag = max(0, t - CONTEXT + 1) // (4 + seed % 3)
        sides = []
        for at in (t, t - lag):
            side = still.copy()
            left = 4 + (at * 2 + 5 * seed) % (SIZE - 20)
            side[30:44, left : left + 14] = (168, 92, 60)
            sides.append(side)
        difference = np.abs(sides[0].astype(int) - sides[1]).astype(np.uint8)
        out[t] = np.concatenate([*sides, difference], axis=1)
    return out


def write_video(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=int(FPS), options={"crf": "20", "g": "4"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def write_poster(path: Path, frame: np.ndarray) -> None:
    import cv2

    path.write_bytes(cv2.imencode(".png", np.ascontiguousarray(frame[..., ::-1]))[1].tobytes())


def write_fake_run(
    folder: Path,
    *,
    episodes: int = 8,
    status: str = "success",
    model: str = "worldsim/DiT-tiny",
    scenarios: tuple[str, ...] = SCENARIOS,
    videos: bool = True,
    metrics: tuple[dict[str, Any], ...] = METRICS,
) -> Path:
    """Writes the run into `folder` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"{scenarios[i % len(scenarios)]}-{i:05d}" for i in range(episodes)]
    bad = {
        episodes - 1: ("failed", "the model raised ValueError: NaN in frame 12"),
        episodes - 2: ("aborted", "the walk met water and could not return"),
    }
    rows, lines, scores, curves = [], [], [], []
    for spec in metrics:
        rows.append(summary_row(spec, "*", 0.0))
        asked = [s for s in scenarios if spec.get("only", s) == s]
        rows.extend(summary_row(spec, s, 0.04 * (-1) ** k) for k, s in enumerate(asked))
    for i, episode in enumerate(ids):
        state, reason = bad.get(i, ("done", None))
        lines.append(
            {
                "episode": episode,
                "scenario": scenarios[i % len(scenarios)],
                "variant": "main",
                "pair_id": "",
                "world_seed": 1000 + i,
                "status": state,
                "reason": reason,
                "steps": CONTEXT + HORIZON - 1,
                "context": CONTEXT,
                "horizon": HORIZON,
                "fps": FPS,
                "size": [SIZE, SIZE],
                "rollouts": [{"arm": "free", "sample": 0, "seed": i}],
                "marks": [{"name": "departure", "frame": 12}, {"name": "return", "frame": 30}],
                "ended": None,
                "end_reason": "",
                "seconds": 1.2,
                "prompt": "",
                "files": {},
            }
        )
        if state != "done":
            continue
        for k, spec in enumerate(metrics):
            shift = 0.3 * ((i * (5, 3)[k // 2 % 2]) % episodes / episodes - 0.5)  # not all metrics agree
            value = None if spec["value"] is None else spec["value"] + shift * (spec["ceiling"] - spec["floor"])
            if spec.get("undefined") and i == 2:
                value = None
            scores.append(
                {
                    "episode": episode,
                    "scenario": scenarios[i % len(scenarios)],
                    "world_seed": 1000 + i,
                    "metric": spec["metric"],
                    "version": "1",
                    "source": "model",
                    "arm": "free",
                    "sample": 0,
                    "value": value,
                    "reason": None if value is not None else spec.get("reason", "no object was hidden"),
                    "unit": spec["unit"],
                }
            )
            if value is not None:
                names = (f"null:{null}" for null in NULLS)
                anchors = {**dict.fromkeys(names, spec["floor"]), "ceiling": spec["ceiling"]}
                anchors |= {"ceiling_codec": spec["ceiling"]} if spec.get("pixel") else {}
                scores += [scores[-1] | {"source": source, "value": anchor} for source, anchor in anchors.items()]
            if spec.get("curve"):
                curves += curve_rows(spec, scenarios[i % len(scenarios)], episode, (i * 5) % episodes / episodes)
        if videos:
            here = folder / "episodes" / episode
            here.mkdir(parents=True, exist_ok=True)
            frames = frames_of(i)
            write_video(here / "pair.mp4", frames)
            write_poster(here / "poster.png", frames[CONTEXT + 8])
    for spec in metrics:
        if spec.get("curve"):
            curves += curve_rows(spec, "*", "*", 0.3)
    run = {
        "schema": 1,
        "status": status,
        "worldsim": "0.1.0",
        "command": [
            "worldsim",
            "eval",
            "--model",
            model,
            "--scenarios",
            "quick",
            "--episodes",
            str(episodes),
            "--seed",
            "1",
        ],
        "created": "2026-11-22T06:00:00Z",
        "finished": "2026-11-22T06:02:11Z",
        "seconds": {"rollout": 88.2, "render": 20.1, "score": 21.4, "report": 1.2},
        "config_sha256": "ab" * 32,
        "suite": {"name": "worldsim-core-1", "hash": "3f9c27d0"},
        "model": {
            "name": model,
            "reference": model,
            "privileged": False,
            "spec": {"sizes": [[64, 64]], "frames_per_step": 1, "context_length": 1, "stochastic": True},
        },
        "env": {"id": "worldsim/Blocks-v0"},
        "scenario_set": "quick",
        "scenarios": [
            {
                "name": s,
                "summary": "Walk away, turn, and come back to where you were.",
                "env": "blocks",
                "horizon": HORIZON,
                "context": CONTEXT,
                "controller": "walk",
                "probes": ["fidelity"],
            }
            for s in scenarios
        ],
        "seed": 1,
        "episodes": episodes,
        "fingerprint": {
            "python": "3.11.2",
            "platform": "Linux-6.1-x86_64",
            "cpu": "x86_64",
            "cores": 2,
            "packages": {"numpy": "2.3.1", "torch": "2.13.0"},
        },
        "scored": [
            {"metric": spec["metric"], "scenario": s, "scored": True, "reason": None}
            for spec in metrics
            for s in scenarios
        ]
        + [
            {
                "metric": "policy.rank",
                "scenario": s,
                "scored": False,
                "reason": "needs rewards, and the model predicts none",
            }
            for s in scenarios
        ],
        "counts": {"planned": episodes, "done": episodes - 2, "failed": 1, "aborted": 1},
    }
    (folder / "run.json").write_text(json.dumps(run, indent=1), encoding="utf-8")
    (folder / "config.yaml").write_text(f"model: {json.dumps(model)}\nscenarios: quick\nseed: 1\n", encoding="utf-8")
    summary = {"schema": 1, "status": status, "rows": rows}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    write_lines(folder / "episodes.jsonl", lines)
    write_lines(folder / "scores.jsonl", scores)
    write_lines(folder / "curves.jsonl", curves)
    return folder
