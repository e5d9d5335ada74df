"""Files of weights: found on this machine, hashed before anything in them is interpreted, never downloaded.

Two formats are read: `.safetensors` (numbers only) and TorchScript archives, which are code and therefore only run
when their SHA-256 is the one that the user named. Pickles are not read. The bytes that were hashed are the bytes that
are loaded, so that nothing can be exchanged in between.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.errors import PrerequisiteError

if TYPE_CHECKING:
    import torch

FOLDER = "WORLDSIM_WEIGHTS"  # the folder in which files are looked for by their usual names
DOCS = "docs/metrics/learned.md"


class WeightsError(PrerequisiteError):
    """Weights that are missing, are not those that were named, or do not fit.

    Attributes:
        short: One clause without folders, for the reason of a row; the message adds what to do.
    """

    def __init__(self, short: str, remedy: str) -> None:
        super().__init__(f"{short}. {remedy}")
        self.short = short


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A file that a metric needs.

    Attributes:
        variable: Environment variable with its path, for example "WORLDSIM_LPIPS_WEIGHTS".
        file: Its usual name in the folder that WORLDSIM_WEIGHTS names.
        holds: What it must contain, in words.
        recipe: Heading in docs/metrics/learned.md that says how to make it.
    """

    variable: str
    file: str
    holds: str
    recipe: str

    @property
    def hash_variable(self) -> str:
        """Environment variable with the SHA-256, for example "WORLDSIM_LPIPS_SHA256"."""
        return self.variable.removesuffix("_WEIGHTS") + "_SHA256"

    def locate(self, path: str | Path | None = None) -> Path:
        """The file: `path`, else what `variable` names, else `file` in the folder WORLDSIM_WEIGHTS.

        Raises:
            WeightsError: If none is named, or it is not there.
        """
        named = path or os.environ.get(self.variable)
        folder = os.environ.get(FOLDER)
        make = f"It must hold {self.holds}; {DOCS}, {self.recipe!r}, says how to make it."
        if not named and not folder:
            raise WeightsError(
                f"no file was named for {self.file}",
                f"Pass its path, or set {self.variable} to it, or {FOLDER} to the folder of {self.file}. {make}",
            )
        found = Path(named).expanduser() if named else Path(str(folder)).expanduser() / self.file
        if not found.is_file():
            raise WeightsError(f"{found.name} is not there", f"There is no file {found}. {make}")
        return found

    def read(self, path: str | Path | None = None, sha256: str | None = None) -> Checked:
        """The bytes of the file, once their SHA-256 is the expected one.

        Args:
            path: As in `locate`.
            sha256: 64 hexadecimal digits; None = those that `hash_variable` holds.

        Raises:
            WeightsError: If the file is missing, no hash was given (the file's own is printed), or it is another one.
        """
        found = self.locate(path)
        want = (sha256 or os.environ.get(self.hash_variable, "")).strip().lower()
        if want and not re.fullmatch(r"[0-9a-f]{64}", want):
            raise WeightsError(
                f"the SHA-256 given for {found.name} is no SHA-256",
                f"Expected 64 hexadecimal digits, got {len(want)} characters: {want[:80]!r}.",
            )
        try:
            data = found.read_bytes()
        except OSError as error:
            raise WeightsError(f"{found.name} cannot be read", f"{found}: {error}") from error
        have = hashlib.sha256(data).hexdigest()
        if not want:
            raise WeightsError(
                f"no SHA-256 was given for {found.name}",
                f"That of {found} is {have}. Compare it with the one published where the file comes from; then pass "
                f"sha256='{have}' or set {self.hash_variable}={have}",
            )
        if have != want:
            raise WeightsError(
                f"{found.name} has another SHA-256 than was given ({have[:12]}, expected {want[:12]})",
                f"{found} has {have}, expected {want}. It is another file or a damaged one: nothing was read from it.",
            )
        return Checked(source=self, path=found, sha256=have, data=data)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The content of a file whose hash was the expected one."""

    source: WeightFile
    path: Path
    sha256: str
    data: bytes = field(repr=False)

    def error(self, what: str) -> WeightsError:
        """An error about this content: its name, what is wrong, and what it should hold."""
        return WeightsError(
            f"{self.path.name} {what}",
            f"{self.path} must hold {self.source.holds}; {DOCS}, {self.source.recipe!r}, says how to make it.",
        )


def load_state(checked: Checked, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """A state dict from safetensors, float32, with exactly these keys and shapes and finite numbers.

    Raises:
        WeightsError: If it is no whole safetensors file, or keys, shapes or numbers are wrong; the message says which.
    """
    import torch
    from safetensors.torch import load

    try:
        state = load(checked.data)
    except Exception as error:  # the parser raises its own kinds, and any of them for a file cut short
        raise checked.error(f"is no whole safetensors file ({_line(error)})") from error
    wrong = [f"lacks {_few(sorted(shapes.keys() - state.keys()))}"] if shapes.keys() - state.keys() else []
    if extra := sorted(state.keys() - shapes.keys()):
        wrong.append(f"holds the unknown {_few(extra)}")
    for name in sorted(shapes.keys() & state.keys()):
        if tuple(state[name].shape) != tuple(shapes[name]):
            wrong.append(f"has {name} of shape {tuple(state[name].shape)}, expected {tuple(shapes[name])}")
        elif not (state[name].is_floating_point() and bool(torch.isfinite(state[name]).all())):
            wrong.append(f"has {name} with numbers that are not finite floats")
    if wrong:
        raise checked.error(", ".join(wrong))
    return {name: state[name].to(torch.float32) for name in shapes}


def load_script(checked: Checked, methods: tuple[str, ...] = ("forward",)) -> Any:
    """A TorchScript archive on the CPU, in float32 and evaluation mode, that has these methods.

    Raises:
        WeightsError: If it is no whole archive, or lacks a method.
    """
    import torch

    try:
        with warnings.catch_warnings():  # archives are what published backbones come in, whatever torch plans for them
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            module: Any = torch.jit.load(io.BytesIO(checked.data), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:
        raise checked.error(
            f"is no whole TorchScript archive ({_line(error)}); a pickle made by torch.save is not read"
        ) from error
    lacking = [name for name in methods if not hasattr(module, name)]
    if lacking:
        raise checked.error(f"lacks the method {_few(lacking)}")
    return module.float().eval()


def run_network(checked: Checked, method: Any, *inputs: torch.Tensor, **options: bool) -> torch.Tensor:
    """Calls a method of an archive without gradients.

    Raises:
        WeightsError: If it fails, or gives anything but one tensor of finite floats with a row for each input row.
    """
    import torch

    try:
        with torch.inference_mode():
            out = method(*inputs, **options)
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise checked.error(f"cannot take an input of shape {shapes} ({_line(error)})") from error
    if not isinstance(out, torch.Tensor) or out.ndim < 2 or len(out) != len(inputs[0]):
        got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise checked.error(f"gives {got} for {len(inputs[0])} inputs, not one tensor with a row for each")
    if not out.is_floating_point() or not bool(torch.isfinite(out).all()):
        raise checked.error("gives numbers that are not finite floats")
    return out.to(torch.float32)


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _line(error: Exception) -> str:
    """The last line that says something, for TorchScript puts a traceback before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]
