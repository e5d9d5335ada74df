"""Exported networks, run by ONNX Runtime or OpenVINO. Both are optional and imported when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from worldsim.errors import PrerequisiteError
from worldsim.model.backends.frame import FrameArguments, FrameResult
from worldsim.model.backends.fused import FusedArguments


class Session(Protocol):
    """A graph that can be run."""

    def run(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        """Arrays by name in, arrays in the order of the graph's outputs out. The outputs are the caller's own."""
        ...


def need(package: str, extra: str) -> None:
    """Raises PrerequisiteError if a package is missing, before anything is exported for it."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise PrerequisiteError(
            f"this back end needs the package {package} ({error}): pip install 'worldsim[{extra}]'"
        ) from error


class OnnxSession:
    """ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that wait in a loop take the core from whoever shares it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = {i.name for i in self._session.get_inputs()}

    def run(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        """See `Session`."""
        outputs: Sequence[Any] = self._session.run(None, {k: v for k, v in inputs.items() if k in self._names})
        return outputs


class OpenVinoSession:
    """OpenVINO on the CPU, in float32 or bfloat16."""

    def __init__(self, path: Path, threads: int, precision: str) -> None:
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        model = openvino.Core().compile_model(str(path), "CPU", settings)
        self._request = model.create_infer_request()
        # A port has several names: the graph's own and those of operators that were found to do nothing.
        self._names = {name for port in model.inputs for name in port.get_names()}
        self._outputs = list(model.outputs)

    def run(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        """See `Session`."""
        given = {k: v for k, v in inputs.items() if k in self._names}
        results = self._request.infer(given, share_inputs=True, share_outputs=False)
        return [results[o] for o in self._outputs]


class ExportedFrame:
    """A whole frame by one call of a session; a `Runner`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, a: FrameArguments | FusedArguments) -> FrameResult:
        """As `FrameNet`."""
        inputs = {name: _array(x) for name, x in zip(a._fields[:-1], a[:-1], strict=True)}
        inputs |= {f"cache{i}": _array(x) for i, x in enumerate(a.cache)}
        clean, instability, told, *commits = (torch.from_numpy(x) for x in self._session.run(inputs))
        return FrameResult(clean, instability, told, tuple(commits))


class ExportedDecoder:
    """The decoder by one call of a session, as `DecoderNet`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, latents: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """As `DecoderNet`."""
        outputs = self._session.run({"latents": _array(latents), "past": _array(past)})
        frames, after = (torch.from_numpy(x) for x in outputs[:2])
        return frames, after


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()
