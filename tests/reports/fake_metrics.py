"""What the made-up run of `fake_run` scores: a metric each, with its anchors and what stands behind it."""

from __future__ import annotations

from typing import Any

SCENARIOS = ("walk-and-return", "look-around")
METRICS: tuple[dict[str, Any], ...] = (
    {
        "metric": "fidelity.psnr",
        "unit": "dB",
        "floor": 14.2,
        "ceiling": 41.0,
        "value": 26.3,
        "floor_name": "context-mean",
        "ceiling_name": "codec",
        "pixel": True,
        "range": [0.0, None],
        "curve": True,
        "summary": "How far from the true picture, in decibels, over the whole horizon?",
    },
    {
        "metric": "fidelity.ssim",
        "unit": "1",
        "floor": 0.31,
        "ceiling": 1.0,
        "value": 0.78,
        "floor_name": "frozen",
        "curve": True,
        "range": [-1.0, 1.0],
        "summary": "Does the picture have the true picture's structure?",
    },
    {
        "metric": "fidelity.l1",
        "unit": "/255",
        "floor": 31.0,
        "ceiling": 0.0,
        "value": 11.6,
        "floor_name": "context-mean",
        "curve": True,
        "range": [0.0, 255.0],
        "higher": False,
        "summary": "Mean absolute error a channel.",
    },
    {
        "metric": "fidelity.useful_horizon",
        "unit": "steps",
        "floor": 0.0,
        "ceiling": 32.0,
        "value": 21.0,
        "floor_name": "frozen",
        "range": [0.0, None],
        "summary": "How many steps until the picture is no better than the floor?",
    },
    {
        "metric": "geometry.reprojection",
        "unit": "px",
        "floor": 3.1,
        "ceiling": 0.42,
        "value": 0.47,
        "floor_name": "frozen",
        "range": [0.0, None],
        "higher": False,
        "curve": True,
        "summary": "Does the picture move as a solid world must?",
    },
    {
        "metric": "permanence.identity",
        "unit": "1",
        "floor": 0.25,
        "ceiling": 0.98,
        "value": 0.27,
        "floor_name": "other-episode",
        "range": [0.0, 1.0],
        "certified": True,
        "undefined": 5,
        "chance": True,
        "details": {
            "answers": {
                "absent": {"absent": 6, "lost the place": 2},
                "altered": {"altered": 3, "present": 4, "something else": 1},
                "present": {"absent": 1, "present": 7},
            },
            "place_kept": 0.92,
            "right_where_kept": 0.71,
            "half_life": "longer than 24",
        },
        "summary": "Is what was hidden still there, and the same?",
    },
    {
        "metric": "interaction.persistence",
        "unit": "1",
        "value": None,
        "floor_name": "frozen",
        "range": [-1.0, 1.0],
        "reason": "no episode placed a block that left the view",
        "undefined": 16,
        "summary": "Did my block stay while I was away?",
    },
)
#: As many as a whole evaluation has: 9 families, 20 scores.
MANY: tuple[dict[str, Any], ...] = (
    *METRICS,
    *(
        {
            "metric": name,
            "unit": "1",
            "floor": 0.1,
            "ceiling": 1.0,
            "value": 0.3 + 0.03 * k,
            "floor_name": "frozen",
            "range": [0.0, 1.0],
            "summary": f"The question of {name}?",
            "only": SCENARIOS[k % 2],
            "details": {"kinds": {"turns": 0.4, "moves": 0.3}, "bins": {"near": {"skill": 0.2, "pairs": 7}}},
        }
        for k, name in enumerate(
            (
                "geometry.tsed",
                "permanence.evolution",
                "interaction.effect",
                "coherence.place",
                "coherence.drift",
                "control.branch",
                "control.motion",
                "control.idm",
                "distribution.mmd_joint",
                "distribution.coverage",
                "text.attribute",
                "policy.spearman",
                "policy.regret",
            )
        )
    ),
)
