"""LPIPS: distance of two pictures in the features of AlexNet, weighted as people judged (Zhang et al. 2018, v0.1).

    d(x, y) = sum over layers l of mean over h, w of sum over c of w_lc (x_lhwc - y_lhwc)^2       (eq. 1)

with x_l the activations after the l-th ReLU, scaled to length 1 along the channels. Keys of the safetensors file:
`features.N.weight` and `features.N.bias` for N = 0, 3, 6, 8, 10 as in torchvision's AlexNet, and `linK.model.1.weight`
for K = 0..4 as in the published heads.

Limits: frames are compared at their own size, as published; below 31 px the last layers have no pixel. Trained on
64x64 crops of photographs, so on rendered worlds it is a habit of the field, not a proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

from worldsim.metrics.base import Float
from worldsim.metrics.learned.base import LearnedFrames, to_tensor
from worldsim.metrics.learned.weights import Checked, WeightFile, load_state
from worldsim.types import Frames, MetricSpec

if TYPE_CHECKING:
    import torch

State: TypeAlias = "Mapping[str, torch.Tensor]"

#: Layer -> (output channels, input channels, kernel, stride, padding, max-pooled before).
CONVOLUTIONS = {
    0: (64, 3, 11, 4, 2, False),
    3: (192, 64, 5, 1, 2, True),
    6: (384, 192, 3, 1, 1, True),
    8: (256, 384, 3, 1, 1, False),
    10: (256, 256, 3, 1, 1, False),
}
MIN_SIZE = 31  # px: below it the second pooling has nothing left
SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and spread for pixels in -1..1
EPS = 1e-10  # added to the length of an activation, as published

WEIGHTS = WeightFile(
    variable="WORLDSIM_LPIPS_WEIGHTS",
    file="lpips.safetensors",
    holds="features.{0,3,6,8,10}.{weight,bias} of AlexNet and lin{0..4}.model.1.weight of LPIPS v0.1",
    recipe="LPIPS",
)


def shapes() -> dict[str, tuple[int, ...]]:
    """Every key of the state dict and its shape."""
    out: dict[str, tuple[int, ...]] = {}
    for k, (n, (wide, narrow, kernel, *_)) in enumerate(CONVOLUTIONS.items()):
        out[f"features.{n}.weight"] = (wide, narrow, kernel, kernel)
        out[f"features.{n}.bias"] = (wide,)
        out[f"lin{k}.model.1.weight"] = (1, wide, 1, 1)
    return out


def features(images: torch.Tensor, state: State) -> list[torch.Tensor]:
    """The five activations of (n, 3, H, W) pictures in -1..1, each (n, C, h, w), of length 1 along C."""
    from torch.nn import functional

    mean, spread = (images.new_tensor(values)[:, None, None] for values in SCALE)
    x = (images - mean) / spread
    out = []
    for n, (*_, stride, padding, pooled) in CONVOLUTIONS.items():
        if pooled:
            x = functional.max_pool2d(x, kernel_size=3, stride=2)
        weight, bias = state[f"features.{n}.weight"], state[f"features.{n}.bias"]
        x = functional.relu(functional.conv2d(x, weight, bias, stride=stride, padding=padding))
        out.append(x / (x.norm(dim=1, keepdim=True) + EPS))
    return out


def distance(first: torch.Tensor, second: torch.Tensor, state: State) -> torch.Tensor:
    """LPIPS of (n, 3, H, W) pictures in -1..1, at least 31 px -> (n,); 0 for equal pictures."""
    total = first.new_zeros(len(first))
    for k, (x, y) in enumerate(zip(features(first, state), features(second, state), strict=True)):
        head = state[f"lin{k}.model.1.weight"]  # (1, C, 1, 1)
        total = total + ((x - y).square() * head).sum(dim=1).mean(dim=(1, 2))
    return total


class LPIPS(LearnedFrames[State]):
    """Learned perceptual image patch similarity; a distance, in spite of its name."""

    needs = WEIGHTS
    chunk = 8  # the first layer's activations of 16 frames at 256 px take half a gigabyte
    why_undefined = f"frames below {MIN_SIZE}x{MIN_SIZE} px"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="learned.lpips",
        version=1,
        unit="1",
        range=(0.0, np.inf),
        higher_is_better=False,
        floor="frozen",
        undefined=("no weights", "no predicted frame", "the simulator ended the episode", why_undefined),
        sensitive=frozenset({"blur", "noise", "jpeg", "lag", "drop", "flip", "gain"}),
        source="Zhang et al. 2018, eq. 1, AlexNet, v0.1",
        summary="Does a network that learnt from people's judgements see the truth's picture?",
        headline=False,
        pixel=True,
        power=0.01,
    )

    def build(self, checked: Checked) -> State:
        """The state dict; heads must not be negative, for a distance is not."""
        state = load_state(checked, shapes())
        negative = [name for name in state if name.startswith("lin") and bool((state[name] < 0).any())]
        if negative:
            raise checked.error(f"has negative weights in {', '.join(negative)}, which no LPIPS head has")
        return state

    def compare(self, truth: Frames, shown: Frames) -> Float:
        """See `distance`; NaN below 31 px."""
        import torch

        if min(truth.shape[1:3]) < MIN_SIZE:
            return np.full(len(truth), np.nan)
        with torch.inference_mode():
            x, y = (2.0 * to_tensor(frames) - 1.0 for frames in (truth, shown))
            return np.asarray(distance(x, y, self.load()).double().numpy(), np.float64)
