"""Clips in every format: what comes back, how exactly, with the record inside; and no half files."""

import hashlib
import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from worldsim import video
from worldsim.comments import gif_blocks, gif_comment, png_texts, with_gif_comment, with_png_texts
from worldsim.errors import ConfigError, ShapeError, StoreError, UnknownNameError
from worldsim.media import SUFFIXES, clip_info, film_strip, plain, read_clip, write_clip
from worldsim.provenance import provenance, read_provenance

EXACT = (".mkv", ".npz", ".png")
FOR_EYES = {".mp4": 40.0, ".webm": 40.0, ".gif": 30.0}  # least PSNR in dB of the smooth clip
RECORD = provenance(
    model="me/tiny",
    model_hash="ab12cd34",
    prompt='a "red" chest, ünïcode \u2028 </script> ' + "x" * 2000,  # several sub-blocks of a GIF
    seed=3,
    created="2026-01-02T03:04:05+00:00",
    extra={"mode": "loop", "prompts": [[0, "a chest"], [8, "a door"]], "guidance": 1.5, "none": None},
)


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def smooth(count: int = 24, height: int = 48, width: int = 64) -> np.ndarray:
    """Colour waves that move: what a codec for eyes is made for."""
    t, y, x = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), indexing="ij")
    red, green = np.sin(x / width * 3 + t / 10), np.cos(y / height * 3 + t / 7)
    blue = np.sin((x / width + y / height) * 2 - t / 5)
    return (127 + 120 * np.stack([red, green, blue], axis=-1)).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


# ------------------------------------------------------------------------------------------------------ what comes back


@pytest.mark.parametrize("suffix", EXACT)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 40),
    height=st.integers(2, 20),
    width=st.integers(2, 20),
    fps=st.sampled_from([1, 7, 12.5, 20, 24, 30, 60]),
    scale=st.integers(1, 3),
)
def test_exact_formats_give_every_byte_back(tmp_path, suffix, count, height, width, fps, scale):
    frames = noise(count, height, width, seed=count)
    path = write_clip(tmp_path / f"x{suffix}", frames, fps, RECORD, scale=scale)
    clip = read_clip(path)
    np.testing.assert_array_equal(clip.frames[:, ::scale, ::scale], frames)
    np.testing.assert_array_equal(clip.frames, frames.repeat(scale, 1).repeat(scale, 2))
    assert clip.frames.dtype == np.uint8 and clip.frames.flags.writeable
    assert clip.fps == pytest.approx(fps, rel=1e-3)
    assert clip.provenance == RECORD


@pytest.mark.parametrize("suffix", FOR_EYES)
@pytest.mark.parametrize("size", [(48, 64), (37, 67)])
def test_formats_for_eyes(tmp_path, suffix, size):
    frames = smooth(24, *size)
    path = write_clip(tmp_path / f"x{suffix}", frames, 20, RECORD)
    clip = read_clip(path)
    assert clip.frames.shape == frames.shape and clip.fps == 20
    assert clip.provenance == RECORD == read_provenance(path)
    assert psnr(clip.frames, frames) > FOR_EYES[suffix]
    each = [psnr(a, b) for a, b in zip(clip.frames, frames, strict=True)]
    assert min(each) > FOR_EYES[suffix] - 3  # no frame is another one
    info = clip_info(path)
    assert (info.count, info.size, info.fps) == (24, size, 20)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("count", [1, 2, 17])
def test_every_length_and_still_pictures(tmp_path, suffix, count):
    frames = np.repeat(smooth(1, 16, 16), count, axis=0)  # encoders like to drop frames that are equal
    path = write_clip(tmp_path / f"x{suffix}", frames, 10, RECORD)
    clip = read_clip(path)
    assert len(clip.frames) == count and clip.fps == pytest.approx(10)
    assert suffix in FOR_EYES or np.array_equal(clip.frames, frames)
    np.testing.assert_array_equal(read_clip(path, limit=1).frames, clip.frames[:1])


@pytest.mark.parametrize("suffix", [*FOR_EYES, ".mkv"])
@pytest.mark.parametrize("fps", [7, 12.5, 24, 29.97, 50])
def test_rates(tmp_path, suffix, fps):
    clip = read_clip(write_clip(tmp_path / f"x{suffix}", smooth(25, 16, 16), fps, RECORD))
    assert len(clip.frames) == 25
    assert clip.fps == pytest.approx(fps, rel=0.02 if suffix == ".gif" else 1e-4)  # a GIF counts in 1/100 s


def test_rates_beyond_the_format_play_slower(tmp_path):
    for suffix, most in ((".gif", 50), (".webm", 250), (".mkv", 250)):
        clip = read_clip(write_clip(tmp_path / f"x{suffix}", smooth(10, 16, 16), 1000, {}))
        assert clip.fps == most and len(clip.frames) == 10 and clip.provenance == {}


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_chroma_for_every_device(tmp_path, suffix):
    frames = smooth(10, 37, 67)
    for chroma, pixels in (("4:4:4", "yuv444p"), ("4:2:0", "yuv420p")):
        path = write_clip(tmp_path / f"x{suffix}", frames, 20, RECORD, chroma=chroma)
        import av

        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.pix_fmt == pixels
        found = read_clip(path)
        odd = (37, 67) if chroma == "4:4:4" or suffix == ".webm" else (38, 68)
        assert found.frames.shape[1:3] == odd and found.provenance == RECORD
        assert psnr(found.frames[:, :37, :67], frames) > 36


def test_frames_may_lie_on_disk(tmp_path):
    frames = smooth(40, 16, 16)
    write_clip(tmp_path / "a.npz", frames, 20, {})
    source = video.open_lossless(tmp_path / "a.npz")
    for suffix in EXACT:
        np.testing.assert_array_equal(read_clip(write_clip(tmp_path / f"b{suffix}", source, 20, {})).frames, frames)


def test_npz_is_plain_numpy(tmp_path):
    frames = noise(20, 8, 9)
    path = write_clip(tmp_path / "x.npz", frames, 12.5, RECORD)
    with np.load(path, allow_pickle=False) as archive:
        assert archive["fps"] == 12.5
        np.testing.assert_array_equal(np.concatenate([archive["frames_000000"], archive["frames_000016"]]), frames)
        assert json.loads(archive["provenance.json"]) == RECORD


def test_files_of_others(tmp_path):
    frames = noise(3, 8, 8)
    with video.LosslessWriter(tmp_path / "run", (8, 8), 20, kind="arrays") as writer:
        writer.append(frames)
    clip = read_clip(writer.path)
    assert clip.fps is None and clip.provenance == {} and np.array_equal(clip.frames, frames)
    Image.fromarray(frames[0]).save(tmp_path / "x.png")
    clip = read_clip(tmp_path / "x.png")
    assert clip.fps is None and np.array_equal(clip.frames, frames[:1]) and read_provenance(tmp_path / "x.png") is None
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(tmp_path / "x.gif", save_all=True, append_images=images[1:], duration=50, comment=b"not ours")
    assert len(read_clip(tmp_path / "x.gif").frames) == 3 and read_provenance(tmp_path / "x.gif") is None


# ----------------------------------------------------------------------------------------------- other people's readers


def test_others_read_the_png_and_its_comment(tmp_path):
    frames = noise(11, 4, 6)
    with Image.open(write_clip(tmp_path / "x.png", frames, 20, RECORD)) as picture:
        assert json.loads(picture.text["Comment"]) == RECORD
        found = np.asarray(picture)
    assert found.shape == (2 * 4, 8 * 6, 3)
    np.testing.assert_array_equal(found[4:, 6:12], frames[9])  # row 1, column 1
    assert (found[4:, 18:] == 255).all()
    np.testing.assert_array_equal(found, film_strip(frames))


def test_others_read_the_gif_and_its_comment(tmp_path):
    frames = smooth(9, 20, 30)
    labels = [label for label, _, _ in gif_blocks(write_clip(tmp_path / "x.gif", frames, 20, RECORD).read_bytes())]
    assert labels == [0xFF, 0xFE, *[0xF9, 0x2C] * 9, 0x3B]  # the loop first, the comment before any picture
    with Image.open(write_clip(tmp_path / "x.gif", frames, 20, RECORD)) as picture:
        assert json.loads(picture.info["comment"]) == RECORD
        assert picture.n_frames == 9 and picture.info["loop"] == 0 and picture.info["duration"] == 50
        picture.seek(5)
        assert psnr(np.asarray(picture.convert("RGB")), frames[5]) > 28


@given(text=st.text(st.characters(codec="ascii"), max_size=700))
def test_a_gif_comment_of_any_length(text):
    # 1x1, two colours: the smallest picture, as in the specification's appendix
    gif = bytes.fromhex("47494638396101000100800000000000ffffff2c000000000100010000020144003b")
    assert gif_comment(with_gif_comment(gif, text)) == text
    assert gif_comment(gif) == ""
    with pytest.raises(ValueError, match="within a GIF"):
        gif_comment(with_gif_comment(gif, text)[:-1])


# ------------------------------------------------------------------------------------------------------ cut and damaged


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cut_file_is_told_or_was_whole(tmp_path, suffix):
    """Wherever it is cut: a StoreError that names the file, or, behind the last frame, exactly the same frames."""
    path = write_clip(tmp_path / f"x{suffix}", smooth(12, 24, 24), 20, RECORD)
    whole, data = read_clip(path).frames, path.read_bytes()
    places = sorted({*(len(data) * i // 12 for i in range(12)), len(data) - 1, len(data) - 40})
    told = 0
    for place in places:
        path.write_bytes(data[:place])
        try:
            found = read_clip(path).frames
        except StoreError as error:
            assert str(path) in str(error)
            told += 1
        else:
            np.testing.assert_array_equal(found, whole)
    assert told >= len(places) - 2  # Matroska ends with an index that no frame needs


def test_a_changed_pixel_of_a_png_is_noticed(tmp_path):
    path = write_clip(tmp_path / "x.png", noise(1, 8, 8), 20, RECORD)
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="checksum"):
        read_clip(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_and_foreign_files(tmp_path, suffix):
    with pytest.raises(StoreError, match="no file"):
        read_clip(tmp_path / f"x{suffix}")
    (tmp_path / f"x{suffix}").write_bytes(b"something else entirely")
    with pytest.raises(StoreError, match=f"x{suffix}"):
        read_clip(tmp_path / f"x{suffix}")


def test_a_strip_that_cannot_be_cut(tmp_path):
    path = video.write_png(tmp_path / "x.png", noise(1, 8, 32)[0])
    data = path.read_bytes()
    path.write_bytes(with_png_texts(data, {"worldsim-strip": '{"columns": 4, "count": 4, "fps": 20}'}))
    assert read_clip(path).frames.shape == (4, 8, 8, 3)
    for bad in ('{"columns": 3, "count": 4, "fps": 20}', '{"columns": 0, "count": 4, "fps": 20}', "[]", "{"):
        path.write_bytes(with_png_texts(data, {"worldsim-strip": bad}))
        with pytest.raises(StoreError, match="no film strip"):
            read_clip(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_content_equal_bytes_and_nothing_beside(tmp_path, suffix):
    digests = set()
    for _ in range(2):  # the second replaces the first
        path = write_clip(tmp_path / f"x{suffix}", smooth(6, 16, 16), 20, RECORD)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1 and [p.name for p in tmp_path.iterdir()] == [f"x{suffix}"]


class Failing:
    """A source on a disk that breaks."""

    shape = (40, 16, 16, 3)

    def __len__(self) -> int:
        return 40

    def __getitem__(self, key):
        if key.start >= 16:
            raise OSError("read error")
        return smooth(16, 16, 16)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="read error"):
        write_clip(path, Failing(), 20, RECORD)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == [path.name]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from worldsim.media import write_clip
from worldsim.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # as a full disk, without one
frames = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
for suffix in sys.argv[2:]:
    try:
        write_clip(sys.argv[1] + suffix, frames, 20, {})
    except StoreError as error:
        print(error)
"""


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "x"), *SUFFIXES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    assert len(told) == len(SUFFIXES), done.stdout + done.stderr
    assert all("full" in line and f"x{suffix}" in line for line, suffix in zip(told, SUFFIXES, strict=True))
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------ wrong arguments


def test_wrong_arguments_leave_nothing(tmp_path):
    frames = noise(2, 8, 8)
    with pytest.raises(UnknownNameError, match=r"\.gif, \.mkv, \.mp4, \.npz, \.png, \.webm.*Did you mean '\.mp4'"):
        write_clip(tmp_path / "x.mp5", frames, 20, RECORD)
    with pytest.raises(UnknownNameError):
        read_clip(tmp_path / "x")
    for suffix in SUFFIXES:
        path = tmp_path / f"x{suffix}"
        with pytest.raises(ShapeError, match="channels first"):
            write_clip(path, frames.swapaxes(1, 3)[:, :, :4], 20, RECORD)
        with pytest.raises(ShapeError, match="floats"):
            write_clip(path, frames / 255, 20, RECORD)
        with pytest.raises(ShapeError, match="at least one frame"):
            write_clip(path, frames[:0], 20, RECORD)
        with pytest.raises(ShapeError, match="at least one frame"):
            write_clip(path, frames[0], 20, RECORD)
        with pytest.raises(ShapeError, match="fps"):
            write_clip(path, frames, 0, RECORD)
        with pytest.raises(ShapeError, match="scale"):
            write_clip(path, frames, 20, RECORD, scale=0)
        with pytest.raises(ShapeError, match="chroma"):
            write_clip(path, frames, 20, RECORD, chroma="4:1:1")
        with pytest.raises(ConfigError, match="plain JSON"):
            write_clip(path, frames, 20, {"seed": np.int64(3)})
        with pytest.raises(ConfigError, match="plain JSON"):
            write_clip(path, frames, 20, {"loss": float("nan")})
        with pytest.raises(StoreError, match="folder"):
            write_clip(tmp_path / "nowhere" / path.name, frames, 20, RECORD)
    assert not list(tmp_path.iterdir())


def test_a_record_comes_back_as_json_has_it():
    assert plain({"a": (1, 2), "b": {1: "x"}}) == {"a": [1, 2], "b": {"1": "x"}}


def test_png_texts_are_those_of_the_chunks(tmp_path):
    path = write_clip(tmp_path / "x.png", noise(1, 4, 4), 29.97, {})
    texts = png_texts(path.read_bytes())
    assert set(texts) == {"worldsim-strip"} and Fraction(json.loads(texts["worldsim-strip"])["fps"]) == Fraction(29.97)


def test_a_changed_bit_of_an_npz_is_noticed(tmp_path):
    path = write_clip(tmp_path / "x.npz", noise(2, 8, 8), 20, RECORD)
    data = bytearray(path.read_bytes())
    data[150] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"x\.npz"):
        read_clip(path)
