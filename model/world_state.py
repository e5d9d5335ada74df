"""The state of a world as a tree of numpy arrays and plain values; `worldsim.trees.flatten` puts it into an `.npz`.

keys, values       (layers, W, M, kv heads, head) float32: the ring from the oldest frame to the newest
times, filled      (W,)
pinned_...         the same of frames known ahead, where there are any
previous           (N, P) the latest latent
text               (R, D)
decoder            (time_kernel - 1, C, h, w)
pending_...        in the fused form: what is known of the frame that is not committed yet
seed, frame, time, has_previous, backward, size, weights, schema
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.errors import ContractError
from worldsim.model.door import Canvas
from worldsim.trees import Tree

SCHEMA = 1
_NEEDED = ("keys", "values", "times", "filled", "previous", "text", "seed", "frame", "time", "decoder")


def to_tree(world: Mapping[str, Any], decoder: Tensor, canvas: Canvas, weights: str) -> Tree:
    """What `Worlds.read` and `Screen.read` gave as one tree; the arrays are its own."""
    tree = {name: _array(value) if isinstance(value, Tensor) else value for name, value in world.items()}
    size = [canvas.height, canvas.width]
    return {**tree, "decoder": _array(decoder), "size": size, "weights": weights, "schema": SCHEMA}


def from_tree(tree: Tree, canvas: Canvas, weights: str) -> tuple[dict[str, Any], Tensor]:
    """What `Worlds.write` and `Screen.write` take.

    Raises:
        ContractError: If it is no such tree, or of other weights or another size.
    """
    missing = [n for n in _NEEDED if n not in tree] if isinstance(tree, Mapping) else list(_NEEDED)
    if missing or tree.get("schema") != SCHEMA:
        raise ContractError(
            f"this is not a snapshot of this simulator (schema {SCHEMA}): missing {', '.join(missing) or 'nothing'}, "
            f"schema {tree.get('schema') if isinstance(tree, Mapping) else None}"
        )
    if tree["weights"] != weights:
        raise ContractError("this snapshot was taken with other weights: restore it with the checkpoint it is from")
    if list(tree["size"]) != [canvas.height, canvas.width]:
        raise ContractError(
            f"this snapshot has frames of {tree['size'][0]}x{tree['size'][1]}, the batch {canvas.height}x"
            f"{canvas.width}: reset the batch with that size first"
        )
    world = {n: torch.from_numpy(np.array(v)) if isinstance(v, np.ndarray) else v for n, v in tree.items()}
    decoder = world.pop("decoder")
    assert isinstance(decoder, Tensor)
    return world, decoder


def _array(x: Tensor) -> Any:
    x = x.detach().cpu()
    return (x.float() if x.is_floating_point() else x).numpy().copy()
