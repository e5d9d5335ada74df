from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.model.small import frames, small_codec
from worldsim.errors import ConfigError, ShapeError
from worldsim.model.codec import CodecConfig, DecoderState, EncoderState, VideoCodec
from worldsim.model.codec.losses import LossScales, edge_loss, mask_patches
from worldsim.model.codec.network import psnr, to_float, to_uint8
from worldsim.model.training.codec_task import CodecLoss
from worldsim.model.training.config import CodecLossConfig

CODECS = {c: small_codec(seed=c, temporal=c, time_kernel=3) for c in (1, 2, 4)}
TIME = pytest.mark.parametrize("temporal", [1, 2, 4])


def video(seed: int, t: int, b: int = 2, size: tuple[int, int] = (16, 24)) -> Tensor:
    return to_float(torch.from_numpy(frames(seed, b, t, *size)))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------- streaming


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.lists(st.integers(1, 7), min_size=1, max_size=6))
@torch.no_grad()
def test_encoding_in_chunks_is_encoding_the_whole(temporal: int, chunks: list[int]) -> None:
    codec, t = CODECS[temporal], sum(chunks)
    x = video(t, t)
    whole = codec.encode(x[:, : 1 + (t - 1) // temporal * temporal])
    state, out = EncoderState(), []
    for part in x.split(chunks, dim=1):
        latents, state = codec.encode_chunk(part, state)
        out.append(latents)
    close(torch.cat(out, dim=1), whole)
    waits = 0 if state.pending is None else state.pending.shape[1]
    assert waits == (t - 1) % temporal


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.lists(st.integers(0, 4), min_size=1, max_size=6))
@torch.no_grad()
def test_decoding_in_chunks_is_decoding_the_whole(temporal: int, chunks: list[int]) -> None:
    codec, n = CODECS[temporal], sum(chunks)
    latents = torch.randn(2, n, 4, 2, 3, generator=torch.Generator().manual_seed(n))
    state, out = DecoderState(), []
    for part in latents.split(chunks, dim=1):
        decoded, state = codec.decode_chunk(part, state)
        out.append(decoded)
    joined = torch.cat(out, dim=1)
    assert joined.shape == (2, 1 + (n - 1) * temporal if n else 0, 3, 16, 24)
    if n:
        close(joined, codec.decode(latents))


@TIME
@torch.no_grad()
def test_an_image_is_a_video_of_one_frame(temporal: int) -> None:
    codec, x = CODECS[temporal], video(0, 1 + 2 * temporal)
    image = codec.encode(x[:, :1])
    assert image.shape == (2, 1, 4, 2, 3)
    close(image, codec.encode(x)[:, :1])
    close(codec.decode(image), codec.decode(codec.encode(x))[:, :1])


@TIME
@torch.no_grad()
def test_the_future_changes_nothing(temporal: int) -> None:
    codec, t = CODECS[temporal], 1 + 4 * temporal
    x = video(3, t)
    latents, decoded = codec.encode(x), codec.decode(codec.encode(x))
    for cut in range(1, t):
        other = x.clone()
        other[:, cut:] = video(4, t)[:, cut:]
        changed = codec.encode(other)
        before = 1 + (cut - 1) // temporal  # latents that are full before frame `cut`
        close(changed[:, :before], latents[:, :before])
        assert not torch.allclose(changed[:, before:], latents[:, before:])
        seen = 1 + (before - 1) * temporal
        close(codec.decode(changed)[:, :seen], decoded[:, :seen])


@TIME
@torch.no_grad()
def test_the_decoder_looks_back(temporal: int) -> None:
    latents = torch.randn(1, 4, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    other = latents.clone()
    other[:, 0] += 1
    codec = CODECS[temporal]
    assert not torch.allclose(codec.decode(latents)[:, 1], codec.decode(other)[:, 1], atol=1e-4)


@TIME
@torch.no_grad()
def test_worlds_of_a_batch_have_states_of_their_own(temporal: int) -> None:
    codec, x = CODECS[temporal], video(5, 1 + 2 * temporal, b=3)
    cut = temporal + 1
    state = codec.encode_chunk(x[:, :cut], EncoderState())[1]
    decoder = codec.decode_chunk(codec.encode(x)[:, :2], DecoderState())[1]
    for i in range(3):
        own = codec.encode_chunk(x[i : i + 1, :cut], EncoderState())[1]
        if state.pending is not None and own.pending is not None:
            close(own.pending, state.pending[i : i + 1])
        alone = codec.decode_chunk(codec.encode(x[i : i + 1])[:, :2], DecoderState())[1]
        assert alone.past is not None and decoder.past is not None
        close(alone.past, decoder.past[i : i + 1])


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 3, 12, 16), (1, 1, 3, 16, 20), (1, 1, 4, 16, 16), (1, 0, 3, 16, 16), (1, 3, 16, 16), (1, 1, 3, 0, 8)],
)
def test_what_is_no_video_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        CODECS[1].encode(torch.zeros(shape))


def test_latents_that_are_not_full_and_those_of_another_codec_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected 1 \+ 4k frames"):
        CODECS[4].encode(video(0, 4))
    with pytest.raises(ShapeError, match=r"\(B, L, 4, H/8, W/8\)"):
        CODECS[1].decode(torch.zeros(1, 1, 5, 2, 2))


@pytest.mark.parametrize("setting", [{"temporal": 3}, {"channels": 0}, {"time_kernel": 0}, {"encoder": (8, 8)}])
def test_settings_that_make_no_codec_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CodecConfig(**setting)


# ---------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(("channels", "temporal", "ratio"), [(16, 1, 12), (4, 1, 48), (16, 4, 48), (32, 2, 12)])
def test_compression_counts_numbers(channels: int, temporal: int, ratio: float) -> None:
    config = CodecConfig(channels=channels, temporal=temporal, encoder=(4, 4, 4), decoder=(4, 4, 4))
    codec = VideoCodec(config)
    assert config.compression == ratio
    assert f"compression={ratio}" in repr(codec)
    latents = codec.encode(torch.rand(1, 1 + temporal, 3, 16, 16))  # the second latent stands for `temporal` frames
    assert 3 * 16 * 16 * temporal / latents[:, 1].numel() == ratio


@torch.no_grad()
def test_statistics_standardise_latents_and_leave_the_round_trip_alone() -> None:
    codec, x = small_codec(), video(7, 12, b=4)
    plain, before = codec.encode(x), codec.decode(codec.encode(x))
    assert plain.abs().max() <= 1  # the bottleneck is a tanh
    flat = plain.movedim(2, 0).flatten(1)
    codec.set_statistics(flat.mean(1), flat.std(1, correction=0))
    scaled = codec.encode(x).movedim(2, 0).flatten(1)
    close(scaled.mean(1), torch.zeros(4))
    close(scaled.std(1, correction=0), torch.ones(4))
    close(codec.decode(codec.encode(x)), before)
    close(codec.squash(x), plain)


def test_frames_as_floats_and_back() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    assert np.array_equal(to_uint8(to_float(torch.from_numpy(every))).numpy(), every)
    assert to_uint8(torch.tensor([-0.5, 1.5, 0.5]).view(3, 1, 1)).tolist() == [[[0, 255, 128]]]
    a = torch.zeros(1, 3, 8, 8)
    assert psnr(a, a + 0.1) == pytest.approx(20, abs=1e-4)


# ---------------------------------------------------------------------------------------------------------- losses


def test_loss_terms_weigh_the_same_whatever_their_scale() -> None:
    scales = LossScales(("a", "b"))
    for _ in range(3):
        total = scales({"a": torch.tensor(1000.0), "b": torch.tensor(0.001)}, {"a": 1.0, "b": 2.0})
    assert float(total) == pytest.approx(3.0, rel=1e-4)


def test_edges_do_not_see_brightness_and_see_blur() -> None:
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(edge_loss(x, x + 0.2)) == pytest.approx(0, abs=1e-6)
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    assert float(edge_loss(x, blurred)) > 0.1


def test_masks_grey_whole_patches_of_some_frames() -> None:
    x = torch.rand(64, 3, 32, 32)
    masked = mask_patches(x, 0.5, 0.9, torch.Generator().manual_seed(0))
    patches = (masked != x).any(1).unflatten(-1, (4, 8)).unflatten(1, (4, 8))  # (N, 4, 8, 4, 8)
    share = patches.float().mean(dim=(2, 4))
    assert set(share.unique().tolist()) == {0.0, 1.0}
    assert (masked[masked != x] == 0.5).all()
    assert 0.3 < float(share.amax(dim=(1, 2)).mean()) < 0.65
    assert torch.equal(mask_patches(x, 0.0, 0.9, torch.Generator()), x)


def gradients(weight: float, on: float) -> tuple[CodecLoss, dict[str, Tensor]]:
    torch.manual_seed(0)
    loss = CodecLoss(small_codec(), CodecLossConfig(adversarial=weight))
    x = video(9, 2)
    batch = {"frames": x, "masked": x, "noise": torch.zeros(2, 2, 4, 2, 3), "adversarial": torch.tensor(on)}
    loss(batch)[0].backward()
    return loss, {n: p.grad.clone() for n, p in loss.named_parameters() if p.grad is not None}


def test_the_adversarial_flag_trains_both_sides() -> None:
    off, without = gradients(0.0, 1.0)
    assert off.discriminator is None
    loss, both = gradients(0.5, 1.0)
    assert loss.discriminator is not None
    # Biases are left out: that of the logits is pulled both ways alike, by what is real and what is not.
    own = [n for n, p in loss.named_parameters() if n.startswith("discriminator") and p.ndim > 1]
    assert own and all(both[n].abs().sum() > 0 for n in own)  # the discriminator moves
    last = next(n for n in without if n.startswith("codec.decoder.body") and n.endswith("weight"))
    assert not torch.allclose(both[last], without[last])  # and the decoder feels it
    _, early = gradients(0.5, 0.0)  # before `adversarial_from`
    assert not any(n in early for n in own)
    torch.testing.assert_close(early[last], without[last])
    before = {n: p.detach().clone() for n, p in loss.named_parameters() if n in own}
    torch.optim.SGD(loss.parameters(), lr=0.1).step()
    assert all(not torch.equal(before[n], p) for n, p in loss.named_parameters() if n in own)


def test_the_loss_of_the_discriminator_does_not_reach_the_decoder() -> None:
    without, nearly = gradients(0.0, 1.0)[1], gradients(1e-9, 1.0)[1]
    for name, gradient in without.items():
        torch.testing.assert_close(nearly[name], gradient, atol=1e-6, rtol=1e-4)
