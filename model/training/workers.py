"""One process or several: how a module is spread over them, and how they stay in step.

- `Workers`: one process.
- `Replicas`: each process has the whole module and a share of the batch; gradients are averaged (torch's DDP).
- `Shards`: each process has a share of every parameter, of its gradient and of its optimizer state, and gathers a layer
  when it is needed (FSDP2, `torch.distributed.fsdp.fully_shard`): for networks that do not fit into one device.

`torchrun` starts the processes; `from_environment` finds out which one this is.
"""

from __future__ import annotations

import contextlib
import copy
import os
import warnings
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from worldsim.errors import ConfigError, PrerequisiteError

Parallel = Literal["ddp", "fsdp"]
#: How long processes wait for one another: validation and encoding are done by the first one alone.
PATIENCE = timedelta(hours=6)


class Workers:
    """One process.

    Attributes:
        rank: Which process this is, from 0 on.
        world: How many there are.
        device: Where it computes: "cpu", "cuda:0", ...
    """

    def __init__(self, device: str = "cpu", *, rank: int = 0, world: int = 1) -> None:
        self.device, self.rank, self.world = device, rank, world

    @property
    def main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def wrap(self, module: nn.Module, *, unused: bool) -> tuple[nn.Module, nn.Module]:
        """What holds the parameters that are trained, and what is called.

        Args:
            module: With the same weights in every process.
            unused: Whether some steps leave some parameters out.
        """
        return module, module

    @contextlib.contextmanager
    def accumulating(self, called: nn.Module) -> Iterator[None]:
        """Within the block gradients are added up in each process for itself."""
        yield

    def full(self, value: Tensor) -> Tensor:
        """The whole of a value of which each process may have a part; every process must ask."""
        return value

    def agree(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag

    def wait(self) -> None:
        """Until every process is here."""

    def share_buffers(self, module: nn.Module) -> None:
        """Gives every process the first one's buffers, so that a state that is loaded is the state of all."""

    def close(self) -> None:
        """At the end."""


class Replicas(Workers):
    """See the module."""

    def wrap(self, module: nn.Module, *, unused: bool) -> tuple[nn.Module, nn.Module]:
        """See `Workers`."""
        places = [torch.device(self.device)] if self.device.startswith("cuda") else None
        with (
            warnings.catch_warnings()
        ):  # its successor, `forward_sync_buffers`, is younger than the oldest torch allowed
            warnings.simplefilter("ignore", FutureWarning)
            called = nn.parallel.DistributedDataParallel(
                module, device_ids=places, broadcast_buffers=False, find_unused_parameters=unused
            )
        return module, called

    @contextlib.contextmanager
    def accumulating(self, called: nn.Module) -> Iterator[None]:
        """See `Workers`."""
        wrapped: Any = called
        with wrapped.no_sync():
            yield

    def agree(self, flag: bool) -> bool:
        """See `Workers`."""
        value = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value)

    def wait(self) -> None:
        """See `Workers`."""
        dist.barrier()

    @torch.no_grad()
    def share_buffers(self, module: nn.Module) -> None:
        """See `Workers`."""
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)

    def close(self) -> None:
        """See `Workers`."""
        dist.destroy_process_group()


class Shards(Replicas):
    """See the module."""

    def wrap(self, module: nn.Module, *, unused: bool) -> tuple[nn.Module, nn.Module]:
        """A copy of the module is sharded, each layer of a list for itself and the rest together.

        The module itself stays whole: validation and the export use it. It costs its size once more.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        sharded = copy.deepcopy(module)
        for p in sharded.parameters():
            p.data = p.data.contiguous()  # FSDP2 takes no other memory format
        mesh = init_device_mesh(torch.device(self.device).type, (self.world,))
        for part in [m for m in sharded.modules() if isinstance(m, nn.ModuleList)]:
            for layer in part:
                fully_shard(layer, mesh=mesh)
        fully_shard(sharded, mesh=mesh)
        return sharded, sharded

    @contextlib.contextmanager
    def accumulating(self, called: nn.Module) -> Iterator[None]:
        """See `Workers`."""
        sharded: Any = called
        sharded.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            sharded.set_requires_gradient_sync(True)

    def full(self, value: Tensor) -> Tensor:
        """See `Workers`."""
        return whole(value)


def whole(value: Tensor) -> Tensor:
    """All of a sharded tensor, gathered from all processes; any other tensor as it is."""
    gather = getattr(value, "full_tensor", None)
    return value if gather is None else gather()


def laid_out(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device, in the memory format and in the shards of another one of its shape."""
    if hasattr(like, "placements"):
        from torch.distributed.tensor import distribute_tensor

        shards: Any = like
        return distribute_tensor(value.to(shards.device), shards.device_mesh, shards.placements, src_data_rank=None)
    return torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)


def from_environment(
    device: str = "cpu", parallel: Parallel = "ddp", environment: Mapping[str, str] = os.environ
) -> Workers:
    """The process that this is: one of those that `torchrun` started, or the only one.

    Raises:
        ConfigError: If the device does not exist, or `parallel` is "fsdp" without torchrun.
    """
    kind = torch.device(device).type
    if kind == "cuda" and not torch.cuda.is_available():
        raise PrerequisiteError(
            f"device {device!r} is asked for, but this torch ({torch.__version__}) sees no GPU: use --device cpu, or "
            "install a CUDA build of torch"
        )
    if "RANK" not in environment:
        if parallel == "fsdp":
            raise ConfigError(
                "fsdp spreads a network over processes: start them with "
                "`torchrun --nproc-per-node N -m worldsim train ... --parallel fsdp`"
            )
        return Workers(device)
    rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    if kind == "cuda":
        device = f"cuda:{environment.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=PATIENCE)
    return (Shards if parallel == "fsdp" else Replicas)(device, rank=rank, world=world)
