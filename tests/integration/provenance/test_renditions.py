"""Every rendition leaves labelled: the upright film, the film for a headset, the sound alone, the stills."""

import json
import shutil
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from memorial_tasks.provenance import boxes, label, png
from memorial_tasks.provenance.verify import kind_of
from memorial_tasks.steps import output_gate, seal
from memorial_tasks.steps.contract import SigningCredential, StepContext
from memorial_tasks.video.shots import Shot
from memorial_tasks.video.vr180 import VrShot

PARAMS = {
    "content_id": "MS-order-1",
    "producer_code": "0" * 27,
    "consent_ref": "consent-7",
    "purpose": "family_private",
    "created_at": datetime(2026, 11, 20, tzinfo=UTC).isoformat(),
}


@pytest.fixture(scope="module")
def made(bench, tools, tmp_path_factory):
    """The seal step over a film and its rendition for a headset, with sound and stills asked for."""
    root = tmp_path_factory.mktemp("renditions")
    (root / "in").mkdir()
    (root / "out").mkdir()
    (root / "in/film.mp4").write_bytes(bench.film.read_bytes())
    VrShot(root / "in/film.mp4", eye=720)(Shot(0, 0, 40), root / "in/film-vr180.mp4")
    tools.write_film(root / "in/film-vertical.mp4", 1.5, size=(540, 960))
    c = bench.credential
    context = StepContext(
        "order-1", root / "in", root / "out", root, 0, lambda fraction, message: None, assets=bench.assets,
        signing=SigningCredential(c.chain_pem, c.key_pem, c.anchors_pem), watermark_key=bench.key,
    )  # fmt: skip
    metrics = seal.run(context, seal.Params(**PARAMS, extracts=("audio", "stills")))
    return root / "out", metrics


def test_all_of_them_are_sealed_and_verified(made, bench):
    out, metrics = made
    assert metrics["verified"] is True
    assert metrics["renditions"] == ["vertical", "vr180"]
    assert json.loads((out / "seal.json").read_text())["renditions"]["vr180"]["verification"]["verified"] is True
    assert bench.verify(out / "film-vr180.mp4").verified
    assert bench.verify(out / "film-vertical.mp4").verified
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]


def _spherical(path: Path) -> dict[str, bytes]:
    """An own reader of the boxes, written from the Spherical Video V2 RFC and ISO/IEC 14496-12, sharing no code with
    the writer: sizes are followed from the top of the file down to the boxes after the sample entry's 78 bytes."""
    data, found = path.read_bytes(), {}

    def walk(low: int, high: int, trail: str) -> None:
        while low + 8 <= high:
            size, name = struct.unpack(">I4s", data[low : low + 8])
            head = 8
            if size == 1:
                size, head = struct.unpack(">Q", data[low + 8 : low + 16])[0], 16
            assert 8 <= size <= high - low, "a box is longer than what holds it"
            here = f"{trail}/{name.decode('latin-1')}"
            inner = {"moov": 0, "trak": 0, "mdia": 0, "minf": 0, "stbl": 0, "stsd": 8, "avc1": 78, "sv3d": 0, "proj": 0}
            if name.decode("latin-1") in inner:
                walk(low + head + inner[name.decode("latin-1")], low + size, here)
            elif "avc1/" in here:
                found[here.split("avc1/")[1]] = data[low + head : low + size]
            low += size

    walk(0, len(data), "")
    return found


def test_the_spherical_metadata_are_right_under_the_signature(made):
    found = _spherical(made[0] / "film-vr180.mp4")
    assert found["st3d"] == bytes([0, 0, 0, 0, 2]), "left-right"
    assert found["sv3d/proj/prhd"] == bytes(4 + 12), "looking straight ahead"
    top, bottom, left, right = struct.unpack(">IIII", found["sv3d/proj/equi"][4:])
    assert (top, bottom, left, right) == (0, 0, 1 << 30, 1 << 30), "half a sphere"
    assert found["sv3d/svhd"][4:].endswith(b"\0")
    with av.open(str(made[0] / "film-vr180.mp4")) as film:  # and FFmpeg, whose demuxer nobody here wrote
        sides = {str(one.type).rsplit(".", 1)[-1].upper() for one in next(film.decode(video=0)).side_data}
    assert {"SPHERICAL", "STEREO3D"} <= sides
    assert boxes.is_stereo(made[0] / "film-vr180.mp4")
    assert not boxes.is_stereo(made[0] / "film.mp4")


def test_both_eyes_see_the_label(made, bench):
    plan = label.stereo_layout(bench.assets, 1440, 720, "MS-order-1")
    with av.open(str(made[0] / "film-vr180.mp4")) as film:
        shots = [frame.to_ndarray(format="gray") for _, frame in zip(range(80), film.decode(video=0), strict=False)]
    for line in (plan.corner, plan.twin):
        assert label.line_score(shots[79], line) >= label.SEEN
        shift = cv2.warpAffine(shots[79], np.float32([[1, 0, 40], [0, 1, 25]]), (1440, 720))
        assert label.line_score(shift, line) < label.SEEN
    assert all(label.line_score(shots[25], line) >= label.SEEN for line in plan.opening)
    assert len(plan.opening) == 4


def test_a_headset_film_whose_label_only_one_eye_sees_is_not_verified(made, bench, tmp_path):
    VrShot(bench.film, eye=720)(Shot(0, 0, 5), tmp_path / "bare.mp4")
    assert not bench.verify(tmp_path / "bare.mp4").verified


def test_the_sound_alone_keeps_notice_key_manifest_and_watermark(made, bench, tmp_path):
    path = made[0] / "audio.m4a"
    assert kind_of(path) == "sound"
    found = bench.verify(path)
    assert [layer for layer in found.missing if layer != "watermark"] == []
    assert found.content_id == "MS-order-1"
    with av.open(str(path)) as sound, av.open(str(made[0] / "film.mp4")) as film:
        assert not sound.streams.video
        assert sound.duration / 1e6 == pytest.approx(film.duration / 1e6, abs=0.2)
    broken = bytearray(path.read_bytes())
    broken[-2000] ^= 255
    (tmp_path / "broken.m4a").write_bytes(broken)
    assert not bench.verify(tmp_path / "broken.m4a").c2pa.ok
    assert not bench.verify(path, content_id="MS-order-2").verified


def test_stills_carry_label_key_manifest_and_watermark(made, bench, tmp_path):
    stills = sorted((made[0] / "stills").iterdir())
    assert len(stills) == seal.STILLS
    for path in stills:
        assert kind_of(path) == "still"
        found = bench.verify(path)
        assert found.verified, found
    with Image.open(stills[0]) as image:
        bare = image.convert("RGB")
    bare.save(tmp_path / "bare.png")
    stripped = bench.verify(tmp_path / "bare.png", content_id="MS-order-1")
    assert stripped.missing == ("aigc", "c2pa")
    unlabelled = np.asarray(bare).copy()
    unlabelled[:120, unlabelled.shape[1] // 2 :] = 90
    Image.fromarray(unlabelled).save(tmp_path / "cut.png")
    assert "label" in bench.verify(tmp_path / "cut.png", content_id="MS-order-1").missing
    twice = png.SIGNATURE + stills[0].read_bytes()[8:33]
    body = b"AIGC\0" + b"{}"
    extra = struct.pack(">I4s", len(body), b"tEXt") + body + struct.pack(">I", zlib.crc32(b"tEXt" + body))
    (tmp_path / "twice.png").write_bytes(twice + extra + stills[0].read_bytes()[33:])
    assert "2 AIGC labels" in bench.verify(tmp_path / "twice.png").aigc.detail
    assert not bench.verify(tmp_path / "twice.png").c2pa.ok, "a chunk was added after signing"


def test_pictures_and_sounds_from_anywhere_are_a_no_and_never_an_error(bench, tmp_path):
    lying = png.SIGNATURE + struct.pack(">I4s", 1 << 31, b"iTXt") + b"x" * 50
    (tmp_path / "lying.png").write_bytes(lying)
    Image.new("RGB", (400, 300), (9, 9, 9)).save(tmp_path / "plain.png")
    (tmp_path / "short.png").write_bytes(png.SIGNATURE)
    for path in tmp_path.glob("*.png"):
        assert len(bench.verify(path).missing) == 4, path
    assert bench.verify(bench.film).missing


def test_the_output_gate_reads_every_one_of_them(made, bench, tools, tmp_path):
    c = bench.credential
    shutil.copytree(made[0], tmp_path / "in")
    context = StepContext(
        "order-1", tmp_path / "in", tmp_path, tmp_path, 0, lambda fraction, message: None, assets=bench.assets,
        signing=SigningCredential(c.chain_pem, c.key_pem, c.anchors_pem), watermark_key=bench.key,
    )  # fmt: skip
    codes = {finding.code for finding in output_gate._renditions(context, "MS-order-1")}
    assert codes <= {"rendition.length", "rendition.sound", "rendition.watermark"}, "these films are not equally long"
    assert "rendition.length" in codes
    tools.remux(made[0] / "film-vertical.mp4", tmp_path / "in/film-vertical.mp4")
    (tmp_path / "in/stills/still-01.png").write_bytes((made[0] / "stills/still-02.png").read_bytes()[:-40])
    found = output_gate._renditions(context, "MS-order-1")
    grave = {(one.code, one.what.split(":")[0]) for one in found if one.severity == "critical"}
    assert {("rendition.c2pa", "film-vertical.mp4"), ("rendition.c2pa", "stills/still-01.png")} <= grave
