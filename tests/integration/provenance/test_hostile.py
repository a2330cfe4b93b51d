"""Files that mean harm get the answer no: no crash, no request, no other file opened."""

import http.server
import json
import threading
import time

import c2pa
import numpy as np
import pytest

from memorial_tasks.errors import Unavailable
from memorial_tasks.provenance import manifest
from memorial_tasks.provenance.manifest import Claim
from memorial_tasks.provenance.verify import verify_apart


@pytest.fixture
def listener():
    """A server on loopback that remembers what was asked of it."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def nothing(bench, path):
    seen = bench.verify(path)
    assert seen.missing == ("label", "aigc", "c2pa", "watermark")
    return seen


@pytest.mark.parametrize("head", [b"", b"\0\0\0\x18ftypisom\0\0\0\0isommp41"])
def test_a_playlist_is_not_followed(bench, tmp_path, listener, head):
    address, asked = listener
    path = tmp_path / "film.mp4"
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}/a.ts\n#EXTINF:9,\nfile:///etc/hostname\n"
    path.write_bytes(head + text.encode())
    nothing(bench, path)
    assert asked == []


def test_a_remote_manifest_is_not_fetched(bench, tmp_path, listener):
    address, asked = listener
    r = bench.request
    claim = Claim(r.content_id, r.consent_ref, r.purpose, r.audit_ref, r.created_at)
    credential = bench.credential
    builder = c2pa.Builder(json.dumps(manifest.describe(claim)))
    builder.set_no_embed()
    builder.set_remote_url(f"{address}/manifest.c2pa")
    signer = c2pa.Signer.from_callback(
        manifest._sign_with(credential.key_pem), c2pa.C2paSigningAlg.ES256, credential.chain_pem
    )
    path = tmp_path / "remote.mp4"
    with bench.film.open("rb") as file, path.open("w+b") as out:
        builder.sign(signer, "video/mp4", file, out)
    assert address.encode() in path.read_bytes()  # the trap is set
    assert manifest.read(path, credential.anchors_pem).state == "none"
    assert "c2pa" in bench.verify(path).missing
    assert asked == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"not a film at all",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp41",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + bytes(5000),
        b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + np.random.default_rng(0).bytes(20000),
        b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100),
    ],
    ids=["empty", "one byte", "text", "header only", "zeros", "noise", "jpeg"],
)
def test_what_is_no_film(bench, tmp_path, data):
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    nothing(bench, path)


def test_absent_folder_and_link_to_nowhere(bench, tmp_path):
    nothing(bench, tmp_path)
    nothing(bench, tmp_path / "absent.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere")
    nothing(bench, tmp_path / "link.mp4")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_truncated(bench, tmp_path, share):
    data = bench.sealed.read_bytes()
    path = tmp_path / "short.mp4"
    path.write_bytes(data[: int(len(data) * share)])
    assert not bench.verify(path).verified
    assert "c2pa" in bench.verify(path).missing


def test_two_films_in_one_file(bench, tmp_path):
    path = tmp_path / "double.mp4"
    path.write_bytes(bench.sealed.read_bytes() * 2)
    assert not bench.verify(path).verified


def test_damaged_headers_never_crash_or_hang(bench, tmp_path):
    data = bench.sealed.read_bytes()
    end = data.index(b"mdat")
    rng = np.random.default_rng(11)
    path = tmp_path / "damaged.mp4"
    for _ in range(24):
        broken = bytearray(data)
        for at in rng.integers(8, end, rng.integers(1, 12)):
            broken[at] = rng.integers(0, 256)
        path.write_bytes(broken)
        start = time.monotonic()
        seen = bench.verify(path)
        assert time.monotonic() - start < 20
        assert isinstance(seen.verified, bool)
        assert not seen.c2pa.ok or bytes(broken) == data or seen.verified


def test_a_process_of_its_own_gives_the_same_answer(bench, tmp_path):
    given = {"anchors_pem": bench.credential.anchors_pem, "watermark_key": bench.key, "assets": bench.assets}
    assert verify_apart(bench.sealed, **given) == bench.verify(bench.sealed)
    with pytest.raises(Unavailable, match="memorial init"):
        verify_apart(bench.sealed, **{**given, "assets": tmp_path})


def test_a_decoder_that_dies_or_hangs_means_no(bench, tmp_path, monkeypatch):
    given = {"anchors_pem": "", "watermark_key": b"", "assets": bench.assets}
    seen = verify_apart(bench.sealed, **given, timeout_s=0.01)
    assert seen.missing == ("label", "aigc", "c2pa", "watermark")
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert "failed" in verify_apart(bench.sealed, **given).label.detail
