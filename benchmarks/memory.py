"""A long rollout in bounded memory: resident size of this process while 2,000 steps are rolled out and recorded.

    python benchmarks/memory.py [--steps 2000] [--size 64]

Prints the resident set every 100 steps and the growth from step 200 (when every buffer is full) to the end.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from worldsim import evaluate as stages
from worldsim.config import EvalConfig

SUITE = """
name: memory
version: 1
scenarios:
  - {{name: far, env: blocks, env_kwargs: {{preset: village, size: [{size}, {size}]}}, controller: explore,
     context: 8, horizon: {steps}}}
"""


def resident() -> float:
    """MB of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "memory.yaml"
        suite.write_text(SUITE.format(size=args.size, steps=args.steps))
        config = EvalConfig(
            model="worldsim/Noise", scenarios=str(suite), episodes=2, batch=2, out=Path(folder) / "run", quiet=True
        )
        prepared = stages.prepare(config)
        store = stages.open_run(prepared, ["memory"])
        seen: list[float] = []

        class Watch(stages.Progress):
            def advance(self, count: int = 1) -> None:
                super().advance(count)
                if self.stage == "rollout" and self.done % 200 == 0:  # two worlds: every 100 steps
                    seen.append(resident())

        stages.Progress = Watch  # type: ignore[misc]
        stages.rollout(prepared, store)
    print("MB after every 100 steps:", " ".join(f"{mb:.0f}" for mb in seen))
    print(f"growth from step 200 to step {args.steps}: {seen[-1] - seen[1]:.1f} MB")


if __name__ == "__main__":
    main()
