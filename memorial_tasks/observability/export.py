"""Handing the samples on: OpenMetrics text for whoever scrapes, OTLP over HTTP for whoever collects.

Both carry the same names; OTLP has no ``_total`` suffix (an OpenTelemetry collector that writes to Prometheus adds it).
"""

import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from memorial_tasks.errors import Unavailable
from memorial_tasks.observability.metrics import BUCKETS, METRICS, Sample

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def openmetrics(found: Sequence[Sample]) -> str:
    """The samples as text (OpenMetrics 1.0). Every metric of the table is announced, also one without a sample."""
    lines: list[str] = []
    for metric in METRICS:
        lines += [f"# TYPE {metric.name} {metric.kind}", f"# HELP {metric.name} {metric.help}."]
        for sample in found:
            if sample.metric is metric:
                lines += _lines(sample)
    return "\n".join([*lines, "# EOF", ""])


def _lines(sample: Sample) -> list[str]:
    name, labels = sample.metric.name, dict(sample.labels)
    if sample.metric.kind != "histogram":
        return [f"{name}{'_total' if sample.metric.kind == 'counter' else ''}{_labels(labels)} {sample.value:.10g}"]
    limits = [f"{limit:.1f}" for limit in BUCKETS] + ["+Inf"]
    counts = [*sample.buckets, sample.count]
    made = [f"{name}_bucket{_labels({**labels, 'le': le})} {count}" for le, count in zip(limits, counts, strict=True)]
    return [*made, f"{name}_count{_labels(labels)} {sample.count}", f"{name}_sum{_labels(labels)} {sample.value:.10g}"]


def _labels(labels: dict[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def otlp(found: Sequence[Sample], now_ns: int, started_ns: int) -> Any:
    """The samples as OpenTelemetry's own records (``opentelemetry.sdk.metrics.export.MetricsData``)."""
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    def point(sample: Sample) -> Any:
        return sdk.NumberDataPoint(dict(sample.labels), started_ns, now_ns, sample.value)

    def histogram(sample: Sample) -> Any:
        apart = [b - a for a, b in zip((0, *sample.buckets), (*sample.buckets, sample.count), strict=True)]
        return sdk.HistogramDataPoint(
            dict(sample.labels), started_ns, now_ns, sample.count, sample.value, apart, BUCKETS, 0.0, 0.0
        )

    cumulative = sdk.AggregationTemporality.CUMULATIVE
    metrics = []
    for metric in METRICS:
        mine = [sample for sample in found if sample.metric is metric]
        data: Any
        if metric.kind == "gauge":
            data = sdk.Gauge([point(sample) for sample in mine])
        elif metric.kind == "counter":
            data = sdk.Sum([point(sample) for sample in mine], cumulative, True)
        else:
            data = sdk.Histogram([histogram(sample) for sample in mine], cumulative)
        unit = "s" if metric.name.endswith("_seconds") else "1"
        metrics.append(sdk.Metric(metric.name, metric.help, unit, data))
    scope = sdk.ScopeMetrics(InstrumentationScope("memorial_tasks.observability"), metrics, "")
    resource = Resource.create({"service.name": "memorial-studio"})
    return sdk.MetricsData([sdk.ResourceMetrics(resource, [scope], "")])


def push(found: Sequence[Sample], endpoint: str, *, seconds: float = 10.0) -> None:
    """Send the samples once to an OTLP collector, ``http://collector:4318``.

    Counters start at nought when the registry does, so the epoch is given as their beginning.

    Raises:
        Unavailable: the collector did not take them.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import MetricExportResult

    exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=seconds)
    try:
        answer = exporter.export(otlp(found, time.time_ns(), 1), timeout_millis=1000 * seconds)
    finally:
        exporter.shutdown()
    if answer is not MetricExportResult.SUCCESS:
        raise Unavailable(
            "the collector did not take the metrics", where=endpoint, remedy="check MEMORIAL_OTEL_ENDPOINT"
        )


def server(collect: Callable[[], Sequence[Sample]], host: str, port: int, *, keep: float = 10.0) -> ThreadingHTTPServer:
    """An HTTP server that answers ``GET /metrics``; `keep` seconds long with the same text, so that many scrapers cost
    the database no more than one. The caller runs it (`serve_forever`) and closes it."""
    lock = threading.Lock()
    kept, fresh_until = "", 0.0

    def text() -> str:
        nonlocal kept, fresh_until
        with lock:
            if time.monotonic() >= fresh_until:
                kept, fresh_until = openmetrics(collect()), time.monotonic() + keep
            return kept

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            try:
                body = text().encode()
            except Exception as error:  # a scraper must see that it failed, not what with
                self.send_error(503, explain=type(error).__name__)
                return
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """A scrape every few seconds is not news."""

    return ThreadingHTTPServer((host, port), Handler)
