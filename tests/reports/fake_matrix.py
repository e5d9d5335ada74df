"""Writes a small `matrix.json` of schema 1, so that the page of a certification is tested without one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Metric -> signs of FAULTS, in their order.
SIGNS: Mapping[str, str] = {
    "fidelity.psnr": "~~+0",
    "permanence.identity": "+000",
    "permanence.gap": "+0~~",
    "interaction.persistence": "0+00",
}
FAULTS: Mapping[str, tuple[str, str, tuple[float, ...], float]] = {
    "vanish": ("objects out of view are gone", "probability", (0.2, 0.6, 1.0), 1.0),
    "edit-reverts": ("edits are undone when out of view", "probability", (0.2, 0.6, 1.0), 1.0),
    "blur": ("a blurred picture", "px", (0.4, 1, 2), 1),
    "always-the-edit": ("always shows the edit", "share of worlds", (0.2, 0.6, 1.0), 1.0),
}
NULLS = ("frozen", "context-mean", "noise", "chance")
FAILED = ("blur", "permanence.identity")


def row(fault: str, metric: str, sign: str, severities: Sequence[float]) -> dict[str, Any]:
    """A cell that meets what is expected, but for FAILED; permanence.gap has no scale."""
    fails = (fault, metric) == FAILED
    top = 1.1 if sign == "+" else 0.3 if sign == "~" or fails else 0.0
    tested = tuple(severities) if sign == "+" else tuple(severities[-1:])
    out: dict[str, Any] = {
        "fault": fault,
        "metric": metric,
        "family": metric.partition(".")[0],
        "expected": sign,
        "tau": 1.0 if sign == "+" else None,
        "trend_p": 0.001 if sign == "+" else None,
        "effect": top,
        "tost_low": None if sign == "+" else -top - 0.01,
        "tost_high": None if sign == "+" else -top + 0.01,
        "n_worlds": 12,
        "verdict": "fail" if fails else "measured" if sign == "~" else "pass",
        "reason": "equivalence p 0.97, 90% interval -0.310 to -0.290" if fails else None,
        "severities": list(tested),
        "skills": [1.0, *(1.0 - top * s / max(tested) for s in tested)],
    }
    if metric == "permanence.gap":
        reason = "no floor: no null was scored"
        nothing = dict.fromkeys(("tau", "trend_p", "effect", "tost_low", "tost_high"))
        out |= nothing | {"skills": [], "reason": reason, "verdict": "measured" if sign == "~" else "fail"}
    return out


def fake_matrix() -> dict[str, Any]:
    """The document; callers may bend it before it is written."""
    metrics: dict[str, Any] = {}
    for k, name in enumerate(SIGNS):
        known = name != "permanence.gap"
        metrics[name] = {
            "version": 1 + k,
            "unit": "dB" if name == "fidelity.psnr" else "1",
            "headline": known,
            "floor": 0.25 if known else None,
            "floor_name": "chance" if k == 1 else "frozen",
            "floor_in_spec": "frozen",
            "ceiling": 1.0 if known else None,
            "nulls": {
                null: {"value": 0.25 if known else None, "skill": -0.3333333333 * i if known else None}
                for i, null in enumerate(NULLS)
            },
            "worlds": 12,
            "reason": None if known else "no floor: no null was scored",
        }
    rows = [
        row(fault, metric, signs[i], about[2])
        for metric, signs in SIGNS.items()
        for i, (fault, about) in enumerate(FAULTS.items())
    ]
    cheat = {"fault": "always-the-edit", "skill_low": 0.0, "skill_high": 0.1}
    return {
        "schema": 1,
        "preset": "ci",
        "created": "2026-11-24T11:43:24+00:00",
        "seed": 7,
        "worlds": 12,
        "expected": {sign: sum(r["expected"] == sign for r in rows) for sign in "+0~"},
        "counts": {v: sum(r["verdict"] == v for r in rows) for v in ("pass", "fail", "measured")},
        "metrics": metrics,
        "cheats": [
            cheat | {"metric": "permanence.identity", "skill": 0.0, "caught": True},
            cheat | {"metric": "interaction.persistence", "skill": 0.9, "skill_low": 0.8, "caught": False},
        ],
        "faults": {
            name: {"plants": plants, "unit": unit, "severities": list(levels), "mild": mild}
            for name, (plants, unit, levels, mild) in FAULTS.items()
        },
        "rows": rows,
        "suite": {"name": "certify", "version": 1, "hash": "0dba40eebea0"},
        "fingerprint": {"python": "3.11.7", "cpu": "x86_64", "cores": 2, "packages": {"numpy": "2.4.6"}},
        "seconds": 353.6,
    }


def write_fake_matrix(folder: Path, document: Mapping[str, Any] | None = None) -> Path:
    """Writes the document into `folder` and returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(fake_matrix() if document is None else document, indent=1)
    (folder / "matrix.json").write_text(text + "\n", encoding="utf-8")
    return folder
