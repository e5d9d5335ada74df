"""What cannot be tried in a truth, and why: a metric that nothing asks, a fault that cannot be made or finds nothing.

Decided from what the truth can do, what its scenarios ask, and whether a fault changed any frame: never from a score. A
cell that could be tried and was not met is a failure, and stays one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worldsim.faults.base import missing_of
from worldsim.faults.table import FAULTS
from worldsim.plan import Verdict, reasons_of
from worldsim.truth import Abilities


def unasked(metrics: Sequence[str], verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Metric -> why no scenario of the set scores it; those that are scored anywhere are left out.

    Args:
        metrics: Names.
        verdicts: What is scored, and what is not, on each scenario.
    """
    out = {}
    for name in metrics:
        own = [v for v in verdicts if v.metric == name]
        if any(v.scored for v in own):
            continue
        out[name] = "; ".join(reasons_of(own)) or f"no scenario of the set is made for {name.partition('.')[0]}"
    return out


def unable(faults: Sequence[str], abilities: Sequence[Abilities]) -> dict[str, str]:
    """Fault -> what no truth of the set gives that it needs."""
    out = {}
    for name in faults:
        missing = sorted((missing_of(able, FAULTS[name].needs, FAULTS[name].any_of) for able in abilities), key=len)
        if missing and missing[0]:
            out[name] = f"the truth gives no {', '.join(missing[0])}, which the fault needs"
    return out


def without_prey(idle: Mapping[str, int]) -> dict[str, str]:
    """Fault -> why it proves nothing of a metric: it strikes one kind of things, and this truth has none of them.

    Only faults that say what they strike, and only where in all scenarios nothing but the truth was shown: a fault that
    changes frames anywhere, and is not seen, is a failure, and so is one that should have changed some and did not.

    Args:
        idle: Fault -> episodes, of those that changed nothing.
    """
    return {
        name: f"the fault strikes {FAULTS[name].make.strikes} and finds none: {count} episodes are the truth's"
        for name, count in idle.items()
        if FAULTS[name].make.strikes
    }
