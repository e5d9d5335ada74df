"""Containers: what was written can be read, damage is named, scripts jump to where they should."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.envs.doom.wad import Program, Script, picture, read_wad, write_wad
from worldsim.errors import ConfigError

names = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", min_size=1, max_size=8)


@given(lumps=st.lists(st.tuples(names, st.binary(max_size=40)), max_size=6))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back(lumps: list[tuple[str, bytes]]) -> None:
    assert read_wad(write_wad(lumps)) == lumps


@given(keep=st.integers(0, 61))
@settings(max_examples=30, deadline=None)
def test_a_file_that_is_cut_short_is_refused(keep: int) -> None:
    whole = write_wad([("MAP01", b""), ("TEXTMAP", b"namespace = 1;")])
    assert len(whole) == 12 + 14 + 32
    with pytest.raises(ConfigError, match=r"cut short|no WAD|damaged"):
        read_wad(whole[: min(keep, len(whole) - 1)])


def test_a_lump_outside_the_file_is_refused() -> None:
    whole = bytearray(write_wad([("A", b"1234")]))
    whole[16:20] = struct.pack("<i", 10_000)  # the size in the directory, which follows 12 + 4 bytes
    whole[20:24] = struct.pack("<i", 10_000)
    with pytest.raises(ConfigError, match="damaged"):
        read_wad(bytes(whole))


def test_a_picture_keeps_its_pixels_and_its_origin() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 6, 4), dtype=np.uint8)
    png = picture(image, (3, 9))
    assert b"grAb" + struct.pack(">ii", 3, 9) in png
    back = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cv2.cvtColor(back, cv2.COLOR_BGRA2RGBA), image)


def test_scripts_compile_to_the_words_of_the_machine() -> None:
    program = Program()
    text = program.text("Clip")
    assert program.text("Clip") == text  # once only
    program.scripts = [
        Script(number=7, words=["push", 5]),
        Script(number=9, args=1, words=["loop:", "arg", 0, "unless", "end", "goto", "loop", "end:"]),
    ]
    lump = program.compile()
    assert lump[:4] == b"ACS\0"
    words = np.frombuffer(lump[8 : 8 + 4 * 10], "<i4").tolist()
    first = 8 + 4 * 3  # where the second script begins
    assert words == [3, 5, 1, 28, 0, 79, first + 4 * 6, 52, first, 1]
    (directory,) = struct.unpack_from("<i", lump, 4)
    count, *entries = struct.unpack_from("<7i", lump, directory)
    assert (count, entries) == (2, [7, 8, 0, 9, first, 1])
    strings, offset = struct.unpack_from("<2i", lump, directory + 28)
    assert strings == 1
    assert lump[offset : offset + 5] == b"Clip\0"


def test_two_scripts_of_one_number_are_refused() -> None:
    program = Program(scripts=[Script(number=500, words=[]), Script(number=500, words=[])])
    with pytest.raises(ValueError, match=r"used twice: \[500\]"):
        program.compile()
