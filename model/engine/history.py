"""Histories that are not the cache: none at all, and one that notes what passes."""

from __future__ import annotations

from torch import Tensor

from worldsim.model.dit.attention import History, attend_space


class NoHistory:
    """A `History` without a past: each frame sees itself only, as the first of a clip does."""

    def __init__(self, full: bool) -> None:
        """`full` as in `DiTConfig.time_attention`."""
        self._full = full

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `History`."""
        if self._full:
            return attend_space(q, k, v, None)
        return v.repeat_interleave(q.shape[3] // v.shape[3], dim=3)  # one key alone has all the weight


class Recorder:
    """A history that keeps what passes: keys and values before they are turned by time."""

    def __init__(self, inner: History) -> None:
        """Hands on to `inner`."""
        self.inner = inner
        self.captured: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `History`."""
        self.captured[layer] = (k, v)
        return self.inner.attend(layer, q, k, v)
