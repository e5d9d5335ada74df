"""`worldsim VERB ...`: finds the verb, imports only what it needs, and turns errors into messages and exit codes.

Exit codes: 0 fine, 1 finished with failures, 2 wrong usage, 3 missing prerequisite, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from worldsim import __version__
from worldsim.errors import WorldsimError, nearest

#: verb -> (module:function, one line). A function takes the arguments after the verb and returns the exit code.
COMMANDS = {
    "eval": ("worldsim.cli.run:evaluate", "roll out, score and report: the whole path"),
    "rollout": ("worldsim.cli.run:rollout", "truth and model in lockstep, recorded; no scores"),
    "score": ("worldsim.cli.stages:score", "score a recorded run again, or two folders of clips"),
    "report": ("worldsim.cli.stages:report", "build the page of a run"),
    "check": (
        "worldsim.cli.check:check",
        "check a model, env or metric by its contract, a run or dataset by its hashes",
    ),
    "collect": ("worldsim.cli.collect:collect_command", "play worlds and record them: data to train on"),
    "export": ("worldsim.cli.exchange:export_command", "a dataset as Minari, LeRobot, or videos with actions"),
    "import": ("worldsim.cli.exchange:import_command", "a dataset from Minari, LeRobot, videos, VPT or MineRL"),
    "generate": ("worldsim.cli.generate:generate_command", "clips from words, pictures and other clips"),
    "train": ("worldsim.cli.train:train_command", "a simulator from a recipe: data, codec, transformer"),
    "certify": ("worldsim.cli.certify:certify_command", "prove the metrics with planted faults: the response matrix"),
    "calibrate": ("worldsim.cli.calibrate:calibrate_command", "the hypothesis test: its thresholds and its own error"),
    "bench": ("worldsim.cli.bench:bench_command", "how fast the simulator is here: back ends, parts, floor"),
    "ls": ("worldsim.cli.inspect:ls_command", "list models, envs, metrics, controllers, scenarios or runs"),
    "show": ("worldsim.cli.inspect:show_command", "what a name means, or how a run ended"),
    "doctor": ("worldsim.cli.doctor:doctor_command", "what is installed, what is missing and how to get it"),
}

EXAMPLES = """examples:
  worldsim eval --model worldsim/CopyContext --scenarios quick --episodes 16
  worldsim eval --model my_model.py:MyModel --model-args steps=4 --out runs/mine
  worldsim eval --resume --out runs/mine
  worldsim check model my_model.py:MyModel
  worldsim ls metrics
"""


def usage() -> str:
    """The help page."""
    lines = [
        f"worldsim {__version__}: does this simulator keep the world?",
        "",
        "usage: worldsim VERB [options]   (worldsim VERB --help explains a verb)",
        "",
    ]
    lines += [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([*lines, "", EXAMPLES])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb. Returns the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        print(__version__)
        return 0
    verb, rest = args[0], args[1:]
    if verb not in COMMANDS:
        print(f"error: no verb {verb!r}.{nearest(verb, COMMANDS)} `worldsim --help` lists them.", file=sys.stderr)
        return 2
    module, _, function = COMMANDS[verb][0].partition(":")
    try:
        command: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), function)
        return command(rest)
    except WorldsimError as error:
        if os.environ.get("WORLDSIM_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was committed is safe, --resume goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
