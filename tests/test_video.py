"""Frames and arrays on disk: every byte comes back, any index, bounded memory, nothing half-written."""

import hashlib
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldsim import video
from worldsim.errors import ShapeError, StoreError
from worldsim.provenance import provenance, read_provenance
from worldsim.types import FrameSource

KINDS = ("arrays", "ffv1")


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def stored(folder: Path, frames: np.ndarray, kind: str, fps: float = 20, chunk: int = 64) -> FrameSource:
    with video.LosslessWriter(folder / "x", frames.shape[1:3], fps, kind=kind, chunk=chunk) as writer:
        for piece in np.array_split(frames, min(3, len(frames))):
            writer.append(piece)
    return video.open_lossless(writer.path)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 70),
    height=st.integers(2, 24),
    width=st.integers(2, 24),
    fps=st.sampled_from([1, 7, 12.5, 20, 24, 29.97, 30, 60, 144, 1000]),
    chunk=st.integers(1, 70),
    data=st.data(),
)
def test_every_byte_comes_back(tmp_path, kind, count, height, width, fps, chunk, data):
    frames = noise(count, height, width, seed=count)
    source = stored(tmp_path, frames, kind, fps, chunk)
    assert source.shape == frames.shape and len(source) == count
    i = data.draw(st.integers(-count, count - 1))
    np.testing.assert_array_equal(source[i], frames[i])
    cut = data.draw(st.slices(count))
    np.testing.assert_array_equal(source[cut], frames[cut])
    np.testing.assert_array_equal(np.asarray(source), frames)


def test_ffv1_keeps_every_colour(tmp_path):
    levels = np.arange(256, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)  # (256, 256, 256, 3)
    source = stored(tmp_path, cube[::17], "ffv1")  # 16 reds with all greens and blues; a colour matrix loses some
    assert np.array_equal(source[:], cube[::17])


@pytest.mark.parametrize("kind", KINDS)
def test_indexing_is_that_of_numpy(tmp_path, kind):
    frames = noise(50, 8, 9)
    source = stored(tmp_path, frames, kind, chunk=16)
    keys = (0, -1, slice(None), slice(40, 10, -3), slice(7, 7), [3, 3, 49, -50], np.array([1, 2]), np.arange(50) > 44)
    deeper = ((5, 2), (slice(2, 4), 1), (slice(3), slice(2, 5), slice(None), 0))
    for key in (*keys, *deeper):
        np.testing.assert_array_equal(source[key], frames[key], err_msg=str(key))
    for outside in (50, -51):
        with pytest.raises(IndexError):
            source[outside]
    source[0][:] = 7  # a reader's own copy
    np.testing.assert_array_equal(source[0], frames[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source))[11], frames[11])
    assert isinstance(source, FrameSource)


def test_arrays_are_plain_numpy(tmp_path):
    frames = noise(150, 8, 8)
    stored(tmp_path, frames, "arrays")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        names = sorted(name for name in archive.files if name.startswith("frames_"))
        assert names == ["frames_000000", "frames_000064", "frames_000128"]
        np.testing.assert_array_equal(np.concatenate([archive[name] for name in names]), frames)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint16", "bool", "float64"])
def test_other_arrays(tmp_path, dtype):
    values = (np.random.default_rng(0).normal(size=(33, 5, 4)) * 100).astype(dtype)
    if dtype == "float32":
        values[3, 2] = np.inf  # depth of nothing
    with video.ArrayWriter(tmp_path / "depth.npz", chunk=10) as writer:
        writer.append(values[:1])
        writer.append(values[1:])
    source = video.open_arrays(tmp_path / "depth.npz")
    assert source.dtype == values.dtype and source.shape == values.shape
    np.testing.assert_array_equal(source[:], values)


def test_only_the_touched_chunks_are_read(tmp_path, monkeypatch):
    source = stored(tmp_path, noise(100, 4, 4), "arrays", chunk=10)
    read: list[int] = []
    inner = video.ArraySource._read
    monkeypatch.setattr(video.ArraySource, "_read", lambda self, a, b: (read.append(a), inner(self, a, b))[1])
    source[34]
    source[38:42]
    source[31]
    assert read == [30, 40]


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_bounded_whatever_the_horizon(tmp_path, kind):
    """800 or 2,000 frames of 64x64 are 9.8 or 24.6 MB: neither writing nor reading may hold more than a few chunks."""
    frame = noise(8, 64, 64)
    tracemalloc.start()
    with video.LosslessWriter(tmp_path / "x", (64, 64), 20, kind=kind) as writer:
        for _ in range(250 if kind == "arrays" else 100):
            writer.append(frame)
    source = video.open_lossless(writer.path)
    assert all(source[i].shape == (64, 64, 3) for i in range(0, len(source), 61))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6, f"{peak / 1e6:.1f} MB"


@pytest.mark.parametrize("kind", KINDS)
def test_equal_content_gives_equal_bytes(tmp_path, kind):
    digests = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        stored(tmp_path / name, noise(20, 16, 16), kind)
        digests |= {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}
    assert len(digests) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_appears_complete_or_not_at_all(tmp_path, kind):
    writer = video.LosslessWriter(tmp_path / "x", (8, 8), 20, kind=kind)
    writer.append(noise(3, 8, 8))
    assert not writer.path.exists()
    with pytest.raises(StoreError, match="no file"):
        video.open_lossless(writer.path)
    writer.close()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == [writer.path.name]
    with pytest.raises(StoreError, match="closed"):
        [writer.append(noise(64, 8, 8)) for _ in range(2)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_leaves_nothing(tmp_path, kind):
    with pytest.raises(KeyError), video.LosslessWriter(tmp_path / "x", (8, 8), 20, kind=kind) as writer:
        writer.append(noise(3, 8, 8))
        raise KeyError
    assert not list(tmp_path.iterdir())
    video.LosslessWriter(tmp_path / "y", (8, 8), 20, kind=kind).close()  # no frame, no file
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "harm"), [("arrays", "cut"), ("arrays", "flip"), ("ffv1", "cut")])
def test_a_damaged_file_is_noticed(tmp_path, kind, harm):
    source = stored(tmp_path, noise(40, 16, 16), kind)
    path = tmp_path / ("x.npz" if kind == "arrays" else "x.mkv")
    data = bytearray(path.read_bytes())
    if harm == "cut":
        data = data[: len(data) // 2]
    else:
        data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(StoreError):
        source[:]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from worldsim import video
from worldsim.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # as a full disk, without one
frames = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), dtype=np.uint8)
try:
    if sys.argv[1] == "mp4":
        with video.Mp4Writer(sys.argv[2] + ".mp4", (64, 64), 20) as writer:
            for _ in range(20): writer.append(frames)
    else:
        with video.LosslessWriter(sys.argv[2], (64, 64), 20, kind=sys.argv[1]) as writer:
            for _ in range(20): writer.append(frames)
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", [*KINDS, "mp4"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, kind):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, kind, str(tmp_path / "x")], capture_output=True, text=True, check=True
    )
    assert str(tmp_path) in done.stdout and "full" in done.stdout, done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_wrong_frames_are_refused(tmp_path):
    writer = video.LosslessWriter(tmp_path / "x", (8, 8), 20)
    with pytest.raises(ShapeError, match="channels first"):
        writer.append(np.zeros((1, 3, 8, 8), np.uint8))
    with pytest.raises(ShapeError, match=r"\(8, 8\)"):
        writer.append(noise(1, 9, 8))
    with pytest.raises(ShapeError, match="kind"):
        video.LosslessWriter(tmp_path / "x", (8, 8), 20, kind="jpeg")
    writer.abort()
    with pytest.raises(ShapeError, match="float64"), video.ArrayWriter(tmp_path / "y") as arrays:
        arrays.append(np.zeros((1, 2), np.float32))
        arrays.append(np.zeros((1, 2), np.float64))


def test_mp4_for_eyes(tmp_path):
    import av

    frames = np.repeat(np.repeat(noise(40, 5, 9), 8, 1), 8, 2)[:, :37, :67]  # odd sizes, coarse blocks
    path = video.write_mp4(tmp_path / "a.mp4", iter(frames), 20, {"note": "x"}, scale=3)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        assert (stream.height, stream.width, stream.average_rate) == (112, 202, 20)
        assert stream.codec_context.pix_fmt == "yuv420p" and not stream.codec_context.has_b_frames
    assert len(decoded) == 40
    keys = [i for i, frame in enumerate(decoded) if frame.key_frame]
    assert max(np.diff([*keys, 40])) <= 16, keys
    inside = decoded[25].to_ndarray(format="rgb24")[:111, :201][1::3, 1::3].astype(int)
    assert np.abs(inside[4::8, 4::8] - frames[25][4::8, 4::8]).mean() < 12  # the centre of blocks survives 4:2:0
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is loaded
    assert video.read_metadata(path) == {"note": "x"}


def test_mp4_needs_a_frame(tmp_path):
    with pytest.raises(StoreError, match="empty"):
        video.write_mp4(tmp_path / "a.mp4", [], 20)
    assert not list(tmp_path.iterdir())


def test_png(tmp_path):
    from skimage.io import imread

    frame = noise(1, 7, 5)[0]
    np.testing.assert_array_equal(imread(video.write_png(tmp_path / "a.png", frame)), frame)


def test_difference():
    a, b = np.uint8([[[0, 10, 255]]]), np.uint8([[[0, 13, 55]]])
    np.testing.assert_array_equal(video.difference(a, b), np.uint8([[[0, 6, 255]]]))
    np.testing.assert_array_equal(video.difference(a, b), video.difference(b, a))
    with pytest.raises(ShapeError):
        video.difference(a, b[None])


def test_watchable_scale():
    assert [video.watchable_scale(size) for size in ((64, 64), (128, 96), (360, 640))] == [4, 3, 1]


@pytest.mark.parametrize("suffix", [".mp4", ".npz", ".mkv"])
def test_provenance_travels_with_the_file(tmp_path, suffix):
    record = provenance(
        model="me/mine", model_hash="ab12", prompt='a "red" chest, ünïcode', seed=3, extra={"arm": "free"}
    )
    frames = noise(3, 16, 16)
    if suffix == ".mp4":
        path = video.write_mp4(tmp_path / "x.mp4", frames, 20, record)
    else:
        kind = "arrays" if suffix == ".npz" else "ffv1"
        with video.LosslessWriter(tmp_path / "x", (16, 16), 20, kind=kind, metadata=record) as writer:
            writer.append(frames)
        path = writer.path
    assert read_provenance(path) == record
    assert record["statement"] == "generated by a world model" and record["software"].startswith("worldsim ")


def test_no_provenance_is_none(tmp_path):
    stored(tmp_path, noise(1, 4, 4), "ffv1")
    assert read_provenance(tmp_path / "x.mkv") is None
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    assert read_provenance(tmp_path / "other.npz") is None
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(StoreError):
        read_provenance(tmp_path / "broken.mp4")
