"""Files of learned metrics: what is found, what is refused, what the message says, and the tokenizer's vocabulary."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.metrics import tiny_weights as tiny
from worldsim.errors import ConfigError
from worldsim.metrics.learned import bpe, clipscore, dino, fvd, lpips
from worldsim.metrics.learned.weights import Checked, WeightsError, load_script, load_state


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.forget_variables(monkeypatch)


def checked(path: Path) -> Checked:
    return lpips.WEIGHTS.read(path, tiny.sha256(path))


# -------------------------------------------------------------------------------------------------- the files


def test_where_a_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = lpips.WEIGHTS
    assert (source.variable, source.hash_variable) == ("WORLDSIM_LPIPS_WEIGHTS", "WORLDSIM_LPIPS_SHA256")
    assert clipscore.VOCABULARY.hash_variable == "WORLDSIM_CLIP_VOCABULARY_SHA256"
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / source.file).write_text(folder)
    monkeypatch.setenv("WORLDSIM_WEIGHTS", str(tmp_path / "a"))
    assert source.locate().read_text() == "a"
    monkeypatch.setenv("WORLDSIM_LPIPS_WEIGHTS", str(tmp_path / "b" / source.file))
    assert source.locate().read_text() == "b"
    assert source.locate(tmp_path / "c" / source.file).read_text() == "c"
    monkeypatch.setenv("WORLDSIM_LPIPS_SHA256", tiny.sha256(source.locate()).upper() + "\n")
    assert source.read().data == b"b"
    with pytest.raises(WeightsError, match=r"There is no file .*nowhere.*must hold features") as caught:
        source.locate(tmp_path / "nowhere")
    assert str(tmp_path) not in caught.value.short


def test_hashes_are_checked_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lpips.safetensors"
    path.write_bytes(b"not weights at all")
    own, other = tiny.sha256(path), "0" * 64
    monkeypatch.setattr("safetensors.torch.load", lambda _: pytest.fail("the file was interpreted"))
    with pytest.raises(WeightsError, match=rf"has {own}, expected {other}"):
        lpips.LPIPS(path, other).load()
    with pytest.raises(WeightsError, match=rf"sha256='{own}' or set WORLDSIM_LPIPS_SHA256={own}"):
        lpips.LPIPS(path).load()
    with pytest.raises(WeightsError, match="64 hexadecimal digits, got 5"):
        lpips.LPIPS(path, "abcde").load()


def test_a_failure_is_forgotten_when_the_file_comes(tmp_path: Path) -> None:
    path = tmp_path / "lpips.safetensors"
    tiny.save_state(tiny.lpips_state(), tmp_path / "made")
    metric = lpips.LPIPS(path, tiny.sha256(tmp_path / "made"))
    assert metric.why_not() == "no weights: lpips.safetensors is not there"
    (tmp_path / "made").rename(path)
    metric.load()
    assert metric.why_not() is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("features.3.bias"), "lacks features.3.bias"),
        (lambda s: s.update(classifier=torch.ones(1)), "unknown classifier"),
        (lambda s: s.update({"features.0.bias": torch.ones(3)}), r"features.0.bias of shape \(3,\), expected \(64,\)"),
        (lambda s: s["features.0.bias"].fill_(float("nan")), "features.0.bias with numbers that are not finite"),
        (lambda s: s.update({"features.0.bias": torch.ones(64, dtype=torch.int32)}), "not finite floats"),
        (lambda s: s["lin2.model.1.weight"].neg_(), "negative weights in lin2.model.1.weight"),
    ],
)
def test_wrong_state_dicts_are_named(change: Any, says: str, tmp_path: Path) -> None:
    state = tiny.lpips_state()
    change(state)
    path = tiny.save_state(state, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=says):
        lpips.LPIPS(path, tiny.sha256(path)).load()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_refused_even_with_their_own_hash(share: float, tmp_path: Path) -> None:
    state = tiny.save_state(tiny.lpips_state(), tmp_path / "whole.safetensors").read_bytes()
    script = tiny.save_script(tiny.TinyImage(), tmp_path / "whole.pt").read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(state[: int(share * len(state))])
    with pytest.raises(WeightsError, match="cut is no whole safetensors file"):
        load_state(checked(cut), lpips.shapes())
    cut.write_bytes(script[: int(share * len(script))])
    with pytest.raises(WeightsError, match="cut is no whole TorchScript archive"):
        load_script(checked(cut))


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was executed",)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    for k, content in enumerate((_Trap(), tiny.lpips_state())):
        path = tmp_path / f"{k}.pt"
        torch.save(content, path)
        with pytest.raises(WeightsError, match=r"pickle made by torch\.save is not read"):
            load_script(checked(path))
        with pytest.raises(WeightsError, match="no whole safetensors"):
            load_state(checked(path), {})
    (tmp_path / "raw").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(WeightsError):
        load_script(checked(tmp_path / "raw"))


def test_archives_that_do_not_fit_say_how(tmp_path: Path) -> None:
    image = tiny.save_script(tiny.TinyImage(), tmp_path / "image.pt")
    dense_map = tiny.save_script(tiny.TinyDense(), tmp_path / "dense.pt")
    video = tiny.save_script(tiny.TinyVideo(), tmp_path / "video.pt")
    with pytest.raises(WeightsError, match=r"gives \(3, 49\) for 3 frames, not \(n, d, h, w\)"):
        dino.Met3rLike(image, tiny.sha256(image), size=16).load()
    with pytest.raises(WeightsError, match=r"gives \(3, 3, 8, 8\) for 3 frames, not \(n, d\)"):
        dino.Dino(dense_map, tiny.sha256(dense_map), size=16).load()
    with pytest.raises(WeightsError, match=r"cannot take an input of shape \(3, 3, 16, 16\)"):
        dino.Dino(video, tiny.sha256(video), size=16).load()
    with pytest.raises(WeightsError, match="lacks the method encode_image, encode_text"):
        load_script(checked(image), ("encode_image", "encode_text"))
    with pytest.raises(ConfigError, match="size must be a whole number"):
        dino.Dino(size=0)
    with pytest.raises(ConfigError, match="least >= 2"):
        fvd.FVD(least=1)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Iterator[bpe.Tokenizer]:
    path = tmp_path / "merges.txt.gz"
    path.write_bytes(gzip.compress(tiny.MERGES.encode()))
    yield bpe.Tokenizer(checked(path))


def test_tokens_by_hand(tokenizer: bpe.Tokenizer) -> None:
    letters = list(bpe.byte_letters().values())
    r, e, d, lo, low, er = 512, letters.index("e"), 256 + letters.index("d"), 514, 515, 516
    assert tokenizer.size == 512 + 6 + 2 and (tokenizer.start, tokenizer.end) == (518, 519)
    got = tokenizer("Red low  lower")
    assert got[:8] == [518, tiny.RED, low, lo, letters.index("w"), er, 519, 0] and len(got) == 77
    assert tokenizer("reed")[1:4] == [r, e, d]
    assert tokenizer("ored")[1:3] == [letters.index("o"), tiny.RED]  # "r e" comes before "o r" in the list
    long = tokenizer("red " * 200)
    assert len(long) == 77 and long[0] == 518 and long[1:76] == [tiny.RED] * 75 and long[76] == 519


def test_the_alphabet_and_the_words_are_the_published_ones(tmp_path: Path) -> None:
    letters = bpe.byte_letters()
    assert len(set(letters.values())) == 256 and letters[ord("a")] == "a"
    assert (letters[0], letters[ord("\n")], letters[ord(" ")], letters[173]) == ("Ā", "Ċ", "Ġ", "Ń")  # as in GPT-2's
    assert list(bpe.words("It's  42 cats,\ndon't &amp; l'été_x")) == [
        *("it", "'s", "4", "2", "cats", ",", "don", "'t", "&", "l", "'", "été", "_", "x"),
    ]
    pairs = (f"{a} {b}" for a in map(chr, range(0x4E00, 0x4F00)) for b in map(chr, range(0x5000, 0x5100)))
    path = tmp_path / "full.txt"
    path.write_text("# comment\n" + "\n".join(pairs), encoding="utf-8")
    full = bpe.Tokenizer(checked(path))
    assert (full.start, full.end, full.size) == (49406, 49407, 49408)  # CLIP's


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "holds no merge"),
        (b"only a comment\n", "holds no merge"),
        (b"#\na b\nabc\n", "'abc' in line 3"),
        (b"#\na b c\n", "in line 2"),
        (b"\xff\xfe\x00", "no whole text"),
        (gzip.compress(tiny.MERGES.encode())[:30], "no whole text"),
    ],
)
def test_broken_vocabularies_are_refused(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "merges"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=says):
        bpe.Tokenizer(checked(path))
