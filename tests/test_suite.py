"""The frozen suite: what is committed is what this version computes, and what differs is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worldsim import suite
from worldsim.cli.inspect import ls, show
from worldsim.config import EvalConfig
from worldsim.envs.scenarios import load_set
from worldsim.errors import ConfigError, UnknownNameError
from worldsim.evaluate import prepare
from worldsim.seeding import split_of


@pytest.fixture(scope="module")
def now() -> suite.FrozenSuite:
    return suite.compute()


def test_this_version_is_the_frozen_suite() -> None:
    said = suite.check()
    assert said is None, said


def test_the_parts(now: suite.FrozenSuite) -> None:
    assert set(now.parts) == {"scenarios", "worlds", "metrics", "expected", "thresholds", "faults"}
    core = load_set("core")
    seeds = now.parts["worlds"]["seeds"]
    assert list(seeds) == [s.name for s in core.scenarios]
    assert all(len(set(own)) == 64 for own in seeds.values()), "no world twice"
    assert all(split_of(seed) == "test" for own in seeds.values() for seed in own)
    assert "fidelity.psnr" in now.parts["metrics"]
    assert not any(name.startswith("learned.") for name in now.parts["metrics"])
    signs = {sign for row in now.parts["expected"].values() for sign in row.values()}
    assert signs == {"+", "0", "~"}
    assert set(now.parts["expected"]) <= set(now.parts["faults"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("scenarios", "hash"), "0"),
        (("worlds", "seeds", "explore"), [1, 2]),
        (("metrics", "fidelity.l1", "version"), 9),
        (("metrics", "fidelity.l1", "floor"), "noise"),
        (("expected", "blur", "fidelity.l1"), "0"),
        (("thresholds", "64", "lead"), 0.1),
        (("faults", "blur", "full"), [1.0]),
    ],
)
def test_any_change_changes_the_hash_and_is_named(
    now: suite.FrozenSuite, path: tuple[str, ...], value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = json.loads(json.dumps(now.parts))
    node = parts
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    changed = replace(now, parts=parts, hash=suite.hash_of(now.name, parts))
    assert changed.hash != now.hash
    monkeypatch.setattr(suite, "read", lambda name=suite.CURRENT: now)
    monkeypatch.setattr(suite, "compute", lambda name=suite.CURRENT: changed)
    said = suite.check()
    assert said is not None
    assert f"{' '.join(path)}:" in said
    assert "Raise the version" in said and "--write" in said


def test_what_was_added_and_what_is_gone() -> None:
    found = list(suite.differences({"a": 1, "b": {"c": 2}}, {"b": {"c": 2, "d": 3}}))
    assert found == ["a: gone", "b d: new"]


def test_the_hash_does_not_depend_on_the_order() -> None:
    assert suite.hash_of("s", {"a": 1, "b": 2}) == suite.hash_of("s", {"b": 2, "a": 1})
    assert suite.hash_of("s", {"a": 1}) != suite.hash_of("t", {"a": 1})


def test_written_and_read_again(now: suite.FrozenSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "compute", lambda name: now)
    path = suite.write(folder=tmp_path)
    assert suite.read(folder=tmp_path) == now
    text = path.read_text()
    assert max(text.count("\n"), 1) < 300, "rows stay on one line, so that a change can be read in a diff"
    path.write_text(text.replace('"lead": ', '"lead": 1'))
    with pytest.raises(ConfigError, match="changed by hand"):
        suite.read(folder=tmp_path)
    path.write_text("{")
    with pytest.raises(ConfigError, match="install worldsim again"):
        suite.read(folder=tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'worldsim-core-1'"):
        suite.read("worldsim-core1")


CORE = load_set("core")
SIZES = [(64, 64)] * len(CORE.scenarios)


def of_run(**changes: Any) -> tuple[dict[str, Any] | None, str | None]:
    scenarios, sizes = changes.pop("scenarios", CORE.scenarios), changes.pop("sizes", SIZES)
    chosen = changes.pop("chosen", (CORE.name, CORE.hash))
    return suite.of_run(EvalConfig(scenarios="core", **changes), chosen, scenarios, sizes)


def test_a_run_of_the_suite_says_so(now: suite.FrozenSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "read", lambda name=suite.CURRENT: now)
    monkeypatch.setattr(suite, "compute", lambda name=suite.CURRENT: now)
    assert of_run(episodes=16) == ({"name": "worldsim-core-1", "hash": now.hash, "worlds": 16}, None)
    longer = [replace(s, context=99) for s in CORE.scenarios]
    for changes, words in (
        ({"seed": 1}, "the seed is 1"),
        ({"split": "validation"}, "validation"),
        ({"episodes": 65}, "64 are frozen"),
        ({"sizes": [(128, 128), *SIZES[1:]]}, "64x64"),
        ({"scenarios": CORE.scenarios[1:]}, "left out"),
        ({"scenarios": longer}, "longer contexts"),
        ({"env_args": {"preset": "open"}}, "other arguments"),
        ({"drive_from": "generated"}, "generated frames"),
        ({"chosen": ("core", "0")}, "has changed"),
    ):
        frozen, note = of_run(**changes)
        assert frozen is None
        assert words in str(note)
    assert of_run(chosen=("mine", "0")) == (None, None), "other sets are no suite's, and nothing is said"
    monkeypatch.setattr(suite, "compute", lambda name=suite.CURRENT: replace(now, parts={}))
    assert "python -m worldsim.suite" in str(of_run()[1])


def test_prepare_asks() -> None:
    prepared = prepare(EvalConfig(model="worldsim/Frozen", scenarios="quick", episodes=1, metrics=("fidelity.l1",)))
    assert prepared.suite["frozen"] is None
    assert {"name", "version", "hash"} < set(prepared.suite)


def test_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert ls("suites") == 0
    listed = capsys.readouterr().out
    assert show("worldsim-core-1") == 0
    shown = capsys.readouterr().out
    for text in (listed, shown):
        assert suite.read().hash in text
    assert "64 for each of" in shown and "fidelity.psnr v" in shown


def test_the_command(
    capsys: pytest.CaptureFixture[str], now: suite.FrozenSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "compute", lambda name=suite.CURRENT: now)
    monkeypatch.setattr(suite, "read", lambda name=suite.CURRENT: now)
    assert suite.main([]) == 0
    assert now.hash in capsys.readouterr().out
    monkeypatch.setattr(suite, "compute", lambda name=suite.CURRENT: replace(now, parts={**now.parts, "faults": {}}))
    assert suite.main([]) == 1
    assert "faults blur: gone" in capsys.readouterr().out
