"""Which metrics a response matrix certifies, and who reads the list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.reports.fake_matrix import fake_matrix, write_fake_matrix
from worldsim import certified, summary
from worldsim.errors import StoreError
from worldsim.metrics.fidelity import SSIM
from worldsim.types import Observation


def test_all_judged_cells_must_pass_and_one_must_move() -> None:
    document = fake_matrix()
    assert certified.certified_in(document) == {"fidelity.psnr": 1, "interaction.persistence": 4}
    for row in document["rows"]:
        if row["metric"] == "interaction.persistence" and row["expected"] == "+":
            row["expected"] = "0"  # it only stands still now: nothing is proved
    assert certified.certified_in(document) == {"fidelity.psnr": 1}
    for row in document["rows"]:
        if row["metric"] == "fidelity.psnr" and row["expected"] == "~":
            row["verdict"] = "measured"  # what was not predicted does not count
    assert certified.certified_in(document) == {"fidelity.psnr": 1}


def test_the_packaged_list_can_be_read_and_names_metrics() -> None:
    found = certified.certified_metrics()
    assert all("." in name and version >= 1 for name, version in found.items())


def test_the_list_is_written_from_a_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(certified, "FILE", tmp_path / "certified.json")
    folder = write_fake_matrix(tmp_path / "run")
    assert certified.main([str(folder / "matrix.json")]) == 0
    passed = {"fidelity.psnr": 1, "interaction.persistence": 4}
    assert json.loads((tmp_path / "certified.json").read_text()) == {"blocks": passed}
    assert certified.certified_metrics(path=tmp_path / "certified.json")["interaction.persistence"] == 4
    assert not certified.certified_metrics("doom", tmp_path / "certified.json")
    said = capsys.readouterr().out
    assert "certified in blocks, 2 of 4" in said and "not certified: permanence.identity, permanence.gap" in said


def test_each_environment_has_a_list_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certified, "FILE", tmp_path / "certified.json")
    matrix = write_fake_matrix(tmp_path / "run") / "matrix.json"
    document = json.loads(matrix.read_text())
    for env in ("blocks", "doom", "blocks"):
        command = ["worldsim", "certify", *([] if env == "blocks" else ["--env", env])]
        matrix.write_text(json.dumps(document | {"command": command}))
        assert certified.main([str(matrix)]) == 0
    certified._packaged.cache_clear()
    lists = json.loads((tmp_path / "certified.json").read_text())
    assert sorted(lists) == ["blocks", "doom"] and lists["blocks"] == lists["doom"]


def test_a_metric_is_certified_where_it_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = {"blocks": {"a.one": 2, "a.two": 1}, "doom": {"a.two": 1, "a.three": 1}}
    monkeypatch.setattr(certified, "_packaged", lambda path: lists)
    assert certified.marks("a.one", 2, "blocks") == {"certified": True, "certified_in": "blocks"}
    assert certified.marks("a.one", 2, "doom") == {"certified": False, "certified_in": "blocks"}
    assert certified.marks("a.two", 1, "doom") == {"certified": True, "certified_in": "doom"}
    assert certified.marks("a.two", 1, "worldsim/Doom-v0") == {"certified": True, "certified_in": "doom"}
    assert certified.marks("a.one", 2, "worldsim/Blocks-v0") == {"certified": True, "certified_in": "blocks"}
    assert certified.marks("a.three", 1, "gym:CartPole-v1") == {"certified": False, "certified_in": None}
    assert certified.marks("a.one", 3, "blocks") == {"certified": False, "certified_in": None}


def test_bad_files_leave_the_list_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(certified, "FILE", tmp_path / "certified.json")
    (tmp_path / "torn.json").write_text('{"rows": [')
    (tmp_path / "other.json").write_text('{"rows": []}')
    assert certified.main([str(tmp_path / "torn.json")]) == 1
    assert certified.main([str(tmp_path / "other.json")]) == 1
    assert certified.main([]) == 2 and certified.main(["--help"]) == 0
    assert not (tmp_path / "certified.json").exists()
    assert "should be the matrix.json of a certification" in capsys.readouterr().err
    for text in ('{"a": 1}', '{"blocks": {"a": "1"}}', '{"blocks": {"a": true}}', "[]", "{"):
        (tmp_path / "list.json").write_text(text)
        certified._packaged.cache_clear()
        with pytest.raises(StoreError, match=r"list\.json"):
            certified.certified_metrics(path=tmp_path / "list.json")


@pytest.mark.parametrize(("version", "wanted"), [(0, True), (1, False)])
def test_a_summary_names_the_version_that_passed(version: int, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SSIM.spec
    monkeypatch.setattr(certified, "_packaged", lambda path: {"doom": {spec.name: spec.version + version}})
    rows = [
        Observation(
            metric=spec.name, episode=f"e{i}", scenario="s", world=i, source="model", event="0", delay=1, outcome=0.5
        )
        for i in range(12)
    ]
    (whole, _) = summary.summarise(SSIM(), rows, resamples=20, env="doom")[0]
    assert whole["certified"] is wanted and whole["certified_in"] == ("doom" if wanted else None)


def test_a_matrix_of_ones_own_counts_beside_the_packaged_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_fake_matrix(tmp_path / "run")
    monkeypatch.setenv(certified.VARIABLE, str(folder / "matrix.json"))
    found = certified.certified_metrics()
    assert found["interaction.persistence"] == 4 and set(certified._packaged(certified.FILE)["blocks"]) <= set(found)
    assert "interaction.persistence" not in certified.certified_metrics("gym:CartPole-v1"), "it was made in Blocks"
    (tmp_path / "other.json").write_text('{"rows": []}')
    monkeypatch.setenv(certified.VARIABLE, str(tmp_path / "other.json"))
    with pytest.raises(StoreError, match="WORLDSIM_CERTIFIED"):
        certified.certified_metrics()
