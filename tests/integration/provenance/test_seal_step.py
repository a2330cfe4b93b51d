import json
from datetime import UTC, datetime

import pytest

from memorial_tasks.errors import InputRefused, PermitRefused
from memorial_tasks.steps import seal
from memorial_tasks.steps.contract import SigningCredential, StepContext

PARAMS = {
    "content_id": "MS-order-1",
    "producer_code": "0" * 27,
    "consent_ref": "consent-7",
    "purpose": "family_private",
    "created_at": datetime(2026, 11, 20, tzinfo=UTC).isoformat(),
}


@pytest.fixture
def context(bench, tmp_path):
    def make(**changes):
        (tmp_path / "in/subtitles").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "in/film.mp4").write_bytes(bench.film.read_bytes())
        for tag, path in bench.request.subtitles.items():
            (tmp_path / f"in/subtitles/{tag}.srt").write_bytes(path.read_bytes())
        c = bench.credential
        given = {
            "order": "order-1",
            "inputs": tmp_path / "in",
            "out": tmp_path / "out",
            "checkpoints": tmp_path,
            "seed": 0,
            "progress": lambda fraction, message: seen.append((fraction, message)),
            "assets": bench.assets,
            "signing": SigningCredential(c.chain_pem, c.key_pem, c.anchors_pem),
            "watermark_key": bench.key,
        }
        return StepContext(**{**given, **changes})

    seen = make.progress = []
    return make


def test_the_step_writes_the_film_and_what_was_written(bench, context, tmp_path):
    metrics = seal.run(context(), seal.Params(**PARAMS, size="540p", fps=25))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["film.mp4", "seal.json"]
    document = json.loads((tmp_path / "out/seal.json").read_text())
    assert document["verification"]["verified"] is True
    assert document["sha256"] == metrics["sha256"]
    assert document["subtitles"] == ["en-US", "zh-CN"]
    assert metrics["lead_in_s"] == 3.0
    json.dumps(metrics)
    fractions = [fraction for fraction, _ in context.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert bench.verify(tmp_path / "out/film.mp4").verified


def test_without_a_credential_nothing_is_sealed(context):
    for missing in ({"signing": None}, {"watermark_key": b""}):
        with pytest.raises(PermitRefused):
            seal.run(context(**missing), seal.Params(**PARAMS))


def test_a_film_of_another_size_than_ordered_is_not_sealed(context):
    with pytest.raises(InputRefused) as error:
        seal.run(context(), seal.Params(**PARAMS, size="1080p", fps=30))
    assert [problem.code for problem in error.value.problems] == ["seal.size", "seal.fps"]
