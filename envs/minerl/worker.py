"""The worker: runs in the user's own Python, which has `minerl` 0.4.4 or 1.0, and plays what it is told.

Started by `process.py`; not imported by worldsim. Only the standard library (Python 3.7 or newer) and what `minerl`
brings may be imported here. Messages go over an inherited socket, for the game's launcher and the library print to
stdout:

    4 bytes: length of the header | 4 bytes: length of the body | header, JSON in UTF-8 | body, the frame's bytes

(lengths unsigned, big-endian). A request has "op": "make", "reset", "step" or "close". An answer has "error" or the
result.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

PROTOCOL = 1
TOKEN = "WORLDSIM_MINERL_WORKER"  # in the environment of the worker and of all that it starts
LONG = 32  # a table with more entries than that is sent without its zeros: HumanSurvival counts a thousand items


class GameLostError(Exception):
    """The connection to the game broke; `minerl` hides it behind a random observation."""


# ------------------------------------------------------------------------------------------------------- messages


def send(channel: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Writes one message."""
    text = json.dumps(header).encode("utf-8")
    channel.sendall(struct.pack("!II", len(text), len(body)) + text)
    if body:
        channel.sendall(body)


def receive(channel: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """Reads one message: (header, body), or None when the other side is gone."""
    head = _exactly(channel, 8)
    if head is None:
        return None
    texts, bodies = struct.unpack("!II", head)
    text, body = _exactly(channel, texts), _exactly(channel, bodies)
    if text is None or body is None:
        return None
    return json.loads(text.decode("utf-8")), body


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    parts = []
    while count:
        part = channel.recv(min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


# --------------------------------------------------------------------------------------------------------- values


def plain(value: Any) -> Any:
    """An observation as JSON: arrays become lists, numpy's scalars Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        items = ((str(k), plain(v)) for k, v in value.items())
        return {k: v for k, v in items if v != 0} if len(value) > LONG else dict(items)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def describe(space: Any) -> dict[str, Any]:
    """One space of actions as plain values."""
    if hasattr(space, "values") and hasattr(space, "value_map"):  # minerl's Enum, which is a Discrete, too
        return {"type": "enum", "values": [str(v) for v in space.values], "default": str(space.default)}
    if hasattr(space, "low"):
        low, high = float(space.low.min()), float(space.high.max())
        return {"type": "box", "shape": [int(n) for n in space.shape], "low": low, "high": high}
    if hasattr(space, "n"):
        return {"type": "discrete", "n": int(space.n)}
    return {"type": "other", "is": repr(space)[:200]}


# ----------------------------------------------------------------------------------------------------------- game


class Game:
    """One environment of `minerl`."""

    def __init__(self, task: str, port: int | None = None) -> None:
        gym, minerl = imports()
        self.versions = {
            "python": sys.version.split()[0],
            "gym": str(getattr(gym, "__version__", "?")),
            "minerl": version_of(minerl),
        }
        known = known_tasks(gym)
        if task not in known:
            raise KeyError(task, sorted(name for name in known if "MineRL" in name))
        self.env = gym.make(task)
        self.inner = getattr(self.env, "unwrapped", self.env)
        if port is not None:
            self._connect(int(port))
        self._monitor: dict[str, Any] = {}
        self._seed = 0
        self._watch()

    def facts(self) -> dict[str, Any]:
        """What the client must know of the task."""
        spaces = self.env.observation_space.spaces
        pov = spaces.get("pov")
        limit = getattr(getattr(self.env, "spec", None), "max_episode_steps", None)
        if limit is None:
            limit = getattr(getattr(self.inner, "task", None), "max_episode_steps", None)
        monitors = getattr(getattr(self.inner, "monitor_space", None), "spaces", {})
        return {
            "protocol": PROTOCOL,
            "versions": self.versions,
            "pov": None if pov is None else [int(n) for n in pov.shape],
            "actions": {str(k): describe(v) for k, v in self.env.action_space.spaces.items()},
            "observations": sorted(str(k) for k in spaces if k != "pov"),
            "monitors": sorted(str(k) for k in monitors),
            "limit": None if limit is None else int(limit),
        }

    def reset(self, seed: int) -> tuple[dict[str, Any], bytes]:
        """Starts an episode; every draw in it comes from the seed, as far as the game allows."""
        import numpy as np

        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - 1.0 draws GUI scale, gamma and field of view from it
        self._monitor, self._seed = {}, seed
        self._forget_steps()
        observation = self.env.reset()
        if getattr(self.inner, "done", False):
            raise GameLostError("the episode was over at its first frame")
        return self._answer(observation, plain(self._monitor))

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """One twentieth of a second; keys that are not named rest."""
        import numpy as np

        space = self.env.action_space
        full = space.no_op() if hasattr(space, "no_op") else space.noop()
        for key, value in action.items():
            full[key] = np.asarray(value, dtype=np.float32) if isinstance(value, list) else value
        observation, reward, done, info = self.env.step(full)
        header, body = self._answer(observation, plain(info))
        header.update(reward=float(reward), done=bool(done))
        return header, body

    def close(self) -> None:
        """Ends the game."""
        self.env.close()

    def _answer(self, observation: dict[str, Any], monitor: Any) -> tuple[dict[str, Any], bytes]:
        import numpy as np

        pov = np.ascontiguousarray(observation["pov"])  # the library hands out a view that is upside down in memory
        rest = plain({k: v for k, v in observation.items() if k != "pov"})
        header = {"shape": list(pov.shape), "dtype": str(pov.dtype), "observation": rest, "monitor": monitor}
        return header, pov.tobytes()

    def _forget_steps(self) -> None:
        """1.0's ObtainDiamondShovel counts the steps of all episodes as one, and so ends the second too early."""
        layer = self.env
        while layer is not self.inner and hasattr(layer, "env"):
            if "num_steps" in vars(layer):
                layer.num_steps = 0
            layer = layer.env

    def _connect(self, port: int) -> None:
        """Plays in a game that runs already, instead of starting one."""
        instance = importlib.import_module("minerl.env.malmo").InstanceManager.add_existing_instance(port)
        instance.had_to_clean = False
        self.inner.instances = [instance]

    def _watch(self) -> None:
        """Stands between the game and `minerl`'s wrappers, which reset and step it themselves and drop what it says."""
        reset, step = self.inner.reset, self.inner.step

        def seeded_reset() -> Any:
            self.inner.seed(self._seed)  # it is forgotten at each reset
            return reset()

        def checked_step(action: Any) -> Any:
            result = step(action)
            if "error" in result[3]:  # the observation beside it is random
                raise GameLostError(str(result[3]["error"]))
            if getattr(self.inner, "done", False) and not result[2]:
                # 0.4.4 says nothing when it could not tell the server to go on: it only marks itself as ended.
                raise GameLostError("the game's server could not be stepped")
            return result

        self.inner.reset, self.inner.step = seeded_reset, checked_step
        process = getattr(self.inner, "_process_observation", None)
        if process is not None:  # `reset` throws away what the monitors say of the first frame

            def keep(*args: Any, **kwargs: Any) -> Any:
                observation, self._monitor = process(*args, **kwargs)
                return observation, self._monitor

            self.inner._process_observation = keep


def imports() -> tuple[Any, Any]:
    """The modules `gym` and `minerl`; whatever goes wrong on the way counts as not installed."""
    try:
        return importlib.import_module("gym"), importlib.import_module("minerl")
    except Exception as error:  # an old minerl in a new numpy fails with an AttributeError
        raise ImportError(f"import minerl: {type(error).__name__}: {error}") from error


def version_of(module: Any) -> str:
    """The version of the installed distribution, or what the package's own files say."""
    try:
        return str(importlib.import_module("importlib.metadata").version("minerl"))
    except Exception:  # Python 3.7 has no importlib.metadata, and a source tree on PYTHONPATH no metadata
        return str(getattr(module, "__version__", "?"))


def known_tasks(gym: Any) -> set[str]:
    """The ids that Gym knows, in all its forms of a registry."""
    registry = gym.envs.registration.registry
    return set(getattr(registry, "env_specs", registry))


# --------------------------------------------------------------------------------------------------------- process


def end_with_parent(parent: int) -> None:
    """Kills everything that was started here once the client is gone, also in the middle of a long call."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        kill_family()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def kill_family() -> None:
    """Kills the processes that carry this worker's token, wherever they moved themselves; needs /proc."""
    token = os.environ.get(TOKEN)
    proc = Path("/proc")
    if not token or not (proc / "self").exists():
        return
    for entry in proc.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if f"{TOKEN}={token}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                pass  # it is gone, or somebody else's


def failure(error: Exception) -> dict[str, Any]:
    """An exception as plain values; the kind decides what the client makes of it."""
    kind = "exception"
    answer: dict[str, Any] = {}
    if isinstance(error, GameLostError):
        kind = "lost"
    elif isinstance(error, ImportError):
        kind = "missing"
    elif isinstance(error, KeyError) and len(error.args) == 2:
        kind, answer["known"] = "unknown", error.args[1]
    name = type(error).__name__
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    answer.update(error=kind, message=f"{name}: {error}", trace="".join(lines)[-4000:])
    return answer


def answer_to(game: Game | None, request: dict[str, Any]) -> tuple[Game, dict[str, Any], bytes]:
    """(game, header, body) after one request."""
    op = request["op"]
    if op == "make":
        game = Game(request["task"], request.get("port"))
        return game, game.facts(), b""
    if game is None:
        raise ValueError(f"{op} before make")
    header, body = game.reset(request["seed"]) if op == "reset" else game.step(request["action"])
    return game, header, body


def main(argv: list[str]) -> None:
    """Serves one client until it is gone."""
    channel = socket.socket(fileno=int(argv[0]))
    end_with_parent(int(argv[1]))
    here = str(Path(__file__).resolve().parent)  # nothing in this folder may be taken for one of the user's modules
    sys.path[:] = [path for path in sys.path if str(Path(path).resolve()) != here]
    game: Game | None = None
    while True:
        message = receive(channel)
        if message is None or message[0]["op"] == "close":
            break
        try:
            game, header, body = answer_to(game, message[0])
        except Exception as error:
            header, body = failure(error), b""
        send(channel, header, body)
    if game is not None:
        try:
            game.close()
        finally:
            kill_family()


if __name__ == "__main__":
    main(sys.argv[1:])
