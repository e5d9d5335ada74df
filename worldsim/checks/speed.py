"""How fast a truth is and what it can do, measured in a process of its own: one line of JSON.

python -m worldsim.checks.speed NAME HEIGHT WIDTH
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim import trees
from worldsim.errors import WorldsimError
from worldsim.protocols import TruthEnv
from worldsim.spaces import NamedDiscrete, describe
from worldsim.starts import action_batch

PARTS, SECONDS = 2, 0.4  # stretches, of which the fastest counts, and how long each lasts
_CPUCLOCK_SCHED = 2  # clock_getcpuclockid(3) of Linux: the process number, inverted, and this
WARM = 12  # steps before anything is timed: compilation, first touches


def measure(env: TruthEnv) -> dict[str, Any]:
    """What an environment can do and how fast it is, as plain values.

    Returns:
        `frames` and `truth` in frames a second of processor time (a step and its frame; the same with `truth()`),
        `restore` in such seconds (None: not able), `actions` in words, and the abilities by name. `way` says how it
        goes back, where the environment tells.
    """
    able = env.abilities
    actions = action_batch(env.action_space, 0, 64)
    env.reset(seed=0)
    _steps(env, actions, WARM, env.truth)
    rates = [_rate(env, actions, also) for also in (lambda: None, env.truth)]
    restore = None
    if able.snapshot:
        env.reset(seed=0)
        _steps(env, actions, WARM, lambda: None)
        state = env.snapshot()
        restore = _timed(lambda: env.restore(state))
    return {
        "frames": rates[0],
        "truth": rates[1],
        "restore": restore,
        "way": getattr(getattr(env, "findings", None), "way", None),
        "actions": in_words(env.action_space),
        "deterministic": able.deterministic,
        "open_future": able.open_future,
        "render_from": able.render_from,
        "edit": sorted(able.edit),
        "fields": sorted(able.truth),
    }


def in_words(space: Any) -> str:
    """A space in a few words: "6 named", "3 numbers", "24 keys"."""
    plain = describe(space)
    if plain["type"] == "discrete":
        return f"{plain['n']}{' named' if isinstance(space, NamedDiscrete) else ''}"
    if plain["type"] == "dict":
        return f"{len(plain['spaces'])} keys"
    if plain["type"] == "box":
        count = _count(plain["low"])
        return f"{count} number{'s' if count != 1 else ''}"
    return str(plain["type"])


def _count(nested: Any) -> int:
    return sum(map(_count, nested)) if isinstance(nested, list) else 1


def processor_seconds() -> float:
    """Processor time of this process and of those that it started (engines, bridges): other work does not count.

    Children are found in /proc; where there is none, this process alone counts.
    """
    return time.process_time() + sum(map(_used, _descendants(os.getpid())))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _used(pid: int) -> float:
    """By the kernel's clock of that process, to the nanosecond.

    The times in /proc/PID/stat are no measure here: they come in steps of 10 ms, and on a kernel that samples at its
    ticks a process that works briefly and waits, as engines in lockstep do, is often missed.
    """
    with contextlib.suppress(OSError):
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    return 0.0


def _steps(env: TruthEnv, actions: Any, count: int, also: Callable[[], Any]) -> float:
    """Plays; processor seconds of the steps alone, for a reset between two episodes is another matter."""
    spent, started = 0.0, processor_seconds()
    for i in range(count):
        _, _, terminated, truncated, _ = env.step(trees.index(actions, i % trees.length(actions)))
        also()
        if terminated or truncated:
            spent += processor_seconds() - started
            env.reset(seed=i + 1)
            started = processor_seconds()
    return spent + processor_seconds() - started


def _rate(env: TruthEnv, actions: Any, also: Callable[[], Any]) -> float:
    each = max(int(SECONDS / max(_steps(env, actions, WARM, also) / WARM, 1e-4)), 8)
    return each / min(_steps(env, actions, each, also) for _ in range(PARTS))


def _timed(call: Callable[[], Any]) -> float:
    """Seconds of one call, the mean over a tenth of a second or more; the clock of children is coarse."""
    call()
    count, started = 0, processor_seconds()
    while count < 1000 and processor_seconds() - started < SECONDS / 4:
        call()
        count += 1
    return (processor_seconds() - started) / count


def main(name: str, height: str, width: str) -> int:
    """Prints the measurement, or why there is none."""
    from worldsim.registry import ENVS

    try:
        env: TruthEnv = ENVS.get(name)(size=(int(height), int(width)))
        try:
            found = measure(env)
        finally:
            env.close()
    except WorldsimError as error:
        found = {"error": str(error)}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    print("\n" + json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
