"""Muon for matrices, AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): the momentum of each weight matrix is replaced by
its nearest semi-orthogonal matrix, found by five Newton-Schulz steps. Here it reaches the same loss in about half the
steps of AdamW, which on two cores decides what can be trained at all. torch has a Muon since 2.9, for 2-D weights only;
this one takes convolutions too, as matrices (out, in * kernel). The iteration needs the whole matrix: where a parameter
is sharded over processes, each gathers the update, and keeps its own rows of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.model.training.workers import laid_out, whole

#: Coefficients of the quintic iteration in the post above: slope at zero as steep as convergence to about 1 allows.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """About U V^T of the singular value decomposition U S V^T, for (M, N) or a stack of them; in bfloat16."""
    x = matrix.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    out: Tensor = (x.mT if tall else x).to(matrix.dtype)
    return out


class MuonAdamW(torch.optim.Optimizer):
    """One learning rate for both: Muon's update is scaled to the RMS of AdamW's, 0.2 (Liu et al., arXiv:2502.16982)."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        """Takes groups as `split_parameters` makes them: {"params": [...], "muon": bool}."""
        super().__init__(
            groups, {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients."""
        if closure is not None:
            raise ValueError("MuonAdamW takes no closure")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if group["muon"]:
                    self._muon(p, group)
                else:
                    self._adamw(p, group)

    def _muon(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        grad, moment = p.grad, state["momentum"]
        assert grad is not None
        moment.lerp_(grad, 1 - group["momentum"])
        update = grad.lerp(moment, group["momentum"])  # Nesterov
        full = whole(update)
        turned = orthogonalise(full.flatten(1)).view(p.shape)
        update = turned if full is update else laid_out(turned, p)
        rows, columns = p.shape[0], p.numel() // p.shape[0]
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(update, alpha=-group["lr"] * 0.2 * max(rows, columns) ** 0.5)

    def _adamw(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
            state["first"], state["second"] = torch.zeros_like(p), torch.zeros_like(p)
        grad = p.grad
        assert grad is not None
        beta1, beta2 = group["betas"]
        state["step"] += 1
        t = float(state["step"])
        state["first"].lerp_(grad, 1 - beta1)
        state["second"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        scale = (state["second"] / (1 - beta2**t)).sqrt_().add_(group["eps"])
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.addcdiv_(state["first"], scale, value=-group["lr"] / (1 - beta1**t))


def split_parameters(module: nn.Module, plain: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Groups for `MuonAdamW`: hidden weight matrices and kernels, and all others.

    Args:
        module: Its trainable parameters.
        plain: Parts of names whose parameters are never for Muon: embeddings, first and last layers.
    """
    muon: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, p in module.named_parameters():
        if p.requires_grad:
            hidden = p.ndim >= 2 and min(p.shape[0], p.numel() // p.shape[0]) > 1
            (muon if hidden and not any(part in name for part in plain) else others).append(p)
    return [{"params": muon, "muon": True}, {"params": others, "muon": False}]
