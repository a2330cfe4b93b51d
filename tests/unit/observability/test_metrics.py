"""From rows to samples to text and OTLP: closed labels, true kinds, one name in every place."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import Unavailable
from memorial_tasks.observability.export import openmetrics, otlp, push, server
from memorial_tasks.observability.metrics import BUCKETS, BY_NAME, METRICS, Counted, Durations, Snapshot, samples

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = ("Großmutter Lili", "lili-schmidt.jpg", 'a"} evil{x="', "demo-2026-001\n", "我爱你们", "../../etc/passwd")

FULL = Snapshot(
    orders=[Counted(("running",), 3), Counted(("delivered",), 8)],
    late=1,
    queue_age=12.5,
    runs=[Counted(("speak", "done"), 4), Counted(("speak", "failed"), 1)],
    durations=[Durations("speak", (0, 1, 3, 4, 4, 4, 4, 4, 4, 4), 4, 40.5)],
    retries=[Counted(("speak",), 2)],
    gpu_minutes=[Counted(("train_face", "NVIDIA H100 80GB HBM3"), 7.25)],
    consent_events=[Counted(("given",), 5)],
    decisions=[Counted(("granted",), 9), Counted(("refused",), 2)],
    findings=[Counted(("quality_gate", "photo.blurred", "warning"), 6)],
    gates=[Counted(("quality_gate", "passed"), 7), Counted(("quality_gate", "closed"), 1)],
    reviews=[Counted(("film", "approved"), 4)],
    deliveries=[Counted(("live",), 4)],
    audit_entries=321,
    checkpoint_age=60.0,
    anchor_age=61.0,
)


def test_every_state_is_there_even_with_no_order_in_it() -> None:
    found = {s.labels["state"]: s.value for s in samples(Snapshot()) if s.metric.name == "memorial_orders"}
    assert found == {state.value: 0 for state in OrderState}


@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_a_family_wrote_becomes_a_label(value: str) -> None:
    row = [Counted((value,), 1)]
    pair, three = [Counted((value, value), 1)], [Counted((value, value, value), 1)]
    snapshot = Snapshot(
        orders=row, runs=pair, durations=[Durations(value, (0,) * len(BUCKETS), 1, 1.0)], retries=row,
        gpu_minutes=pair, consent_events=row, decisions=row, findings=three, gates=pair, reviews=pair, deliveries=row,
    )  # fmt: skip
    found = samples(snapshot)
    assert {label for sample in found for label in sample.labels.values()} <= {"other", *OrderState}
    assert value not in openmetrics(found)
    sent = otlp(found, 2, 1)
    assert json.dumps(value)[1:-1] not in sent.to_json()


def test_rows_that_fall_together_are_added_up() -> None:
    found = samples(Snapshot(reviews=[Counted(("Oma", "x y"), 2), Counted(("Opa!", "z z"), 3)]))
    reviews = [(dict(s.labels), s.value) for s in found if s.metric.name == "memorial_reviews"]
    assert reviews == [({"matter": "other", "decision": "other"}, 5)]


_LINE = re.compile(r'([a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*\})? (-?[0-9.e+]+)')


def test_the_text_is_what_openmetrics_asks_for() -> None:
    text = openmetrics(samples(FULL))
    assert text.endswith("# EOF\n")
    current = ""
    for line in text.splitlines()[:-1]:
        if line.startswith("# TYPE "):
            current = line.split()[2]
            continue
        if line.startswith("# HELP "):
            assert line.split()[2] == current
            continue
        match = _LINE.fullmatch(line)
        assert match, line
        suffix = match[1].removeprefix(current)
        allowed = {"gauge": {""}, "counter": {"_total"}, "histogram": {"_bucket", "_count", "_sum"}}
        assert suffix in allowed[BY_NAME[current].kind], line
    assert 'memorial_gpu_minutes_total{step="train_face",gpu="NVIDIA H100 80GB HBM3"} 7.25' in text
    assert 'memorial_step_duration_seconds_bucket{step="speak",le="+Inf"} 4' in text
    assert 'memorial_step_duration_seconds_sum{step="speak"} 40.5' in text


def test_every_metric_of_the_table_is_announced_and_filled() -> None:
    text = openmetrics(samples(FULL))
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
        assert re.search(rf"^{metric.name}(_total|_count)?(\{{| )", text, re.MULTILINE), metric.name


class Collector(BaseHTTPRequestHandler):
    """Stands for an OpenTelemetry collector, which is a program of its own: takes one request and keeps it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, self.headers.get("Content-Encoding"), body))  # type: ignore[attr-defined]
        self.send_response(self.server.answer)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Any:
    running = HTTPServer(("127.0.0.1", 0), Collector)
    running.taken, running.answer = [], 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_collector_gets_the_same_numbers(collector: Any) -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    push(samples(FULL), f"http://127.0.0.1:{collector.server_port}/")
    path, encoding, body = collector.taken[0]
    assert (path, encoding) == ("/v1/metrics", None)
    request = ExportMetricsServiceRequest.FromString(body)
    metrics = {m.name: m for m in request.resource_metrics[0].scope_metrics[0].metrics}
    assert set(metrics) == set(BY_NAME)
    assert metrics["memorial_gpu_minutes"].sum.is_monotonic
    assert metrics["memorial_gpu_minutes"].sum.data_points[0].as_double == 7.25
    histogram = metrics["memorial_step_duration_seconds"].histogram.data_points[0]
    assert (histogram.count, histogram.sum) == (4, 40.5)
    assert list(histogram.explicit_bounds) == list(BUCKETS)
    assert sum(histogram.bucket_counts) == 4


def test_a_collector_that_refuses_is_an_error_that_names_the_setting(collector: Any) -> None:
    collector.answer = 400
    with pytest.raises(Unavailable, match="MEMORIAL_OTEL_ENDPOINT"):
        push(samples(FULL), f"http://127.0.0.1:{collector.server_port}", seconds=2)


def test_the_address_for_scrapers_asks_the_database_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def collect() -> Any:
        nonlocal asked
        asked += 1
        return samples(FULL)

    running = server(collect, "127.0.0.1", 0)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{running.server_address[1]}"
    try:
        for _ in range(3):
            answer = httpx.get(f"{address}/metrics", trust_env=False)
            assert answer.text.endswith("# EOF\n")
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert httpx.get(f"{address}/other", trust_env=False).status_code == 404
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
    assert asked == 1


def test_a_scraper_learns_that_reading_failed_and_not_with_what() -> None:
    def broken() -> Any:
        raise RuntimeError("Großmutter Lili")

    running = server(broken, "127.0.0.1", 0)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        failed = httpx.get(f"http://127.0.0.1:{running.server_address[1]}/metrics", trust_env=False)
        assert failed.status_code == 503
        assert "RuntimeError" in failed.text
        assert "Lili" not in failed.text
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
