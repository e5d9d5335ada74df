"""Puts pip into the environment it runs in, for a Python without ensurepip (Debian's, without python3-venv).

A pip wheel can run itself: this downloads the newest one from PyPI, compares its SHA-256, and lets it install itself.
"""

import hashlib
import json
import runpy
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path


def main() -> None:
    """Downloads, compares, installs."""
    with urllib.request.urlopen("https://pypi.org/pypi/pip/json", timeout=60) as reply:
        found = next(entry for entry in json.load(reply)["urls"] if entry["packagetype"] == "bdist_wheel")
        url = urllib.parse.urljoin(reply.url, found["url"])  # mirrors may give relative addresses
    with urllib.request.urlopen(url, timeout=180) as reply:
        data = reply.read()
    if hashlib.sha256(data).hexdigest() != found["digests"]["sha256"]:
        raise SystemExit(f"{url} does not have the hash that PyPI gives; try again")
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder, found["filename"])
        wheel.write_bytes(data)
        sys.path.insert(0, str(wheel))
        sys.argv = ["pip", "install", "--quiet", "--no-index", str(wheel)]
        runpy.run_module("pip", run_name="__main__")


if __name__ == "__main__":
    main()
