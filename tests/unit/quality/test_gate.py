"""Gates: every rule can say no, the gravest is said first, nothing personal is in the report."""

import math
import tarfile
from pathlib import Path

import pytest

from memorial_tasks.domain.words import Severity
from memorial_tasks.quality.gate import run_gate, run_suite
from memorial_tasks.quality.suites import SUITES, Rule

ALL = [(name, rule) for name, suite in SUITES.items() for rule in suite.rules]


def test_codes_are_unique_and_every_remedy_says_something() -> None:
    codes = [rule.code for _, rule in ALL]
    assert len(codes) == len(set(codes))
    assert all(rule.remedy and rule.what and (rule.least is not None or rule.most is not None) for _, rule in ALL)


@pytest.mark.parametrize("name", SUITES)
def test_every_rule_of_a_suite_fires_just_outside_its_limit_and_not_on_it(name: str) -> None:
    rules = SUITES[name].rules
    rows: dict[str, dict[str, float]] = {}
    for number, rule in enumerate(rules):
        rows[f"in{number}"] = {rule.column: edge(rule, 0.0)}
        rows[f"out{number}"] = {rule.column: edge(rule, 1e-3)}
    found = {(finding.code, finding.material) for finding in run_suite(name, rows).findings}
    for number, rule in enumerate(rules):
        assert (rule.code, f"out{number}") in found
        assert (rule.code, f"in{number}") not in found


def edge(rule: Rule, beyond: float) -> float:
    if rule.least is not None:
        return rule.least - beyond
    assert rule.most is not None
    return rule.most + beyond


def test_a_measure_that_is_missing_is_not_judged() -> None:
    assert run_suite("photos", {"a": {"faces": 1, "inter_ocular": math.nan}}).findings == ()


def test_only_a_critical_finding_closes_the_gate() -> None:
    blurred = {"a": {"faces": 1, "sharpness": 0.01}}
    warned = run_gate("material", {"photos": blurred, "photo_set": {"all": {"usable": 3}}})
    assert warned.passed
    assert {finding.code for finding in warned.findings} >= {"photo.blurred", "photo_set.few"}
    closed = run_gate("material", {"photos": blurred, "photo_set": {"all": {"usable": 0}}})
    assert not closed.passed
    assert closed.findings[0].severity is Severity.CRITICAL
    assert closed.findings[0].material == ""


def test_frames_of_one_video_are_one_finding() -> None:
    rows = {f"video-0001-f{number:04d}": {"faces": 1, "sharpness": 0.01 * number} for number in (1, 2, 3)}
    (finding,) = run_suite("photos", rows).findings
    assert finding.material == "video-0001"
    assert finding.value == 0.01
    assert "3" in finding.what


def test_the_docs_are_one_site_in_a_tar(tmp_path: Path) -> None:
    docs = tmp_path / "docs.tar.gz"
    report = run_gate("material", {"voice_set": {"all": {"usable_speech": 30.0}}}, docs)
    assert report.measured == {"voice.usable_speech": 30.0}
    with tarfile.open(docs) as tar:
        names = tar.getnames()
        assert "data_docs/index.html" in names
        assert any("validations/voice_set" in name for name in names)
        (page,) = [name for name in names if "validations" in name and name.endswith(".html")]
        content = tar.extractfile(page)
        assert content is not None
        assert b"usable_speech" in content.read()
