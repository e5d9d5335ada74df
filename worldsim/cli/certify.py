"""`worldsim certify`: the response matrix of planted faults and metrics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import arg

from worldsim.certify.run import CertifyConfig
from worldsim.cli.arguments import parse

EXAMPLES = """
worldsim certify --preset ci --out certificate
worldsim certify --preset full --out runs/full            # goes on after a kill, with the same command
worldsim certify --metrics permanence interaction --seed 3 --out runs/memory
worldsim certify --metrics learned.lpips --out runs/lpips
"""


@dataclass(frozen=True, kw_only=True)
class CertifyArgs(CertifyConfig):
    """Proves metrics on the truth: each planted fault must move what it should, and nothing else."""

    metrics: Annotated[tuple[str, ...], arg(aliases=["--metric"])] = ()
    """Names or families; none = all in the table of expectations. Of one that the table lacks its own spec says what is
    expected (`sensitive`, `invariant`)."""
    report: bool = True
    """Build the page, too."""


def certify_command(args: Sequence[str]) -> int:
    """Runs a certification; 1 if anything does not hold."""
    given = parse(CertifyArgs, args, "certify", EXAMPLES)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s: %(message)s", stream=sys.stderr)
    from worldsim.certify.run import certify, failures

    document = certify(given)
    print("\n".join(_lines(document)))
    broken = failures(document)
    for line in broken:
        print(f"FAIL {line}")
    print(f"matrix: {given.out / 'matrix.json'}")
    if given.report:
        from worldsim.reports.certificate import build_certificate

        print(f"page: {build_certificate(given.out)}")
    return 1 if broken else 0


def _lines(document: Mapping[str, Any]) -> list[str]:
    counts, expected = document["counts"], document["expected"]
    rows = document["rows"]
    out = [
        f"{len(document['faults'])} faults x {len(document['metrics'])} metrics, preset {document['preset']}, seed "
        f"{document['seed']}, {document['worlds']} worlds a scenario, {document['seconds']:.0f} s",
        f"{expected['+']} cells + and {expected['0']} cells 0: {counts['pass']} pass, {counts['fail']} fail; "
        f"{counts['measured']} measured, {counts['n/a']} not applicable",
    ]
    for sign, what in (("+", "must move"), ("0", "must not move")):
        own = [r for r in rows if r["expected"] == sign and r["verdict"] != "n/a"]
        out.append(f"  {what}: {sum(r['verdict'] == 'pass' for r in own)} of {len(own)} pass")
    caught = sum(c["caught"] for c in document["cheats"])
    out.append(f"  cheats that beat no floor: {caught} of {len(document['cheats'])}")
    return out
