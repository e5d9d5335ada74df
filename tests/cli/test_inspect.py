"""`ls`, `show` and `doctor`: what they say, and that they stay light."""

import json
import subprocess
import sys

import pytest

from worldsim import registry
from worldsim.cli import doctor as doctor_module
from worldsim.cli.definitions import find_definition
from worldsim.cli.doctor import Finding, doctor
from worldsim.cli.inspect import KINDS, REGISTRIES, ls, ls_command, show
from worldsim.errors import StoreError, UnknownNameError

RUN = {
    "schema": 1,
    "status": "success",
    "created": "2026-01-02T03:04:05+00:00",
    "command": ["worldsim", "eval", "--model", "me.py:Mine"],
    "model": {"name": "Mine", "reference": "me.py:Mine"},
    "env": {"id": "blocks"},
    "scenario_set": "quick",
    "seed": 7,
    "counts": {"planned": 64, "done": 60, "failed": 3, "aborted": 1},
}
ROW = {
    "metric": "fidelity.psnr", "scenario": "*", "arm": "free", "headline": True, "unit": "dB", "value": 21.234,
    "low": 20.1, "high": 22.4, "skill": 0.5, "skill_low": 0.4, "skill_high": 0.6, "coverage": 0.9375, "n_worlds": 16,
    "reason": None,
}  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    for name, run in (
        ("20260102-a", RUN),
        ("20260103-b", RUN | {"status": "started", "counts": {"planned": 4, "done": 0}}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(run))
    undefined = ROW | {"metric": "fidelity.ssim", "value": None, "low": None, "skill": None, "reason": "too few worlds"}
    per_scenario = ROW | {"scenario": "explore", "metric": "never.shown"}
    (tmp_path / "20260102-a" / "summary.json").write_text(
        json.dumps({"schema": 1, "rows": [ROW, undefined, per_scenario]})
    )
    return tmp_path


@pytest.mark.parametrize("kind", list(REGISTRIES))
def test_ls_names_and_explains_everything(kind, capsys):
    assert ls(kind) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    table = REGISTRIES[kind]
    assert [name for name, _ in lines] == [*table.names(), *(f"{prefix}<id>" for prefix in table.families)]
    unexplained = [name for name, text in lines if not text or text == REGISTRIES[kind].target(name)]
    assert not unexplained, f"no docstring found for {unexplained}"


def test_ls_scenarios_and_the_singular(capsys):
    assert ls("scenarios") == 0
    first = capsys.readouterr().out
    assert "look_away" in first
    assert ls("scenario") == 0 and capsys.readouterr().out == first


def test_ls_runs_newest_first(runs, capsys):
    (runs / "20260104-c").mkdir()
    (runs / "20260104-c" / "run.json").write_text('{"status": "st')
    ls("runs", runs)
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows] == ["unreadable", "started", "success"]
    assert rows[2][2:] == ["me.py:Mine", "quick", "60/64 episodes"]
    ls("runs", runs / "nowhere")
    assert "worldsim eval" in capsys.readouterr().out


@pytest.mark.parametrize(("typo", "meant"), [("modls", "models"), ("metircs", "metrics"), ("scenaris", "scenarios")])
def test_ls_typo(typo, meant):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{meant}'"):
        ls(typo)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("fidelity.psnr", ["metric fidelity.psnr", "dB", "higher_is_better", "fidelity.py:"]),
        ("worldsim/Frozen", ["model worldsim/Frozen", "baselines.py:"]),
        ("Frozen", ["model worldsim/Frozen"]),
        ("noop", ["controller noop"]),
        ("quick", ["scenario set quick", "explore"]),
        ("look_away", ["scenario look_away of the set quick", "controller"]),
    ],
)
def test_show_a_name(name, wanted, capsys):
    assert show(name) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in wanted), shown


@pytest.mark.parametrize(
    ("typo", "meant"), [("frozn", "Frozen"), ("fidelity.pnsr", "fidelity.psnr"), ("look_awya", "look_away")]
)
def test_show_typo(typo, meant):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{meant}'"):
        show(typo)


def test_show_run(runs, capsys):
    assert show("20260102-a", runs) == 0
    shown = capsys.readouterr().out
    for text in ("success", "me.py:Mine on blocks", "60 of 64 episodes, 3 failed, 1 aborted", "--model me.py:Mine"):
        assert text in shown, shown
    assert "fidelity.psnr\t21.2 dB [20.1, 22.4]\t0.5 [0.4, 0.6]\t94% of 16 worlds" in shown
    assert "fidelity.ssim\t-\t-\t" in shown and "too few worlds" in shown and "never.shown" not in shown
    show("20260103-b", runs)
    assert "no scores yet" in capsys.readouterr().out
    (runs / "20260103-b" / "run.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        show("20260103-b", runs)


def test_definitions_are_read_without_importing(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        'raise RuntimeError("imported")\n'
        "class Mine:\n"
        '    """A title.\n\n    More."""\n'
        "    def __init__(self, steps: int = 4): ...\n"
    )
    found = find_definition(f"{file}:Mine")
    assert (found.headline, found.signature, found.line) == ("A title.", "steps: int=4", 2)
    spec = find_definition("worldsim.metrics.fidelity:L1Object")
    assert spec is not None and spec.spec["undefined"].endswith("no segmentation; fewer than 24 px of the region")
    assert {"blur", "tint", "vanish"} <= set(spec.spec["sensitive"].split(", ")), "names and unions are followed"
    assert spec.spec["range"] == "(0.0, 1.0)" and spec.spec["requires"] == "segmentation"
    assert find_definition(f"{file}:Other") is None and find_definition("no_such_package.x:Y") is None


def test_target_of_a_decorated_thing():
    table = registry.Registry("thing", {"a": "m:A"})
    table.register("me/b", ls_command)
    assert (table.target("a"), table.target("me/b")) == ("m:A", "worldsim.cli.inspect:ls_command")


@pytest.mark.parametrize(
    "verb", [["ls", kind] for kind in KINDS] + [["show", "fidelity.psnr"], ["show", "quick"], ["doctor"]]
)
def test_small_commands_import_nothing_heavy(verb, tmp_path):
    """What makes them answer at once; a wall clock would only measure the machine."""
    heavy = {"torch", "numba", "scipy", "pandas", "torchmetrics", "cv2"}
    if verb[0] != "show" and verb != ["ls", "scenarios"]:
        heavy.add("gymnasium")  # reading scenarios imports worldsim.envs, which registers the worlds there
    code = (
        "import sys; from worldsim.cli.main import main; code = main(sys.argv[1:]);"
        f"heavy = {heavy} & set(sys.modules); sys.exit(f'imported {{heavy}}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *verb], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_doctor_is_content_here(capsys, tmp_path):
    assert doctor(tmp_path / "not" / "made" / "yet") == 0
    shown = capsys.readouterr().out
    assert "MISSING" not in shown
    for what in ("numpy", "torch", "video codecs", "memory", "disk", "numba cache", "chromium"):
        assert f"\t{what}\t" in shown, what


@pytest.mark.parametrize("version", [None, "1.20.3"])
def test_doctor_names_the_command_and_exits_3(version, monkeypatch, capsys):
    real = doctor_module.version
    monkeypatch.setattr(doctor_module, "version", lambda name: version if name == "numpy" else real(name))
    assert doctor() == 3
    shown = capsys.readouterr().out
    assert "MISSING\tnumpy" in shown and "pip install 'numpy>=1.26'" in shown


def test_doctor_wants_codecs_that_load(monkeypatch):
    import av

    monkeypatch.setattr(av, "codecs_available", {"h264"})
    (finding,) = doctor_module._codecs()
    assert finding.level == "missing" and "ffv1" in finding.detail and "av" in finding.remedy


def test_findings_say_what_to_do():
    poor = doctor_module._amount("disk", 1e6, "free", 2e9, "choose another --out")
    assert poor == Finding(
        level="note", what="disk", detail="0.0 GB free, 2 GB are comfortable", remedy="choose another --out"
    )
