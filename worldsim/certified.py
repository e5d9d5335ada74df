"""Which metrics are certified: those that met every expectation in the release's response matrix, and in which version.

A metric is certified in an environment: what it is blind to in one world it may see in another. The lists are packaged
beside this file. `python -m worldsim.certified MATRIX.json` writes that of an environment from a certification. Where
the environment variable WORLDSIM_CERTIFIED names another `matrix.json`, the metrics that passed there count as well:
your own, or those with your own weights.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from worldsim.errors import StoreError, WorldsimError
from worldsim.registry import short_env

FILE = Path(__file__).with_name("certified.json")
VARIABLE = "WORLDSIM_CERTIFIED"
HOME = "blocks"  # the environment of the release's own matrix


def certified_metrics(env: str = HOME, path: Path = FILE) -> Mapping[str, int]:
    """Metric -> the version that passed. Another version of it is another metric, and has proved nothing.

    Args:
        env: Where; empty for an environment in which nothing was certified.
        path: The packaged lists.

    Raises:
        StoreError: If the file does not hold such lists, or WORLDSIM_CERTIFIED names no response matrix.
    """
    own = os.environ.get(VARIABLE)
    where, found = _own(own) if own else (env, {})
    return MappingProxyType({**_packaged(path).get(env, {}), **(found if where == env else {})})


def marks(name: str, version: int, env: str) -> dict[str, object]:
    """Whether a metric is `certified` in an environment, and `certified_in` which it is: that one, Blocks, or None."""
    env = short_env(env)
    here = certified_metrics(env).get(name) == version
    at_home = certified_metrics().get(name) == version
    return {"certified": here, "certified_in": env if here else HOME if at_home else None}


@cache
def _packaged(path: Path) -> dict[str, dict[str, int]]:
    found = _object(path)
    lists = list(found.values())
    if not all(isinstance(own, dict) and all(type(v) is int for v in own.values()) for own in lists):
        raise StoreError(
            f"{path} should map environments to metrics to whole versions, got {found}. Write it with {_USAGE}"
        )
    return found


@cache
def _own(matrix: str) -> tuple[str, dict[str, int]]:
    try:
        document = _object(Path(matrix))
        return env_of(document), certified_in(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StoreError(
            f"{VARIABLE} should name the matrix.json of a certification, but {matrix}: {error!r}"
        ) from error


def env_of(document: Mapping[str, Any]) -> str:
    """The environment of a response matrix."""
    command = [str(word) for word in document.get("command", ())]
    return short_env(command[command.index("--env") + 1]) if "--env" in command[:-1] else HOME


def certified_in(document: Mapping[str, Any]) -> dict[str, int]:
    """The metrics that a response matrix certifies: all + and 0 cells pass, and at least one is +.

    A cell that could not be tried in that truth ("n/a") counts neither way.

    Args:
        document: `matrix.json` as read.
    """
    out: dict[str, int] = {}
    for name, about in document["metrics"].items():
        own = [row for row in document["rows"] if row["metric"] == name and row["verdict"] != "n/a"]
        cells = [row for row in own if row["expected"] in ("+", "0")]
        moved = any(row["expected"] == "+" for row in cells)
        if moved and all(row["verdict"] == "pass" for row in cells):
            out[name] = int(about["version"])
    return out


def main(args: Sequence[str]) -> int:
    """Writes the packaged list of an environment from its matrix and says who is in it; returns the exit code."""
    if len(args) != 1 or args[0] in ("-h", "--help"):
        print(f"usage: {_USAGE}")
        return 0 if args and args[0] in ("-h", "--help") else 2
    try:
        document = _object(Path(args[0]))
        found = certified_in(document)
    except WorldsimError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        print(f"{args[0]} should be the matrix.json of a certification, but: {error!r}", file=sys.stderr)
        return 1
    env, lists = env_of(document), _object(FILE) if FILE.exists() else {}
    FILE.write_text(json.dumps({**lists, env: found}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    left = [name for name in document["metrics"] if name not in found]
    print(f"certified in {env}, {len(found)} of {len(found) + len(left)}: {', '.join(found) or 'none'}")
    print(f"not certified: {', '.join(left) or 'none'}")
    return 0


_USAGE = "python -m worldsim.certified MATRIX.json"


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} should be JSON, but: {error}. Write the list with {_USAGE}") from error
    if not isinstance(found, dict):
        raise StoreError(f"{path} should hold a JSON object, got {type(found).__name__}. Write it with {_USAGE}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
