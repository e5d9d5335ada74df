"""Linear layers in eight bits: weights ahead, activations as they come."""

from __future__ import annotations

import warnings
from typing import TypeVar

import torch
from torch import nn

from worldsim.errors import UnsupportedError

_Module = TypeVar("_Module", bound=nn.Module)


def quantized(module: _Module) -> _Module:
    """A copy whose linear layers are in int8.

    Raises:
        UnsupportedError: Where this build of torch has no kernels for it.
    """
    with warnings.catch_warnings():
        # Torch announces that this interface will move to another package; there is no other way without it.
        warnings.simplefilter("ignore")
        try:
            from torch.ao.quantization import quantize_dynamic

            out: _Module = quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
        except (ImportError, RuntimeError) as error:
            raise UnsupportedError(
                f"the back end int8 needs quantised kernels, which this torch lacks ({error}): use eager or onnx"
            ) from error
    return out
