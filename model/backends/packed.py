"""Linear layers and convolutions whose weights lie as oneDNN wants them: about twice as fast on CPUs with AVX-512.

`torch.nn.functional.linear` in float32 goes to MKL, which uses half of the width of AMD's vector units (torch 2.13: 113
against 250 GFLOP/s on one Zen 4 core), and convolutions order their weights anew at every call. Torch's compiler uses
these operators when it freezes weights; they are called here without it. Where they are missing plain layers stay.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

_Module = TypeVar("_Module", bound=nn.Module)


def available(weight: Tensor) -> bool:
    """Whether a weight can be packed here."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype not in (torch.float32, torch.bfloat16):
        return False
    operators = ("_reorder_linear_weight", "_linear_pointwise", "_reorder_convolution_weight", "_convolution_pointwise")
    return all(hasattr(torch.ops.mkldnn, name) for name in operators)


class PackedLinear(nn.Module):
    """`nn.Linear` for inference."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        # The number of rows is a hint only; any other number works as fast.
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), 16)
        self.bias = None if layer.bias is None else layer.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out


class PackedConv2d(nn.Module):
    """`nn.Conv2d` for inference, channels last. The best order depends on the input's size: it is packed for one."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.settings = [list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups]
        self.plain, self.bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        self.weight, self._size = self.plain, torch.Size()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, ...)."""
        if x.shape != self._size:
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(self.plain, *self.settings, list(x.shape))
            self._size = x.shape
        x = x.contiguous(memory_format=torch.channels_last)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.settings, "none", [], "")
        return out


class PackedUnpatch(nn.Module):
    """A transposed convolution whose kernel is its stride, as the matrix product that it is."""

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.factor = layer.stride[0]
        conv = nn.Conv2d(layer.in_channels, layer.out_channels * self.factor**2, 1, device="meta")
        conv.weight = nn.Parameter(layer.weight.detach().flatten(1).t()[:, :, None, None].contiguous())
        assert layer.bias is not None
        conv.bias = nn.Parameter(layer.bias.detach().repeat_interleave(self.factor**2))
        self.conv = PackedConv2d(conv)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, factor h, factor w)."""
        return nn.functional.pixel_shuffle(self.conv(x), self.factor)


def packed(module: _Module) -> _Module:
    """A copy of a module for inference; its linear layers and convolutions are packed where that is possible.

    Whoever reads `.weight` of such a layer inside the module finds it in another order.
    """
    weights = {id(p): p for p in (*module.parameters(), *module.buffers())}
    out = copy.deepcopy(module, dict(weights)).eval()  # weights are shared, not copied
    _replace(out)
    return out


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and available(child.weight):
            setattr(module, name, PackedLinear(child))
        elif isinstance(child, nn.Conv2d) and available(child.weight) and isinstance(child.padding, tuple):
            setattr(module, name, PackedConv2d(child))
        elif isinstance(child, nn.ConvTranspose2d) and available(child.weight) and _is_unpatch(child):
            setattr(module, name, PackedUnpatch(child))
        else:
            _replace(child)


def _is_unpatch(layer: nn.ConvTranspose2d) -> bool:
    size = layer.kernel_size
    plain = layer.bias is not None and layer.padding == layer.output_padding == (0, 0) and layer.groups == 1
    return plain and size == layer.stride and size[0] == size[1] and layer.dilation == (1, 1)
