"""What the doctor says about anchors: a copy beside the database binds nobody, so production wants one outside."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from memorial_tasks.production.health import _audit
from memorial_tasks.settings import Settings


def test_production_wants_an_anchor_outside(tmp_path: Path) -> None:
    assert _audit(Settings(home=tmp_path)).ok
    alone = _audit(Settings(home=tmp_path, profile="production"))
    assert (alone.ok, "MEMORIAL_AUDIT_BUCKET" in alone.remedy) == (False, True)
    outside = _audit(Settings(home=tmp_path, profile="production", audit_bucket="s3://worm/audit"))
    assert (outside.ok, outside.detail) == (True, "folder, bucket")


def test_time_stamps_need_certificates(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    assert not _audit(Settings(home=tmp_path, tsa_url="https://tsa.example", tsa_roots=roots)).ok
    roots.write_text("-----BEGIN CERTIFICATE-----")
    assert _audit(Settings(home=tmp_path, tsa_url="https://tsa.example", tsa_roots=roots)).ok


def test_an_image_is_named_by_its_digest() -> None:
    with pytest.raises(ValidationError):
        Settings(image_digest="worker:latest")
