"""An X display of one's own that nobody sees: headless-gl draws only where there is one."""

from __future__ import annotations

import os
import secrets
import select
import struct
import subprocess
import tempfile
from pathlib import Path

from worldsim.errors import WorldFailure


class Display:
    """One Xvfb, on a number that it chooses, behind a secret cookie, not on the network.

    It ends by itself when its only client is gone (`-terminate`), so that it outlives neither the bridge nor us.
    """

    def __init__(self, program: str, *, timeout: float = 30.0) -> None:
        """Starts it.

        Args:
            program: Path of Xvfb.
            timeout: Seconds until it must be up.

        Raises:
            WorldFailure: If it does not come up.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="worldsim-display-")
        self.authority = Path(self._folder.name) / "cookie"
        self.authority.write_bytes(_cookie())
        self.authority.chmod(0o600)
        ours, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    *(program, "-displayfd", str(theirs), "-screen", "0", "64x64x24", "-nolisten", "tcp"),
                    *("-auth", str(self.authority), "-terminate"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs,),
            )
        except OSError:
            os.close(ours)
            self._folder.cleanup()
            raise
        finally:
            os.close(theirs)
        try:
            self.number = _read_number(ours, timeout)
        except WorldFailure:
            self.close()
            raise
        finally:
            os.close(ours)

    @property
    def variables(self) -> dict[str, str]:
        """What a client's environment must hold."""
        return {"DISPLAY": f":{self.number}", "XAUTHORITY": str(self.authority)}

    @property
    def pid(self) -> int:
        """Of Xvfb."""
        return self._process.pid

    def close(self) -> None:
        """Ends it. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5.0)
        self._folder.cleanup()


def _cookie() -> bytes:
    """An Xauthority entry for any display (family Wild), see Xau(3): big-endian lengths before each field."""
    fields = (b"", b"", b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16))
    return struct.pack(">H", 0xFFFF) + b"".join(struct.pack(">H", len(field)) + field for field in fields)


def _read_number(pipe: int, timeout: float) -> int:
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], timeout)
        chunk = os.read(pipe, 64) if ready else b""
        if not chunk:
            why = "ended" if ready else f"did not come up in {timeout:g} s"
            raise WorldFailure(f"Xvfb {why}; try it by hand: Xvfb -displayfd 1 -screen 0 64x64x24")
        text += chunk
    return int(text)
