"""The client's end of the messages between worldsim and the worker: see `worker.py` for their form."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

#: What a message may hold at most; the largest real one is a 1024x1024 frame.
MAX_HEADER, MAX_BODY = 1 << 24, 1 << 26


class LostError(Exception):
    """The other side is gone, or sends what is no message."""


class SlowError(Exception):
    """No answer in time."""


def send(channel: socket.socket, header: Mapping[str, Any], timeout: float) -> None:
    """Writes one message without a body."""
    text = json.dumps(header, allow_nan=False).encode()
    channel.settimeout(timeout)
    try:
        channel.sendall(struct.pack("!II", len(text), 0) + text)
    except TimeoutError as error:
        raise SlowError("it does not read what it is told") from error
    except OSError as error:
        raise LostError("it is gone") from error


def receive(channel: socket.socket, timeout: float) -> tuple[dict[str, Any], bytes]:
    """Reads one message whole.

    Raises:
        SlowError: If it was not there after `timeout` seconds.
        LostError: If the other side is gone, or what came is no message.
    """
    deadline = time.monotonic() + timeout
    header_size, body_size = struct.unpack("!II", _exactly(channel, 8, deadline))
    if header_size > MAX_HEADER or body_size > MAX_BODY:
        raise LostError(f"it sent something that is no message (lengths {header_size} and {body_size})")
    text, body = _exactly(channel, header_size, deadline), _exactly(channel, body_size, deadline)
    try:
        header = json.loads(text)
    except ValueError as error:
        raise LostError("it sent something that is no message (the header is no JSON)") from error
    if not isinstance(header, dict):
        raise LostError(f"it sent something that is no message (the header is {type(header).__name__})")
    return header, bytes(body)


def _exactly(channel: socket.socket, count: int, deadline: float) -> bytearray:
    data = bytearray(count)
    view, done = memoryview(data), 0
    while done < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise SlowError("it did not answer")
        channel.settimeout(left)
        try:
            came = channel.recv_into(view[done:])
        except TimeoutError as error:
            raise SlowError("it did not answer") from error
        except OSError as error:
            raise LostError("it is gone") from error
        if not came:
            raise LostError("it is gone")
        done += came
    return data
