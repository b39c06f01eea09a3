// Command interop sends one trace with the OpenTelemetry Go SDK and prints what it sent as one line of JSON.
//
// Usage: interop grpc|http ENDPOINT (environment: PLANTED_EMAIL, PLANTED_CARD, optional EXPORT_TIMEOUT_S)
// or interop remarshal IN OUT, which reads an ExportTraceServiceRequest and writes it again
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

type report struct {
	Spans    [][2]string `json:"spans"`
	Accepted bool        `json:"accepted"`
	Error    string      `json:"error,omitempty"`
	Ms       int64       `json:"ms"`
}

// recording passes spans on and remembers what the real exporter answered.
type recording struct {
	sdk.SpanExporter
	failure error
}

func (r *recording) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		r.failure = err
	}
	return err
}

func remarshal(in, out string) error {
	given, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(given, &request); err != nil {
		return err
	}
	written, err := proto.Marshal(&request)
	if err != nil {
		return err
	}
	return os.WriteFile(out, written, 0o600)
}

func main() {
	if os.Args[1] == "remarshal" {
		if err := remarshal(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx := context.Background()
	exporter, err := newExporter(ctx, os.Args[1], strings.TrimPrefix(os.Args[2], "http://"), timeout())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	recorder := &recording{SpanExporter: exporter}
	started := time.Now()
	spans := send(ctx, recorder)
	result := report{Spans: spans, Accepted: recorder.failure == nil, Ms: time.Since(started).Milliseconds()}
	if recorder.failure != nil {
		result.Error = recorder.failure.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

func timeout() time.Duration {
	seconds, err := strconv.Atoi(os.Getenv("EXPORT_TIMEOUT_S"))
	if err != nil {
		seconds = 10
	}
	return time.Duration(seconds) * time.Second
}

func newExporter(ctx context.Context, protocol, host string, limit time.Duration) (*otlptrace.Exporter, error) {
	if protocol == "grpc" {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(host), otlptracegrpc.WithInsecure(),
			otlptracegrpc.WithCompressor("gzip"), otlptracegrpc.WithTimeout(limit))
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(host), otlptracehttp.WithInsecure(),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithTimeout(limit))
}

func send(ctx context.Context, exporter sdk.SpanExporter) [][2]string {
	email, card := os.Getenv("PLANTED_EMAIL"), os.Getenv("PLANTED_CARD")
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "interop-go"))))
	tracer := provider.Tracer("interop", trace.WithInstrumentationVersion("1.0.0"))

	inParent, parent := tracer.Start(ctx, "POST /checkout", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("user.email", email),
		attribute.String("url.full", "https://shop.example/pay?card="+card+"&currency=EUR"),
		attribute.String("compliance.framework", "gdpr"),
		attribute.String("compliance.control", "art-32"),
		attribute.Int("http.response.status_code", 200),
		attribute.Float64("sampling.ratio", 0.25),
		attribute.Bool("cache.hit", true),
		attribute.StringSlice("recipients", []string{"first " + email, "second"}),
	))
	_, child := tracer.Start(inParent, "charge", trace.WithSpanKind(trace.SpanKindClient))
	child.SetAttributes(attribute.String("compliance.evidence", "charged"))
	child.AddEvent("card declined", trace.WithAttributes(
		attribute.String("exception.message", "card "+card+" of "+email+" declined")))
	child.SetStatus(codes.Error, "declined for "+email)
	child.End()
	parent.End()

	_, linked := tracer.Start(ctx, "settle", trace.WithNewRoot(), trace.WithLinks(trace.Link{
		SpanContext: parent.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("settled.for", email)}}))
	linked.SetAttributes(attribute.Int("batch.size", 3))
	linked.End()

	// A failed export is in the recorder; an error of the shutdown itself would repeat it.
	_ = provider.Shutdown(ctx)
	var ids [][2]string
	for _, span := range []trace.Span{parent, child, linked} {
		ids = append(ids, [2]string{span.SpanContext().TraceID().String(), span.SpanContext().SpanID().String()})
	}
	return ids
}
