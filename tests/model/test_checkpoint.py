"""A checkpoint that was saved is loaded; one that is broken in any way is an error that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.small import small_checkpoint, small_codec, small_dit
from worldsim.errors import StoreError, WorldsimError
from worldsim.model.checkpoint import CheckpointConfig, find_checkpoint, load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(
        tmp_path_factory.mktemp("checkpoint") / "small", card={"seed": 3}, sizes=((64, 64), (48, 80))
    )


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    """Changes settings of a config.json; None removes one."""
    plain = json.loads(path.read_text())
    plain.update(changes)
    path.write_text(json.dumps({k: v for k, v in plain.items() if v is not None}))


def weights(folder: Path, part: str, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Changes tensors, and drops the hashes that would tell."""
    path = folder / part / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    edit(folder / "config.json", sha256={})


def test_what_was_saved_is_loaded(original: Path) -> None:
    loaded = load_checkpoint(original)
    assert loaded.config.name == "small" and loaded.config.card == {"seed": 3}
    assert loaded.config.sizes == ((64, 64), (48, 80))
    assert not loaded.codec.training and not loaded.dit.training
    for module, own in ((loaded.codec, small_codec()), (loaded.dit, small_dit())):
        for (name, a), (_, b) in zip(module.state_dict().items(), own.state_dict().items(), strict=True):
            assert a.dtype == torch.float32 and torch.equal(a, b.bfloat16().float()), name
    assert loaded.dit.config == small_dit().config and loaded.codec.config == small_codec().config


def test_the_digest_tells_weights_apart_hashed_or_not(original: Path, folder: Path, tmp_path: Path) -> None:
    edit(folder / "config.json", sha256=None)
    assert load_checkpoint(folder).digest == load_checkpoint(original).digest
    other = small_checkpoint(tmp_path / "other", dit={"seed": 5})
    edit(other / "config.json", sha256=None)
    assert load_checkpoint(other).digest != load_checkpoint(original).digest


def test_weights_can_be_kept_whole(tmp_path: Path) -> None:
    codec, dit = small_codec(), small_dit()
    config = save_checkpoint(tmp_path / "c", CheckpointConfig(), codec, dit, dtype=torch.float32)
    loaded = load_checkpoint(tmp_path / "c")
    assert all(torch.equal(v, dit.state_dict()[k]) for k, v in loaded.dit.state_dict().items())
    assert loaded.config == config and set(config.sha256) == {"codec", "dit"}


def test_nothing_is_pickled(original: Path) -> None:
    kinds = {p.suffix for p in original.rglob("*") if p.is_file()}
    assert kinds == {".json", ".safetensors"}


# ------------------------------------------------------------------------------------------------------ what is wrong


def cut(folder: Path) -> None:
    path = folder / "dit" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def cut_without_hash(folder: Path) -> None:
    cut(folder)
    edit(folder / "config.json", sha256={})


def empty(folder: Path) -> None:
    (folder / "codec" / "model.safetensors").write_bytes(b"")
    edit(folder / "config.json", sha256={})


def exchanged(folder: Path) -> None:
    path = folder / "dit" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def foreign(folder: Path) -> None:
    save_file({"wte.weight": torch.zeros(2, 2)}, folder / "dit" / "model.safetensors")
    edit(folder / "config.json", sha256={})


def set_nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors["embed.bias"][3] = float("nan")


DIT, CODEC = "dit/model.safetensors", "codec/model.safetensors"
BROKEN: list[tuple[str, Callable[[Path], Any], str, str]] = [
    ("cut off", cut, DIT, "cut off or was exchanged; copy the checkpoint again"),
    ("cut off, no hash", cut_without_hash, DIT, "cannot be read as safetensors.*weights of a DiT: copy"),
    ("empty", empty, CODEC, "cannot be read as safetensors.*weights of a VideoCodec"),
    ("one bit", exchanged, DIT, "SHA-256"),
    ("foreign", foreign, DIT, "weights of another network: missing .*unknown .'wte.weight'"),
    ("no weights", lambda f: (f / DIT).unlink(), DIT, "cannot be read"),
    (
        "shape",
        lambda f: weights(f, "dit", lambda t: t.update({"embed.bias": torch.zeros(7)})),
        DIT,
        r"embed.bias is \(7,\), expected \(32,\) by config.json",
    ),
    (
        "one tensor missing",
        lambda f: weights(f, "codec", lambda t: t.pop("latent_std")),
        CODEC,
        "missing .'latent_std'",
    ),
    ("nan", lambda f: weights(f, "dit", set_nan), DIT, "embed.bias holds NaN .*take an earlier checkpoint"),
    (
        "no config",
        lambda f: (f / "config.json").unlink(),
        "config.json",
        "cannot be read.*a checkpoint folder holds it",
    ),
    ("no part", lambda f: shutil.rmtree(f / "codec"), "codec/config.json", "cannot be read"),
    ("no json", lambda f: (f / "dit/config.json").write_text("{"), "dit/config.json", "cannot be read"),
    ("binary", lambda f: (f / "dit/config.json").write_bytes(b"\xff\xfe"), "dit/config.json", "cannot be read"),
    ("a list", lambda f: (f / "config.json").write_text("[1]"), "config.json", "must hold a mapping, got list"),
    ("newer", lambda f: edit(f / "config.json", schema=2, fancy=1), "config.json", "schema 2, .* reads 1: update"),
    ("newer part", lambda f: edit(f / "dit/config.json", schema=9), "dit/config.json", "schema 9"),
    ("no schema", lambda f: edit(f / "codec/config.json", schema=None), "codec/config.json", "schema None"),
    ("unknown", lambda f: edit(f / "dit/config.json", widht=64), "dit/config.json", "'widht'.*width"),
    ("type", lambda f: edit(f / "dit/config.json", depth="two"), "dit/config.json", "depth must be int, got 'two'"),
    ("value", lambda f: edit(f / "dit/config.json", heads=5), "dit/config.json", "width / heads must be"),
    ("codec value", lambda f: edit(f / "codec/config.json", temporal=3), "codec/config.json", "1, 2 or 4"),
    ("not together", lambda f: edit(f / "dit/config.json", channels=8), "", "do not belong together.*4 channels.*8"),
    ("not in time", lambda f: edit(f / "dit/config.json", temporal=2), "", "do not belong together"),
    (
        "action space",
        lambda f: edit(f / "dit/config.json", action_space={"type": "tuple"}),
        "dit/config.json",
        "action_space is not the description of an action space",
    ),
    ("action scale", lambda f: edit(f / "dit/config.json", action_scale=[1.0]), "dit/config.json", "must be 5 numbers"),
    (
        "action scale 0",
        lambda f: edit(f / "dit/config.json", action_scale=[0.0] * 5),
        "dit/config.json",
        "numbers above 0",
    ),
]


@pytest.mark.parametrize(("change", "file", "message"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_broken_checkpoint_is_an_error_that_names_the_file(
    folder: Path, change: Callable[[Path], Any], file: str, message: str
) -> None:
    load_checkpoint(folder)  # it is fine
    change(folder)
    with pytest.raises(StoreError, match=f"(?s){message}") as caught:
        load_checkpoint(folder)
    assert str(folder / file if file else folder) in str(caught.value)
    assert isinstance(caught.value, WorldsimError)


def test_a_bundled_checkpoint_has_the_name_that_reports_use() -> None:
    assert find_checkpoint("tiny") == find_checkpoint("DiT-tiny") == find_checkpoint("worldsim/DiT-tiny")


def test_a_name_that_is_no_checkpoint_is_answered(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no checkpoint 'nirvana': expected a folder .*worldsim train"):
        find_checkpoint("nirvana")
    with pytest.raises(StoreError, match="no checkpoint 'worldsim/DiT-'"):
        find_checkpoint("worldsim/DiT-")
    with pytest.raises(StoreError, match="no checkpoint"):
        find_checkpoint(tmp_path / "nothing")


def test_a_full_disk_is_said_while_saving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worldsim.model.checkpoint.save_file", full)
    with pytest.raises(StoreError, match="the disk or quota is full"):
        small_checkpoint(tmp_path / "c")
