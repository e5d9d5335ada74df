"""Pictures of policy: true returns against told ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pictures.canvas import BAD, BLUE, GOOD, GREY, ORANGE, Half
from pictures.plots import Axes, span
from pictures.shared import Draw, said
from pictures.worlds import Case, Library
from worldsim.metrics.functional import policy as functional

WIDE = 430


def returns(case: Case) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, true and told mean returns of the policies."""
    table = next(iter(case.score.details["policies"].values()))
    names = sorted(table)
    return names, np.array([table[n]["truth"] for n in names]), np.array([table[n]["model"] for n in names])


def _policy(
    metric: str,
    titles: tuple[str, str],
    foot: Callable[[np.ndarray, np.ndarray], str],
    extra: Callable[[Axes, np.ndarray, np.ndarray], None],
    ranks: bool = False,
    digits: int = 2,
) -> Draw:
    def draw(library: Library) -> tuple[Half, Half]:
        halves = []
        for (fault, severity), title in zip((("", 0.0), ("optimistic-reward", 0.2)), titles, strict=True):
            case = library.case(metric, "policy_panel", fault, severity)
            names, truth, told = returns(case)
            x, y = (v.argsort().argsort() + 1.0 if ranks else v for v in (truth, told))
            what = "rank" if ranks else "return"
            labels = (f"true {what}", f"{what} told by the simulator")
            tall = np.concatenate([x, y]) if metric == "policy.bias" else y
            axes = Axes(span(x, 0.15), span(tall, 0.15), labels=labels, size=(WIDE, 270))
            if not ranks:
                low, high = max(axes.x[0], axes.y[0]), min(axes.x[1], axes.y[1])
                axes.straight((low, low), (high, high), GREY)
            extra(axes, x, y)
            axes.dots(x, y, BLUE, 5)
            axes.names(x, y, names)
            halves.append(Half(title, said(case, digits), axes.image, foot(truth, told)))
        return halves[0], halves[1]

    return draw


def _nothing(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """No more to draw."""


def _fit(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    slope, at = np.polyfit(x, y, 1)
    axes.line(axes.x, [at + slope * v for v in axes.x], ORANGE, 1)


def _worst_pair(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """The pair in the wrong order that costs the most."""
    wrong = (np.sign(y[:, None] - y) > 0) != (np.sign(x[:, None] - x) > 0)
    gap = np.where(wrong, np.abs(x[:, None] - x), 0.0)
    if gap.any():
        i, j = np.unravel_index(int(gap.argmax()), gap.shape)
        axes.line([x[i], x[j]], [y[i], y[j]], BAD, 2)


def _gap(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """From each dot to where it should be."""
    for a, b in zip(x, y, strict=True):
        axes.line([a, a], [a, b], BAD, 1)


def _choice(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    chosen, best = int(y.argmax()), int(x.argmax())
    axes.dots([x[best]], [y[best]], GOOD, 9, ring=True)
    axes.dots([x[chosen]], [y[chosen]], BAD if chosen != best else GOOD, 11, ring=True)
    if chosen != best:
        axes.line([x[chosen], x[best]], [axes.y[0], axes.y[0]], BAD, 4)


def _mmrv_words(truth: np.ndarray, told: np.ndarray) -> str:
    return (
        "red: the pair in the wrong order that costs the most"
        if float(functional.mmrv(truth, told))
        else "no pair is in the wrong order"
    )


def _regret_words(truth: np.ndarray, told: np.ndarray) -> str:
    chosen, best = int(told.argmax()), int(truth.argmax())
    return f"told to be best: p{chosen} (true return {truth[chosen]:.2f}); truly best: p{best} ({truth[best]:.2f})"


PANEL = "p0 walks to the goal, p5 does nothing, p7 walks away; bad: a fifth of all steps is paid as a success"

DRAW: dict[str, Draw] = {
    "policy.spearman": _policy(
        "policy.spearman",
        ("policies are ranked as in the truth", "failures are paid as successes"),
        lambda t, m: PANEL,
        _nothing,
        ranks=True,
    ),
    "policy.pearson": _policy(
        "policy.pearson",
        ("told returns rise with the true ones", "failures are paid as successes"),
        lambda t, m: "orange: the line through the dots",
        _fit,
    ),
    "policy.mmrv": _policy(
        "policy.mmrv", ("no pair in the wrong order", "bad policies are told to be better"), _mmrv_words, _worst_pair
    ),
    "policy.bias": _policy(
        "policy.bias",
        ("told returns are the true ones", "far too kind: failures are paid as successes"),
        lambda t, m: f"mean of told - true: {float(np.mean(m - t)):.2f}",
        _gap,
    ),
    "policy.regret": _policy(
        "policy.regret", ("the best policy is chosen", "a bad policy is chosen"), _regret_words, _choice
    ),
}
