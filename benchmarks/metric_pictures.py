"""A picture of a good and a bad case of every metric, for the pages under docs/metrics/.

python benchmarks/metric_pictures.py --seed 0 --out docs/images/metrics

The oracle is recorded in worlds of the scenario set "certify"; the bad case is the same worlds under a planted fault
(`worldsim.faults`). Scores are those of the few worlds that are recorded, to show what a number looks like: no result.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from pictures import of_control, of_events, of_frames, of_policy, of_sets, of_space
from pictures.canvas import save, sheet
from pictures.shared import Draw, summary
from pictures.worlds import Library

from worldsim.registry import METRICS

FAMILIES = (of_control, of_events, of_frames, of_policy, of_sets, of_space)
DRAW: dict[str, Draw] = {name: draw for family in FAMILIES for name, draw in family.DRAW.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/metrics"))
    parser.add_argument("--seed", type=int, default=0, help="of the recorded worlds")
    parser.add_argument("--runs", type=Path, help="folder in which the recordings stay")
    parser.add_argument("--only", nargs="*", default=[], help="metrics or families")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metric-pictures-") as folder:
        library = Library(options.runs or Path(folder), options.seed)
        for name in METRICS.names():
            if name not in DRAW or (options.only and not {name, name.split(".")[0]} & set(options.only)):
                continue
            question, better = summary(name)
            size = save(sheet(name, question, *DRAW[name](library), better), options.out / f"{name}.png")
            print(f"{name}: {size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
