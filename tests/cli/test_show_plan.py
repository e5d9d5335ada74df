"""What the table before a run says of a metric."""

from __future__ import annotations

import pytest

from worldsim.cli.show_plan import summed_up
from worldsim.plan import NOT_MADE_FOR, Verdict

ELSE = f"{NOT_MADE_FOR} policy"


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ((None, None), ("all scenarios", "")),
        ((None, ELSE), ("s0", "")),
        ((ELSE, "the truth gives no depth"), ("none", "s1: the truth gives no depth")),
        (("the truth gives no depth",) * 2, ("none", "s0, s1: the truth gives no depth")),
        ((ELSE, ELSE), ("none", "no scenario of this set is made for policy")),
    ],
)
def test_where_a_metric_is_scored_and_why_not_elsewhere(
    reasons: tuple[str | None, ...], expected: tuple[str, str]
) -> None:
    verdicts = [
        Verdict(metric="policy.mmrv", scenario=f"s{k}", scored=reason is None, reason=reason)
        for k, reason in enumerate(reasons)
    ]
    assert summed_up("policy", verdicts) == expected
