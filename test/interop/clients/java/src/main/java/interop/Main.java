package interop;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;

/**
 * Sends one trace with the OpenTelemetry Java SDK and prints what it sent as one line of JSON.
 *
 * <p>Usage: Main grpc|http ENDPOINT (environment: PLANTED_EMAIL, PLANTED_CARD, optional EXPORT_TIMEOUT_S), or Main
 * remarshal IN OUT, which reads an ExportTraceServiceRequest and writes it again
 */
public final class Main {
  private static final String EMAIL = System.getenv("PLANTED_EMAIL");
  private static final String CARD = System.getenv("PLANTED_CARD");

  /** Passes spans on and remembers what the real exporter answered. */
  private static final class Recording implements SpanExporter {
    private final SpanExporter inner;
    private final List<CompletableResultCode> results = new CopyOnWriteArrayList<>();

    Recording(SpanExporter inner) {
      this.inner = inner;
    }

    @Override
    public CompletableResultCode export(Collection<SpanData> spans) {
      CompletableResultCode result = inner.export(spans);
      results.add(result);
      return result;
    }

    @Override
    public CompletableResultCode flush() {
      return inner.flush();
    }

    @Override
    public CompletableResultCode shutdown() {
      return inner.shutdown();
    }

    boolean accepted() {
      return !results.isEmpty() && results.stream().allMatch(CompletableResultCode::isSuccess);
    }
  }

  public static void main(String[] args) throws Exception {
    if (args[0].equals("remarshal")) {
      byte[] given = Files.readAllBytes(Path.of(args[1]));
      Files.write(Path.of(args[2]), ExportTraceServiceRequest.parseFrom(given).toByteArray());
      return;
    }
    String limit = System.getenv("EXPORT_TIMEOUT_S");
    Duration timeout = Duration.ofSeconds(limit == null ? 10 : Long.parseLong(limit));
    Recording exporter = new Recording(newExporter(args[0], args[1], timeout));
    long started = System.nanoTime();
    SdkTracerProvider provider =
        SdkTracerProvider.builder()
            .setResource(Resource.create(Attributes.of(AttributeKey.stringKey("service.name"), "interop-java")))
            .addSpanProcessor(BatchSpanProcessor.builder(exporter).setExporterTimeout(timeout).build())
            .build();
    List<Span> spans = send(provider);
    provider.forceFlush().join(timeout.toMillis() + 5_000, TimeUnit.MILLISECONDS);
    long ms = (System.nanoTime() - started) / 1_000_000;
    boolean accepted = exporter.accepted();
    provider.shutdown().join(5, TimeUnit.SECONDS);
    System.out.println(
        "{\"spans\":[" + String.join(",", spans.stream().map(Main::ids).toList()) + "],\"accepted\":" + accepted
            + ",\"ms\":" + ms + "}");
    System.exit(0);
  }

  private static SpanExporter newExporter(String protocol, String endpoint, Duration timeout) {
    if (protocol.equals("grpc")) {
      return OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression("gzip").setTimeout(timeout).build();
    }
    return OtlpHttpSpanExporter.builder()
        .setEndpoint(endpoint + "/v1/traces")
        .setCompression("gzip")
        .setTimeout(timeout)
        .build();
  }

  private static List<Span> send(SdkTracerProvider provider) {
    Tracer tracer = provider.tracerBuilder("interop").setInstrumentationVersion("1.0.0").build();
    Span parent =
        tracer
            .spanBuilder("POST /checkout")
            .setSpanKind(SpanKind.SERVER)
            .setAttribute("user.email", EMAIL)
            .setAttribute("url.full", "https://shop.example/pay?card=" + CARD + "&currency=EUR")
            .setAttribute("compliance.framework", "gdpr")
            .setAttribute("compliance.control", "art-32")
            .setAttribute("http.response.status_code", 200)
            .setAttribute("sampling.ratio", 0.25)
            .setAttribute("cache.hit", true)
            .setAttribute(AttributeKey.stringArrayKey("recipients"), List.of("first " + EMAIL, "second"))
            .startSpan();
    Span child =
        tracer.spanBuilder("charge").setSpanKind(SpanKind.CLIENT).setParent(Context.root().with(parent)).startSpan();
    child.setAttribute("compliance.evidence", "charged");
    child.addEvent(
        "card declined",
        Attributes.of(AttributeKey.stringKey("exception.message"), "card " + CARD + " of " + EMAIL + " declined"));
    child.setStatus(StatusCode.ERROR, "declined for " + EMAIL);
    child.end();
    parent.end();
    Span linked =
        tracer
            .spanBuilder("settle")
            .setNoParent()
            .addLink(parent.getSpanContext(), Attributes.of(AttributeKey.stringKey("settled.for"), EMAIL))
            .startSpan();
    linked.setAttribute("batch.size", 3);
    linked.end();
    return List.of(parent, child, linked);
  }

  private static String ids(Span span) {
    return "[\"" + span.getSpanContext().getTraceId() + "\",\"" + span.getSpanContext().getSpanId() + "\"]";
  }
}
