"""A certification end to end, as small as it gets: killed and gone on with, by one process and by two."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worldsim.certified import certified_in
from worldsim.certify.expected import FILE, read_expected
from worldsim.certify.lacking import unable, without_prey
from worldsim.certify.run import CertifyConfig, certify, failures
from worldsim.certify.tasks import blind_up_to, jobs_of, levels_of
from worldsim.cli.certify import certify_command
from worldsim.config import EvalConfig
from worldsim.envs.scenarios import load_set
from worldsim.errors import ConfigError, WorldsimError
from worldsim.faults.table import FAULTS
from worldsim.plan import env_factory, verdicts
from worldsim.registry import METRICS
from worldsim.truth import Abilities
from worldsim.types import Scenario

SCENARIOS = """
name: small
version: 1
defaults:
  env: blocks
scenarios:
  - name: walk
    env_kwargs: {preset: arena, size: [32, 32]}
    controller: explore
    context: 4
    horizon: 6
    probes: [fidelity]
  - name: deed
    env_kwargs: {preset: arena, size: [64, 64]}
    controller: script
    controller_kwargs: {probe: place_leave_return, slot: 3, block: red_wool, angle: 90, hold: 0}
    context: 8
    horizon: 26
    sham: true
    branches:
      - name: effect
        at: acted
        judge: [acted]
        window: 1
        alternatives:
          edited: {edit: SetCell, position: $focus.cell, kind: $focus.block, say: the block is there}
          not_edited: {edit: SetCell, position: $focus.cell, kind: air, say: there is no block}
    probes: [interaction]
"""
TABLE = "fault,fidelity.ssim,interaction.effect\nedit-ignored,0,+\nblur,+,0\nalways-the-edit,~,+\n"
WORLDS = 10  # below it nothing has a value
ROW = {
    *("fault", "metric", "family", "expected", "tau", "trend_p", "effect", "tost_low", "tost_high", "n_worlds"),
    "verdict",
}  # DESIGN.md, section 5: other tools read these


def settings(folder: Path, out: str, **changes: Any) -> CertifyConfig:
    return replace(
        CertifyConfig(
            out=folder / out,
            scenarios=str(folder / "small.yaml"),
            expected=folder / "expected.csv",
            episodes=WORLDS,
            workers=1,
            quiet=True,
        ),
        **changes,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a finished certification in `done`."""
    path = tmp_path_factory.mktemp("certify")
    (path / "small.yaml").write_text(SCENARIOS)
    (path / "expected.csv").write_text(TABLE)
    certify(settings(path, "done"))
    return path


def matrix(folder: Path, out: str = "done") -> dict[str, Any]:
    found = json.loads((folder / out / "matrix.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def lasting(document: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on when, where and by how many the work was done."""
    return {k: v for k, v in document.items() if k not in ("created", "seconds", "fingerprint", "command")}


def evidence(folder: Path, out: str = "done") -> dict[str, bytes]:
    rows = folder / out / "rows"
    return {str(path.relative_to(rows)): path.read_bytes() for path in sorted(rows.rglob("*.jsonl"))}


def cells(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(c["fault"], c["metric"]): c for c in document["rows"]}


def test_the_matrix_holds_what_the_table_asks_for(folder: Path) -> None:
    document = matrix(folder)
    assert document["schema"] == 1 and document["worlds"] == WORLDS and document["preset"] == "ci"
    found = cells(document)
    assert set(found) == {  # ci leaves out what is only measured
        *((f, m) for f in ("edit-ignored", "blur") for m in ("fidelity.ssim", "interaction.effect")),
        ("always-the-edit", "interaction.effect"),
    }
    for (fault, metric), cell in found.items():
        assert set(cell) >= ROW and cell["verdict"] in ("pass", "fail", "measured")
        assert cell["expected"] == read_expected(folder / "expected.csv").signs[fault, metric]
        assert cell["family"] == metric.split(".")[0] and cell["n_worlds"] == WORLDS
        assert (cell["trend_p"] is not None) == (cell["expected"] == "+")
        assert (cell["tost_low"] is not None) == (cell["expected"] == "0")
        assert len(cell["skills"]) == 1 + len(cell["severities"]) and cell["skills"][0] == 1.0
    assert document["expected"] == {"+": 3, "0": 2, "~": 1}
    assert sum(document["counts"].values()) == len(found)
    assert set(document["metrics"]) == {"fidelity.ssim", "interaction.effect"}
    for anchors in document["metrics"].values():
        assert anchors["ceiling"] == 1.0 and anchors["reason"] is None
        assert all(null["skill"] <= 1e-9 for null in anchors["nulls"].values())


def test_what_is_planted_is_found_and_what_is_not_is_not(folder: Path) -> None:
    found = cells(matrix(folder))
    assert {key: cell["verdict"] for key, cell in found.items()} == dict.fromkeys(found, "pass")
    assert found["edit-ignored", "interaction.effect"]["skills"][-1] == 0.0  # no deed is ever made
    assert found["always-the-edit", "interaction.effect"]["skills"][-1] == 0.0  # one is, where none was
    walk = found["edit-ignored", "fidelity.ssim"]  # nobody makes a deed there
    assert (walk["tost_low"], walk["tost_high"], walk["skills"]) == (0.0, 0.0, [1.0, 1.0])
    cheats = matrix(folder)["cheats"]
    assert [(c["fault"], c["metric"], c["caught"]) for c in cheats] == [("always-the-edit", "interaction.effect", True)]
    assert failures(matrix(folder)) == []


@pytest.mark.parametrize("victim", ["walk-001", "deed-000"])
def test_a_killed_run_goes_on(folder: Path, victim: str) -> None:
    """A piece is lost and another was being written; then the same command gives the same bytes."""
    before, rows = matrix(folder), evidence(folder)
    assert len(rows) == 6
    (lost,) = (folder / "done" / "rows").glob(f"{victim}-*")  # the name ends in a hash of what was asked
    shutil.rmtree(lost)
    leftover = folder / "done" / "rows" / f".{victim}.123"
    leftover.mkdir()
    (leftover / "fidelity.ssim.jsonl").write_text("half a li")
    (folder / "done" / "matrix.json").unlink()
    kept = {p: p.stat().st_mtime_ns for p in (folder / "done" / "rows").rglob("*.jsonl") if p.parent != leftover}
    document = certify(settings(folder, "done"))
    assert not leftover.exists() and evidence(folder) == rows
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())  # the rest was not done again
    assert lasting(matrix(folder)) == lasting(before) == lasting(json.loads(json.dumps(document)))


def test_a_finished_run_is_only_judged_again(folder: Path) -> None:
    before, rows = matrix(folder), evidence(folder)
    certify(settings(folder, "done"))
    assert evidence(folder) == rows and lasting(matrix(folder)) == lasting(before)


def test_two_workers_are_one(folder: Path) -> None:
    """The recorded truths are shared; every fault is rolled out, scored and judged again by two processes."""
    shutil.copytree(folder / "done" / "truth", folder / "two" / "truth")
    certify(settings(folder, "two", workers=2))
    assert evidence(folder, "two") == evidence(folder)
    assert lasting(matrix(folder, "two")) == lasting(matrix(folder))


def test_a_run_of_other_worlds_is_not_gone_on_with(folder: Path) -> None:
    with pytest.raises(WorldsimError):
        certify(settings(folder, "done", seed=5))
    assert matrix(folder)["seed"] == 0


def test_what_does_not_hold_is_told(folder: Path) -> None:
    """An expectation that is not met, a null above the floor and a cheat that is not caught are each named."""
    document = matrix(folder)
    document["rows"][0] |= {"verdict": "fail", "reason": "p 0.5, effect 0.01"}
    document["metrics"]["fidelity.ssim"]["nulls"]["noise"]["skill"] = 0.1
    document["cheats"][0]["caught"] = False
    told = failures(document)
    assert len(told) == 3 and "p 0.5, effect 0.01" in told[0]
    assert "fidelity.ssim: the null noise lies above the floor" in told[1] and "always-the-edit" in told[2]
    with pytest.raises(ConfigError, match="empty"):
        failures(document | {"rows": []})


def test_a_wrong_expectation_fails_and_the_command_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that says that SSIM must fall where no deed is made is contradicted by the same evidence."""
    (folder / "wrong.csv").write_text("fault,fidelity.ssim,interaction.effect\nblur,+,0\nedit-ignored,+,~\n")
    shutil.copytree(folder / "done" / "truth", folder / "wrong" / "truth")
    given = ["--out", str(folder / "wrong"), "--scenarios", str(folder / "small.yaml"), "--workers", "1"]
    given += ["--expected", str(folder / "wrong.csv"), "--episodes", str(WORLDS), "--quiet", "--no-report"]
    code = certify_command(given)
    out = capsys.readouterr().out
    assert code == 1 and "FAIL edit-ignored x fidelity.ssim (+)" in out and "FAIL blur" not in out
    assert "2 faults x 2 metrics" in out and str(folder / "wrong" / "matrix.json") in out


def test_another_table_in_the_same_folder_is_refused_or_done(folder: Path) -> None:
    """Rows that answer another table are no evidence: a fault that was not rolled out is not one that failed."""
    shutil.copytree(folder / "done", folder / "other")
    (folder / "more.csv").write_text("fault,fidelity.ssim,interaction.effect\nblur,+,0\nnoise,+,~\n")
    try:
        document = certify(settings(folder, "other", expected=folder / "more.csv"))
    except ConfigError:
        return
    assert cells(document)["noise", "fidelity.ssim"]["n_worlds"] == WORLDS


# -------------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fault,fidelity.ssim\nblurr,+\n", "no fault 'blurr'"),
        ("fault,fidelity.ssim\nblur,x\n", r"the row of 'blur' must hold 1 signs among \+ 0 ~, got \['x'\]"),
        ("fault,fidelity.ssim,fidelity.l1\nnoise,+,0\nblur,+\n", "the row of 'blur' must hold 2 signs"),
        ("fault,fidelity.ssim\nblur,+,0\n", "the row of 'blur' must hold 1 signs"),
        ("blur,fidelity.ssim\nblur,+\n", "the first line must be 'fault,<metric>,...'"),
        ("", "the first line must be"),
    ],
)
def test_a_wrong_table_names_its_row(folder: Path, text: str, message: str) -> None:
    path = folder / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        certify(settings(folder, "never", expected=path))
    assert str(path) in str(error.value) and not (folder / "never").exists()


def test_a_metric_that_does_not_exist_is_named(folder: Path) -> None:
    path = folder / "bad.csv"
    path.write_text("fault,fidelity.ssimm\nblur,+\n")
    with pytest.raises(WorldsimError, match=r"fidelity\.ssimm"):
        certify(settings(folder, "never", expected=path))
    assert not (folder / "never").exists()


def test_the_committed_table_fits_the_faults_and_the_metrics() -> None:
    table = read_expected(FILE)
    assert set(table.faults) == set(FAULTS) and len(set(table.faults)) == len(table.faults)
    assert len(set(table.metrics)) == len(table.metrics) and set(table.metrics) <= set(METRICS.names())
    assert set(table.metrics) == {name for name in METRICS.names() if not name.startswith("learned.")}
    assert len(table.signs) == len(table.faults) * len(table.metrics)
    for metric in table.metrics:
        spec = METRICS.get(metric).spec
        signs = {fault: table.signs[fault, metric] for fault in table.faults}
        assert "+" in signs.values() or not spec.headline, f"nothing is expected to move {metric}"
        for fault, sign in signs.items():  # a claim of the spec is certified, never contradicted
            assert not (fault in spec.sensitive and sign == "0"), (fault, metric)
            assert not (fault in spec.invariant and sign == "+"), (fault, metric)


def test_a_scenario_is_scored_for_what_it_asks_and_is_made_for() -> None:
    """Events, twins, variants and families decide, and the reason says which of them is lacking."""
    scenarios = {s.name: s for s in load_set("certify").scenarios}
    names = ("permanence.identity", "permanence.gap", "interaction.effect", "text.flip", "coherence.place")
    specs = [METRICS.get(name).spec for name in names]
    able = env_factory(EvalConfig(env="blocks"), scenarios["place"], (32, 32))().abilities

    def reason(name: str, scenario: Scenario) -> str | None:
        found = {v.metric: v for v in verdicts([scenario], specs, [able])}
        assert found[name].scored == (found[name].reason is None)
        return found[name].reason

    made_for = {
        "look_away": ("permanence.identity", "permanence.gap"),
        "watch": ("permanence.gap",),
        "place": ("interaction.effect",),
        "told": ("text.flip",),
        "there_and_back": ("coherence.place",),
        "explore": (),
    }
    for scenario, scored in made_for.items():
        assert tuple(n for n in names if reason(n, scenarios[scenario]) is None) == scored, scenario
    assert reason("permanence.identity", scenarios["watch"]) == "the scenario does not ask about identity"
    everywhere = {name: replace(s, probes=()) for name, s in scenarios.items()}
    assert reason("permanence.identity", everywhere["explore"]) == "the scenario has no branches"
    assert reason("permanence.identity", everywhere["place"]) == "the scenario does not ask about identity"
    assert reason("coherence.place", everywhere["place"]) == "the scenario does not ask about place"
    assert reason("interaction.effect", replace(everywhere["place"], sham=False)) == "the scenario has no sham twin"
    assert reason("text.flip", replace(everywhere["told"], variants={})) == "the scenario has no variants"
    assert reason("interaction.effect", scenarios["told"]) == "the scenario is not made for interaction"
    foreign = replace(specs[0], name="mine.metric", requires=frozenset())
    assert verdicts([scenarios["told"]], [foreign], [able])[0].scored  # probes name worldsim's own families only


def test_what_must_be_rolled_out() -> None:
    """All severities for "+", the largest mild one for "0", the top one for what is measured in full, once each."""
    assert levels_of("blur", "+", "ci") == FAULTS["blur"].ci and levels_of("blur", "+", "full") == FAULTS["blur"].full
    assert levels_of("blur", "0", "ci") == (1,) and levels_of("blur", "~", "ci") == ()
    assert levels_of("blur", "~", "full") == (2,) and levels_of("blur", "0", "full") == (1,)
    assert blind_up_to(FAULTS["vanish"], "ci") == 1.0  # no severity of it is mild or not
    table = read_expected(FILE)
    for preset in ("ci", "full"):
        jobs = jobs_of(("fidelity.ssim", "permanence.identity"), table, preset)
        assert len({(fault, severity) for fault, severity, _ in jobs}) == len(jobs)
        asked = {(fault, severity, name) for fault, severity, names in jobs for name in names}
        for fault in table.faults:
            for name in ("fidelity.ssim", "permanence.identity"):
                for severity in levels_of(fault, table.signs[fault, name], preset):
                    assert (fault, severity, name) in asked
        assert ("freeze", FAULTS["freeze"].ci[-1], "permanence.identity") in asked  # a cheat is always looked at


def test_what_cannot_be_tried_is_said_and_not_failed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody asks about identity, and there is no prompt in whose place another could be followed."""
    (folder / "walk.yaml").write_text(SCENARIOS[: SCENARIOS.index("  - name: deed")])
    (folder / "lacking.csv").write_text("fault,fidelity.ssim,permanence.identity\nprompt-swap,+,+\nblur,+,0\n")
    given = settings(folder, "lacking", expected=folder / "lacking.csv", scenarios=str(folder / "walk.yaml"))
    document = certify(given)
    found = cells(document)
    assert {key: cell["verdict"] for key, cell in found.items()} == {
        ("prompt-swap", "fidelity.ssim"): "n/a",
        ("prompt-swap", "permanence.identity"): "n/a",
        ("blur", "fidelity.ssim"): "pass",
        ("blur", "permanence.identity"): "n/a",
    }
    assert found["prompt-swap", "fidelity.ssim"]["reason"] == without_prey({"prompt-swap": 3 * WORLDS})["prompt-swap"]
    assert found["blur", "permanence.identity"]["reason"] == "no scenario of the set is made for permanence"
    assert document["counts"] == {"pass": 1, "fail": 0, "measured": 0, "n/a": 3} and failures(document) == []
    assert set(certified_in(document)) == {"fidelity.ssim"}


def test_a_fault_that_a_truth_cannot_make_is_named_with_what_it_lacks() -> None:
    able = Abilities(snapshot=True, edit=frozenset({"MoveObject"}), truth=frozenset({"objects"}))
    assert unable(("vanish", "blur"), [able]) == {"vanish": "the truth gives no RemoveObject, which the fault needs"}
    assert without_prey({"edit-ignored": 9}) == {}  # it should have changed something: a failure
    assert unable(("vanish",), [able, replace(able, edit=frozenset({"RemoveObject"}))]) == {}  # one scenario will do


POOL = """
import os, time
from worldsim.certify.tasks import processes
if __name__ == "__main__":
    with processes(2) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_parent_that_is_killed(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)  # it is there
    parent.send_signal(how)
    parent.wait()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"worker {worker} outlived its parent")
