"""The byte-pair tokenizer of CLIP (Radford et al. 2021), read from the text of its merges.

Format: UTF-8 text, gzipped or not; the first line is a comment, every further line one merge, two parts and a space.
Numbers of tokens: 256 bytes, the same 256 at the end of a word, one for each merge, start, end.

Unlike the published one it does not repair wrongly decoded text first: prompts here are plain.
"""

from __future__ import annotations

import gzip
import html
import re
import unicodedata
import zlib
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

from worldsim.metrics.learned.weights import Checked

MERGES = 49152 - 256 - 2  # CLIP uses so many; the published file holds more
LENGTH = 77  # tokens, start and end included
END_OF_WORD = "</w>"
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


def byte_letters() -> dict[int, str]:
    """A printable character for each byte: itself where it is one, else those from U+0100 on, in order of bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    out = {b: chr(b) for b in printable}
    for extra, b in enumerate(b for b in range(256) if b not in out):
        out[b] = chr(256 + extra)
    return out


def words(text: str) -> Iterator[str]:
    """Runs of letters, single digits, runs of other signs, and the English contractions; lower case.

    Contractions come first at every place, even before a word that only begins like one, as in the published pattern.
    """
    text = re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip().lower()
    at = 0
    while at < len(text):
        end = next((at + len(c) for c in _CONTRACTIONS if text.startswith(c, at)), at + 1)
        kind = _kind(text[at])
        if end == at + 1 and kind in "LO":
            while end < len(text) and _kind(text[end]) == kind:
                end += 1
        if kind != "S":
            yield text[at:end]
        at = end


def _kind(char: str) -> str:
    """L letter, N number, S space, O other."""
    return "S" if char.isspace() else c if (c := unicodedata.category(char)[0]) in "LN" else "O"


class Tokenizer:
    """Text to tokens."""

    def __init__(self, checked: Checked) -> None:
        """Reads the merges of a checked file. Raises WeightsError if it is no such file."""
        try:
            data = gzip.decompress(checked.data) if checked.data[:2] == b"\x1f\x8b" else checked.data
            lines = data.decode("utf-8").splitlines()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise checked.error(f"is no whole text of merges ({error})") from error
        merges = [tuple(line.split(" ")) for line in lines[1 : 1 + MERGES]]
        bad = next((k for k, m in enumerate(merges) if len(m) != 2 or not all(m)), None)
        if bad is not None or not merges:
            what = "holds no merge" if bad is None else f"has {lines[1 + bad][:40]!r} in line {bad + 2}, not a merge"
            raise checked.error(what)
        self.ranks = {(m[0], m[1]): k for k, m in enumerate(merges)}
        self.letters = byte_letters()
        alphabet = list(self.letters.values())
        vocabulary = alphabet + [a + END_OF_WORD for a in alphabet] + [a + b for a, b in self.ranks]
        self.ids = {token: k for k, token in enumerate(vocabulary)}
        self.start, self.end = len(vocabulary), len(vocabulary) + 1
        self._known: dict[str, list[int]] = {}

    @cached_property
    def size(self) -> int:
        """How many tokens there are."""
        return self.end + 1

    def __call__(self, text: str) -> list[int]:
        """`LENGTH` tokens: start, text, end, zeros; a longer text is cut, as in CLIPScore."""
        tokens = [token for word in words(text) for token in self._word(word)]
        tokens = [self.start, *tokens[: LENGTH - 2], self.end]
        return tokens + [0] * (LENGTH - len(tokens))

    def _word(self, word: str) -> list[int]:
        if word not in self._known:
            letters = [self.letters[b] for b in word.encode("utf-8")]
            self._known[word] = [self.ids[part] for part in self._merged([*letters[:-1], letters[-1] + END_OF_WORD])]
        return self._known[word]

    def _merged(self, parts: list[str]) -> list[str]:
        """Joins the pair that comes first in the list of merges, everywhere, until no pair is in it."""
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            out: list[str] = []
            k = 0
            while k < len(parts):
                joined = tuple(parts[k : k + 2]) == best
                out.append(best[0] + best[1] if joined else parts[k])
                k += 2 if joined else 1
            parts = out
        return parts
