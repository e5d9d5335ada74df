"""The README's code blocks run as they stand; only the number of episodes is made smaller."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="not a checkout")


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, code) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def fewer_episodes(line: str) -> list[str]:
    words = shlex.split(re.sub(r"--episodes \d+", "--episodes 1", line), comments=True)
    return [sys.executable, "-m", "worldsim", *words[1:]]


def test_every_block_runs(tmp_path):
    """In one folder and in order, as a reader would; a block that begins with "# name.py" is saved under that name."""
    ran = 0
    for language, code in blocks(README.read_text(encoding="utf-8")):
        named = re.match(r"# (\w+\.py)\n", code)
        if language == "python" and named:
            (tmp_path / named[1]).write_text(code)
            commands = [[sys.executable, "-c", f"import {named[1].removesuffix('.py')}"]]
        elif language == "python":
            code = re.sub(r"episodes=\d+", "episodes=1", code)
            commands = [[sys.executable, "-c", code]]
        elif language == "bash":
            lines = [line for line in code.splitlines() if line.strip() and not line.startswith("#")]
            assert all(line.startswith("worldsim ") for line in lines), code
            commands = [fewer_episodes(line) for line in lines]
        else:
            continue
        for command in commands:
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, f"{command[1:]}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            ran += 1
    assert ran >= 6


def test_every_link_leads_somewhere():
    for file in [README, *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", file.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_every_family_of_metrics_is_explained():
    from worldsim import registry

    text = README.read_text(encoding="utf-8")
    for family in sorted({name.split(".")[0] for name in registry.METRICS.names()} - {"test"}):
        assert re.search(rf"^\| \[`{family}`\]", text, re.MULTILINE), f"README: what does {family} ask?"


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README.read_text(encoding="utf-8"), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
