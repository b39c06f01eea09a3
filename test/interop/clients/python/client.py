"""Sends one trace with the OpenTelemetry Python SDK and prints what it sent as one line of JSON.

Usage: client.py grpc|http ENDPOINT   (environment: PLANTED_EMAIL, PLANTED_CARD, optional EXPORT_TIMEOUT_S)
       client.py remarshal IN OUT    reads an ExportTraceServiceRequest and writes it again
"""

import json
import os
import sys
import time

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult, SpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

if sys.argv[1] == "remarshal":
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with open(sys.argv[2], "rb") as given, open(sys.argv[3], "wb") as out:
        out.write(ExportTraceServiceRequest.FromString(given.read()).SerializeToString())
    sys.exit()

PROTOCOL, ENDPOINT = sys.argv[1:3]
EMAIL = os.environ["PLANTED_EMAIL"]
CARD = os.environ["PLANTED_CARD"]
TIMEOUT_S = int(os.environ.get("EXPORT_TIMEOUT_S", "10"))


def exporter() -> SpanExporter:
    if PROTOCOL == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(
            endpoint=ENDPOINT, insecure=True, timeout=TIMEOUT_S, compression=Compression.Gzip
        )
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(
        endpoint=f"{ENDPOINT}/v1/traces", timeout=TIMEOUT_S, compression=Compression.Gzip
    )


class Recording(SpanExporter):
    """Passes spans on and remembers what the real exporter answered."""

    def __init__(self, inner: SpanExporter):
        self.inner = inner
        self.results = []

    def export(self, spans):
        result = self.inner.export(spans)
        self.results.append(result == SpanExportResult.SUCCESS)
        return result

    def shutdown(self):
        self.inner.shutdown()


recording = Recording(exporter())
provider = TracerProvider(resource=Resource.create({"service.name": "interop-python"}))
provider.add_span_processor(SimpleSpanProcessor(recording))
tracer = provider.get_tracer("interop", "1.0.0")
started = time.monotonic()
ids = []


def remember(span):
    context = span.get_span_context()
    ids.append([format(context.trace_id, "032x"), format(context.span_id, "016x")])
    return context


with tracer.start_as_current_span(
    "POST /checkout",
    kind=SpanKind.SERVER,
    attributes={
        "user.email": EMAIL,
        "url.full": f"https://shop.example/pay?card={CARD}&currency=EUR",
        "compliance.framework": "gdpr",
        "compliance.control": "art-32",
        "http.response.status_code": 200,
        "sampling.ratio": 0.25,
        "cache.hit": True,
        "recipients": [f"first {EMAIL}", "second"],
    },
) as parent:
    parent_context = remember(parent)
    with tracer.start_as_current_span("charge", kind=SpanKind.CLIENT) as child:
        remember(child)
        child.set_attribute("compliance.evidence", "charged")
        child.add_event("card declined", {"exception.message": f"card {CARD} of {EMAIL} declined"})
        child.set_status(Status(StatusCode.ERROR, f"declined for {EMAIL}"))

with tracer.start_as_current_span(
    "settle",
    context=trace.set_span_in_context(trace.INVALID_SPAN),
    links=[Link(parent_context, {"settled.for": EMAIL})],
) as linked:
    remember(linked)
    linked.set_attribute("batch.size", 3)

provider.shutdown()
print(
    json.dumps(
        {"spans": ids, "accepted": all(recording.results), "ms": round((time.monotonic() - started) * 1000)}
    )
)
