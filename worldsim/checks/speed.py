"""How fast a truth is and what it can do, measured in a process of its own: one line of JSON.

python -m worldsim.checks.speed NAME HEIGHT WIDTH
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from worldsim import trees
from worldsim.errors import WorldsimError
from worldsim.protocols import TruthEnv
from worldsim.spaces import NamedDiscrete, describe
from worldsim.starts import action_batch

PARTS, SECONDS = 3, 0.4  # stretches, of which the fastest counts, and how long each lasts
WARM = 12  # steps before anything is timed: compilation, first touches


def measure(env: TruthEnv) -> dict[str, Any]:
    """What an environment can do and how fast it is, as plain values.

    Returns:
        `frames` and `truth` in frames a second (a step and its frame; the same with `truth()`), `reset`, `snapshot` and
        `restore` in seconds (None: not able), `actions` in words, and the abilities by name. `way` says how it goes
        back, where the environment tells.
    """
    able = env.abilities
    actions = action_batch(env.action_space, 0, 64)
    started = time.perf_counter()
    env.reset(seed=0)
    reset = time.perf_counter() - started
    _steps(env, actions, WARM, env.truth)
    rates = [_rate(env, actions, also) for also in (lambda: None, env.truth)]
    snapshot = restore = None
    if able.snapshot:
        env.reset(seed=0)
        _steps(env, actions, WARM, lambda: None)
        snapshot, state = _timed(env.snapshot)
        restore, _ = _timed(lambda: env.restore(state))
    return {
        "frames": rates[0],
        "truth": rates[1],
        "reset": reset,
        "snapshot": snapshot,
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


def _steps(env: TruthEnv, actions: Any, count: int, also: Callable[[], Any]) -> float:
    """Plays; seconds of the steps alone, for a reset between two episodes is another matter."""
    spent = 0.0
    for i in range(count):
        action = trees.index(actions, i % trees.length(actions))
        started = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        also()
        spent += time.perf_counter() - started
        if terminated or truncated:
            env.reset(seed=i + 1)
    return spent


def _rate(env: TruthEnv, actions: Any, also: Callable[[], Any]) -> float:
    each = max(int(SECONDS / max(_steps(env, actions, 4, also) / 4, 1e-6)), 4)
    return each / min(_steps(env, actions, each, also) for _ in range(PARTS))


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    best, value = float("inf"), None
    for _ in range(3):
        started = time.perf_counter()
        value = call()
        best = min(best, time.perf_counter() - started)
    return best, value


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
