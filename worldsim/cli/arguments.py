"""Command lines from dataclasses: the field is the option, its docstring the help; each page ends in examples."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def parse(cls: type[T], args: Sequence[str], verb: str, examples: str, default: T | None = None) -> T:
    """Reads the options of a verb into `cls`. Wrong usage exits with 2, as `--help` does with 0."""
    import tyro

    wants_help = any(a in ("-h", "--help") for a in args)
    try:
        if default is None:
            return tyro.cli(cls, args=list(args), prog=f"worldsim {verb}")
        return tyro.cli(cls, args=list(args), prog=f"worldsim {verb}", default=default)
    except SystemExit as end:
        if wants_help:
            print("examples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines()))
        sys.exit(end.code)
