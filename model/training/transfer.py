"""To start from a checkpoint: weights whose names and shapes fit are taken over, the rest is as it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

#: The word embeddings of a transformer: reserved rows, then one a word of its vocabulary.
WORDS: Final = "text.words.weight"


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """What `take_over` did with one component.

    Attributes:
        name: "codec", "dit".
        taken: Names of the tensors that were taken over.
        fresh: (name, why) of those that were not.
        share: Share of the component's numbers that was taken over.
        new_words: Rows of the table of words, which was taken over, that are as they were made.
    """

    name: str
    taken: tuple[str, ...]
    fresh: tuple[tuple[str, str], ...]
    share: float
    new_words: int = 0

    def lines(self) -> list[str]:
        """A table for people."""
        count = f"{len(self.taken)} of {len(self.taken) + len(self.fresh)} tensors"
        head = f"{self.name}: {count} taken over, {self.share:.1%} of the numbers"
        width = max((len(name) for name, _ in self.fresh), default=0)
        new = [f"  {WORDS}: {self.new_words} rows fresh, of words that the checkpoint does not know"]
        return [head, *(f"  {name:<{width}}  fresh: {why}" for name, why in self.fresh), *new[: self.new_words]]


@torch.no_grad()
def moved_words(
    dit: nn.Module, source: Mapping[str, Tensor], words: Sequence[str], theirs: Sequence[str]
) -> tuple[Mapping[str, Tensor], int]:
    """`source` with its word embeddings where `dit` has those words; rows of words it does not know stay `dit`'s own.

    Args:
        dit: A transformer, with text or without.
        source: State of another.
        words: Vocabulary of `dit`.
        theirs: Vocabulary of `source`.

    Returns:
        The state, and how many rows are `dit`'s own.
    """
    own, there = dit.state_dict().get(WORDS), source.get(WORDS)
    if own is None or there is None or own.shape[1:] != there.shape[1:] or tuple(words) == tuple(theirs):
        return source, 0
    rows = {word: row for row, word in enumerate(theirs)}
    reserved = len(there) - len(theirs)
    table = own.clone()
    table[:reserved] = there[:reserved]
    for row, word in enumerate(words):
        if word in rows:
            table[reserved + row] = there[reserved + rows[word]]
    return {**source, WORDS: table}, sum(word not in rows for word in words)


@torch.no_grad()
def take_over(name: str, module: nn.Module, source: Mapping[str, Tensor], new_words: int = 0) -> TakenOver:
    """Copies into `module` what fits of the tensors in `source`, in which `new_words` rows are `module`'s own."""
    taken, fresh, numbers = [], [], 0
    own = module.state_dict()
    for key, value in own.items():
        if key not in source:
            fresh.append((key, "not in the checkpoint"))
        elif source[key].shape != value.shape:
            fresh.append((key, f"{tuple(value.shape)} here, {tuple(source[key].shape)} there"))
        else:
            value.copy_(source[key])
            taken.append(key)
            numbers += value.numel() - (new_words * value[0].numel() if key == WORDS else 0)
    total = sum(value.numel() for value in own.values())
    return TakenOver(
        name=name,
        taken=tuple(taken),
        fresh=tuple(fresh),
        share=numbers / max(total, 1),
        new_words=new_words if WORDS in taken else 0,
    )
