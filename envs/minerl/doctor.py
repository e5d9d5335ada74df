"""`worldsim doctor minerl`: is there a Python with MineRL, can it start the game, and what to do if not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from worldsim.envs.minerl.advice import VARIABLE, find_python
from worldsim.envs.minerl.process import call_once
from worldsim.errors import PrerequisiteError

#: Runs in the user's Python; prints one JSON line last.
_PROBE = """
import json, os, sys
said = {"python": sys.version.split()[0]}
try:
    import numpy; said["numpy"] = numpy.__version__
    import gym; said["gym"] = getattr(gym, "__version__", "?")
    import minerl; folder = os.path.dirname(minerl.__file__)
    said["minerl"] = folder
    registry = gym.envs.registration.registry
    said["tasks"] = sum("MineRL" in name for name in getattr(registry, "env_specs", registry))
    places = [os.path.join(folder, "MCP-Reborn"), os.path.join(folder, "Malmo", "Minecraft")]
    said["client"] = next((p for p in places if os.path.exists(os.path.join(p, "launchClient.sh"))), "")
    built = [os.path.join(p, "build", "libs") for p in places]
    said["built"] = any(os.path.isdir(p) and os.listdir(p) for p in built)
except Exception as error:
    said["error"] = "%s: %s" % (type(error).__name__, error)
print(); print(json.dumps(said))
"""
_PATIENCE = 120.0  # seconds: an import of minerl on a cold disk
_MAKE = "python3 -m venv minerl-env && minerl-env/bin/pip install minerl==0.4.4   (the whole recipe: docs/minerl.md)"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: `good` is None for what is only worth knowing."""

    what: str
    good: bool | None
    found: str
    remedy: str = ""


def findings(python: str | None = None) -> list[Finding]:
    """What is there and what is missing, in the order in which it is needed."""
    try:
        path = find_python(python)
    except PrerequisiteError as error:
        first = str(error).split(". ")[0]
        remedy = f"{_MAKE}, then: export {VARIABLE}=$PWD/minerl-env/bin/python"
        return [Finding(what="python", good=False, found=first, remedy=remedy), *_java()]
    code, text = call_once([path, "-c", _PROBE], _PATIENCE)
    try:
        said = json.loads(next(line for line in reversed(text.splitlines()) if line.startswith("{")))
    except (StopIteration, ValueError):
        last = text.splitlines()[-1] if text else "nothing"
        return [Finding(what="python", good=False, found=f"{path} ended with {code}: {last}", remedy="name another")]
    out = [Finding(what="python", good=True, found=f"{said['python']} at {path}")]
    if "error" in said:
        remedy = f"{path} -m pip install minerl==0.4.4   (docs/minerl.md has the recipe; 1.0.0 needs numpy<1.24)"
        return [*out, Finding(what="minerl", good=False, found=said["error"], remedy=remedy), *_java()]
    found = f"{said['tasks']} tasks, in {said['minerl']} (gym {said['gym']}, numpy {said['numpy']})"
    out.append(Finding(what="minerl", good=True, found=found))
    return [*out, _game(said), *_java()]


def _game(said: dict[str, object]) -> Finding:
    """The client's folder is made when minerl is installed by pip with Java 8 and the network."""
    if said.get("client") and said.get("built"):
        return Finding(what="game", good=True, found=f"built, in {said['client']}")
    where = f"not built in {said['client']}" if said.get("client") else "not there"
    return Finding(
        what="game",
        good=None,
        found=f"{where}: tasks can be made, but a reset cannot start Minecraft",
        remedy="install minerl by pip where Java 8 and the network are, or play one that runs: port=9000",
    )


def _java() -> list[Finding]:
    code, text = call_once(["java", "-version"], 20.0)
    if code == 127:
        remedy = "apt-get install openjdk-8-jdk, or a JDK 8 from https://adoptium.net"
        return [Finding(what="java", good=None, found="none; the game needs Java 8", remedy=remedy)]
    version = text.splitlines()[0] if text else "unknown"
    if '"1.8' in version:
        return [Finding(what="java", good=True, found=version)]
    return [Finding(what="java", good=None, found=version, remedy="MineRL asks for Java 8: set JAVA_HOME to a JDK 8")]


def doctor_minerl(args: Sequence[str]) -> int:
    """Prints the findings; returns 3 if MineRL cannot be used, else 0. The one argument is the interpreter's path."""
    if len(args) > 1 or any(a.startswith("-") for a in args):
        print("worldsim doctor minerl [PYTHON]\n\nSays whether MineRL can be played; PYTHON is the one that has it.")
        return 0 if list(args) in (["-h"], ["--help"]) else 2
    found = findings(args[0] if args else None)
    for line in found:
        mark = {True: "ok", False: "MISSING", None: "note"}[line.good]
        print(f"{mark:8} {line.what:8} {line.found}")
        if line.remedy:
            print(f"{'':17} {line.remedy}")
    return 3 if any(line.good is False for line in found) else 0
