"""An export to a folder that is killed half-way, and run again: the bytes of one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exchange.datasets import SPACES, same, write
from worldsim.exchange import sidecar
from worldsim.exchange.exporting import export_dataset
from worldsim.exchange.folder import FolderTarget
from worldsim.exchange.folder_read import FolderSource
from worldsim.exchange.importing import ImportConfig, import_dataset

#: Argument: dataset, folder, frames, and at which file that is about to be put in its place the process kills itself.
EXPORT = """
import os, signal, sys
from pathlib import Path
from worldsim.exchange import sidecar
from worldsim.exchange.exporting import export_dataset
from worldsim.exchange.folder import FolderTarget

data, out, frames, at = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
left, replace = at, os.replace

def counted(*args, **kwargs):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(*args, **kwargs)

os.replace = counted
Path.replace = lambda self, target: (counted(self, target), Path(target))[1]
export_dataset(data, FolderTarget(out, sidecar.of_dataset(data), frames=frames), quiet=True)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("frames", "at"), [("mkv", 2), ("mkv", 9), ("npz", 12), ("mp4", 14)])
def test_sigkill_and_the_same_export_give_the_same_bytes(frames: str, at: int, tmp_path: Path) -> None:
    data, whole, killed = (tmp_path / name for name in ("data", "whole", "killed"))
    write(data, SPACES["dict"], [[3, 1], [2, 2], [4]], size=(16, 24))

    def target(out: Path) -> FolderTarget:
        return FolderTarget(out, sidecar.of_dataset(data), frames=frames)  # type: ignore[arg-type]

    export_dataset(data, target(whole), quiet=True)
    process = subprocess.run(
        [sys.executable, "-c", EXPORT, str(data), str(killed), frames, str(at)], check=False, timeout=120
    )
    assert process.returncode == -signal.SIGKILL
    torn, expected = contents(killed), contents(whole)
    assert torn and not set(expected) <= set(torn), "the kill came in the middle"
    export_dataset(data, target(killed), quiet=True)
    assert contents(killed) == expected
    if frames != "mp4":  # which loses some of each frame
        import_dataset(FolderSource(killed), tmp_path / "back", ImportConfig(), quiet=True)
        assert same(data, tmp_path / "back")
