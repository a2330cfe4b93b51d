"""Each layer, taken away singly, makes verification fail and be named; what nobody took away is still found."""

import hashlib
import json

import av
import cv2
import numpy as np
import pytest

from memorial_tasks.errors import InputRefused, IntegrityError
from memorial_tasks.provenance import aigc, authority, label, manifest, watermark
from memorial_tasks.provenance import seal as sealing
from memorial_tasks.provenance.manifest import Claim


def sign_again(bench, unsigned, name):
    """What an insider with the signing key can do."""
    target = bench.folder / name
    r = bench.request
    claim = Claim(r.content_id, r.consent_ref, r.purpose, r.audit_ref, r.created_at)
    manifest.sign(unsigned, target, claim, bench.credential)
    return target


def test_a_sealed_film_is_verified(bench):
    seen = bench.verify(bench.sealed)
    assert seen.verified, seen
    assert seen.content_id == "MS-order-1"
    assert bench.verify(bench.sealed, content_id="MS-order-1").verified
    assert json.loads(json.dumps(seen.as_dict()))["verified"] is True


def test_the_report_says_what_is_in_the_file(bench):
    report = bench.report
    assert report.sha256 == hashlib.sha256(bench.sealed.read_bytes()).hexdigest()
    assert report.lead_in == 3.0
    assert report.frames == 75 + 100 + 63
    assert report.corner_ink >= 0.05
    assert report.card_ink >= 0.07
    assert report.watermark_psnr > 41
    with av.open(str(bench.sealed)) as container:
        assert abs(container.duration / 1e6 - report.duration) < 0.1
        sound = container.streams.audio[0]
        assert abs(float(sound.duration * sound.time_base) - report.duration) < 0.1


def test_nothing_but_the_film_is_left_behind(bench):
    assert not [path.name for path in bench.folder.iterdir() if path.name.startswith(".")]


def test_the_film_itself_comes_after_the_card_in_sound_and_picture(bench):
    def loudness(path):
        with av.open(str(path)) as container:
            parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        wave = np.concatenate(parts)
        return np.array([np.sqrt(np.mean(wave[i : i + 480] ** 2)) for i in range(0, len(wave) - 480, 480)])

    before, after = loudness(bench.film), loudness(bench.sealed)
    shifts = range(280, 320)
    best = max(shifts, key=lambda s: np.corrcoef(before[:390], after[s : s + 390])[0, 1])
    assert abs(best - 300) <= 1  # 3.00 s, in hundredths
    with av.open(str(bench.film)) as one, av.open(str(bench.sealed)) as two:
        plain = [frame.to_ndarray(format="gray") for frame in one.decode(video=0)]
        sealed = [frame.to_ndarray(format="gray") for frame in two.decode(video=0)]
    errors = [
        np.mean((sealed[75 + shift + 40][200:500].astype(float) - plain[40][200:500]) ** 2) for shift in (-1, 0, 1)
    ]
    assert np.argmin(errors) == 1
    assert errors[1] < 20


def test_subtitles_are_there_later_and_in_their_language(bench):
    with av.open(str(bench.sealed)) as container:
        streams = container.streams.subtitles
        assert [stream.metadata["language"] for stream in streams] == ["chi", "eng"]
        packets = [(p.pts, p.duration, bytes(p)[2:].decode()) for p in container.demux(streams[0]) if p.size > 2]
    assert packets == [(3500, 1500, "湖边的早晨")]


def test_only_our_own_aigc_label_is_in_the_film(bench):
    assert aigc.read(bench.film).count == 1  # one came in with the material
    reading = aigc.read(bench.sealed)
    assert reading.count == 1
    assert reading.label.label == "1"


def test_manifest_removed_by_a_careful_remux(bench, tools):
    path = tools.remux(bench.sealed, bench.folder / "remux.mp4", "+faststart+use_metadata_tags")
    assert bench.verify(path).missing == ("c2pa",)


def test_aigc_removed_and_signed_again(bench, tools):
    path = tools.remux(bench.sealed, bench.folder / "no-aigc.mp4", "+faststart", keep=False)
    assert bench.verify(path).missing == ("aigc", "c2pa")
    assert bench.verify(sign_again(bench, path, "no-aigc-signed.mp4")).missing == ("aigc",)


def test_aigc_rewritten(bench):
    data = bench.sealed.read_bytes()
    assert data.count(b'"ProduceID":"MS-order-1"') == 1
    path = bench.folder / "rewritten.mp4"
    path.write_bytes(data.replace(b'"ProduceID":"MS-order-1"', b'"ProduceID":"MS-order-2"'))
    seen = bench.verify(path)
    assert "aigc" in seen.missing
    assert "c2pa" in seen.missing
    assert "another content id" in seen.aigc.detail


@pytest.mark.parametrize("layer", ["corner", "opening", "ending", "sound", "watermark"])
def test_a_layer_never_written_stops_the_seal_and_is_named(bench, monkeypatch, layer):
    class Unlabelled(label.Labeller):
        def corner(self, frame):
            if layer != "corner":
                super().corner(frame)

        def opening(self, first, frames, fps):
            return [first.copy() for _ in range(frames)] if layer == "opening" else super().opening(first, frames, fps)

        def ending(self, last, frames, fps):
            return [last.copy() for _ in range(frames)] if layer == "ending" else super().ending(last, frames, fps)

    monkeypatch.setattr(label, "Labeller", Unlabelled)
    if layer == "sound":
        monkeypatch.setattr(
            label, "opening_sound", lambda rate, seconds=3.0: np.zeros(round(rate * seconds), np.float32)
        )
    if layer == "watermark":
        monkeypatch.setattr(watermark.Embedder, "__call__", lambda self, luma: luma.copy())
    name = "watermark" if layer == "watermark" else "label"
    with pytest.raises(IntegrityError, match=f"lacks {name}"):
        bench.seal(f"{layer}.mp4")
    assert not (bench.folder / f"{layer}.mp4").exists()
    # ... and were such a film let out all the same, this one layer alone would be missing from it
    monkeypatch.setattr(sealing, "_require", lambda *args: None)
    bench.seal(f"{layer}.mp4")
    seen = bench.verify(bench.folder / f"{layer}.mp4")
    assert seen.missing == (name,)
    words = {"corner": "corner", "opening": "opening", "ending": "end card", "sound": "audible"}
    assert words.get(layer, "not found") in getattr(seen, name).detail


def test_transcoding_keeps_what_people_see_and_the_watermark(bench, tools):
    path = tools.reencode(
        bench.sealed, bench.folder / "small.mp4", lambda i: cv2.resize(i, (640, 360), interpolation=cv2.INTER_AREA), 24
    )
    seen = bench.verify(path)
    assert seen.missing == ("c2pa",), seen


def test_cropping_the_label_away_leaves_the_watermark(bench, tools):
    path = tools.reencode(bench.sealed, bench.folder / "cropped.mp4", lambda i: i[90:, :820])
    seen = bench.verify(path, content_id="MS-order-1")
    assert seen.missing == ("label", "c2pa"), seen


def test_painting_over_the_label_is_noticed(bench, tools):
    def paint(image):
        image = image.copy()
        image[10:80, 780:] = image[100:170, 780:]
        return image

    seen = bench.verify(tools.reencode(bench.sealed, bench.folder / "painted.mp4", paint))
    assert seen.missing == ("label", "c2pa")
    assert "corner" in seen.label.detail


def test_any_changed_byte_of_the_media_breaks_the_manifest(bench):
    data = bytearray(bench.sealed.read_bytes())
    rng = np.random.default_rng(4)
    start = data.index(b"mdat")
    path = bench.folder / "flipped.mp4"
    for at in rng.integers(start + 8, len(data), 12):
        broken = data.copy()
        broken[at] ^= 0x10
        path.write_bytes(broken)
        assert manifest.read(path, bench.credential.anchors_pem).state == "Invalid"
    assert "c2pa" in bench.verify(path).missing


def test_an_unmarked_film_is_none_of_it(bench):
    seen = bench.verify(bench.film)
    assert seen.missing == ("label", "aigc", "c2pa", "watermark")


def test_wrong_key_no_key_wrong_anchors_wrong_id(bench, tmp_path):
    assert bench.verify(bench.sealed, watermark_key=bytes(32)).missing == ("watermark",)
    assert bench.verify(bench.sealed, watermark_key=b"").missing == ("watermark",)
    stranger = authority.create_authority(tmp_path)
    seen = bench.verify(bench.sealed, anchors_pem=stranger.anchors_pem)
    assert seen.missing == ("c2pa",)
    assert "trusted anchors" in seen.c2pa.detail
    assert bench.verify(bench.sealed, content_id="MS-order-2").missing == ("aigc", "c2pa", "watermark")
    assert "label" in bench.verify(bench.sealed, content_id="MS-somebody-else").missing


def test_a_silent_film_at_thirty_frames_is_sealed_too(bench, tools):
    film = tools.write_film(bench.folder / "silent.mp4", 1.5, sound=False, fps=30)
    report = bench.seal("silent-sealed.mp4", film, subtitles={})
    assert report.verification.verified
    assert report.frames == 90 + 45 + 75
    assert report.subtitles == ()


def test_what_may_not_be_sealed(bench):
    with pytest.raises(InputRefused) as error:
        bench.seal("never.mp4", profile="production", content_id="with space", producer_code="123")
    codes = [problem.code for problem in error.value.problems]
    assert codes[0] == "signing.development"
    assert {problem.field for problem in error.value.problems} >= {"ProduceID", "ContentProducer"}
    with pytest.raises(InputRefused, match="placeholder"):
        bench.seal("never.mp4", profile="production")
    empty = bench.folder / "empty.mp4"
    empty.touch()
    with pytest.raises(InputRefused, match="not an MP4"):
        bench.seal("never.mp4", empty)
    assert not (bench.folder / "never.mp4").exists()
