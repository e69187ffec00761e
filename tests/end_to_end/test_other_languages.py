"""OTLP as other languages' SDKs write it: the step a plain attribute, sums and histograms cumulative."""

import json
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the receiver needs its extra")

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

RECORDED = Path(__file__).parent / "recorded"
"""What the JavaScript SDK (sdk-metrics 2.12.1) sent: two collections and a last one at its shutdown, in which
all cumulative points come again. At steps 0 and 1: a gauge of 10 and 11, a counter of 3 (and 2 more at step 1
before the last collection), a histogram of 2 and 7."""

SEND = """
import urllib.request
from pathlib import Path
from otel_wandb_bridge import OtlpReceiver

def post(receiver, body, content_type):
    request = urllib.request.Request(receiver.metrics_endpoint, body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert 200 == answer.status
        return answer.read()

run = wandb.init(project="languages")
"""

REPORT = """
stats = receiver.stats()
report(conserved=stats.is_conserved(), pending=stats.pending, rejected=stats.rejected)
run.finish()
"""


@pytest.mark.parametrize(
    ("ending", "content_type"), [("json", "application/json"), ("bin", "application/x-protobuf")]
)
def test_what_the_javascript_sdk_sends_is_one_row_a_step(run_script, ending, content_type):
    """Recorded from the real SDK, in JSON and protobuf; cumulative points that come again change nothing."""
    ended = run_script(
        SEND
        + f"""
with OtlpReceiver(run, port=0) as receiver:
    for number in range(3):
        body = Path({str(RECORDED)!r}, f"js_sdk_2.12_{{number}}.{ending}").read_bytes()
        post(receiver, body, {content_type!r})
"""
        + REPORT
    ).ended_well()
    assert [{"conserved": True, "pending": 0, "rejected": 0}] == ended.reports
    run = ended.run
    assert [0, 1] == sorted(set(run.steps()))
    last = {}
    for row in run.rows:
        last.setdefault(row["global_step"], {}).update(row)
    assert {0: 10, 1: 11} == {step: row["queue/length"] for step, row in last.items()}
    assert {0: 3, 1: 8} == {step: row["rollouts"] for step, row in last.items()}
    assert {0: 2, 1: 2} == {step: row["latency/count"] for step, row in last.items()}
    assert {0: 4.5, 1: 4.5} == {step: row["latency/mean"] for step, row in last.items()}


def go_request(collections):
    """What the Go SDK writes: `asInt` for an Int64Counter, cumulative, a start time, sampled exemplars."""
    requests = []
    for moment, (step, total) in enumerate(collections, start=1):
        attributes = [
            {"key": "step", "value": {"intValue": str(step)}},
            {"key": "source", "value": {"stringValue": "server"}},
        ]
        times = {
            "startTimeUnixNano": "1700000000000000000",
            "timeUnixNano": str(1_700_000_000_000_000_000 + moment),
        }
        exemplar = {
            "timeUnixNano": times["timeUnixNano"],
            "asInt": "1",
            "spanId": "APBnoLoKtwI=",
            "traceId": "gVgjXkkmGqZCZ/Nbhu/gsg==",
        }
        count = {"attributes": attributes, **times, "asInt": str(total), "exemplars": [exemplar]}
        requests.append(
            {
                "resourceMetrics": [
                    {
                        "resource": {
                            "attributes": [
                                {"key": "service.name", "value": {"stringValue": "rollout-go"}},
                                {"key": "telemetry.sdk.language", "value": {"stringValue": "go"}},
                            ]
                        },
                        "scopeMetrics": [
                            {
                                "scope": {"name": "example.com/rollout", "version": "v1.2.3"},
                                "metrics": [
                                    {
                                        "name": "rollouts",
                                        "unit": "{rollout}",
                                        "sum": {
                                            "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
                                            "isMonotonic": True,
                                            "dataPoints": [count],
                                        },
                                    },
                                    {
                                        "name": "queue.length",
                                        "gauge": {
                                            "dataPoints": [
                                                {"attributes": attributes, **times, "asDouble": step / 2}
                                            ]
                                        },
                                    },
                                ],
                            }
                        ],
                        "schemaUrl": "https://opentelemetry.io/schemas/1.26.0",
                    }
                ]
            }
        )
    return [Parse(json.dumps(each), ExportMetricsServiceRequest()).SerializeToString() for each in requests]


def test_what_the_go_sdk_writes_is_one_row_a_step(run_script, tmp_path):
    """Built by hand after its exporter: exemplars that it has sampled are not taken for measurements."""
    for number, body in enumerate(go_request([(step, 3) for step in range(5)])):
        (tmp_path / f"{number}.bin").write_bytes(body)
    ended = run_script(
        SEND
        + f"""
with OtlpReceiver(run, port=0) as receiver:
    for number in range(5):
        post(receiver, Path({str(tmp_path)!r}, f"{{number}}.bin").read_bytes(), "application/x-protobuf")
"""
        + REPORT
    ).ended_well()
    assert [{"conserved": True, "pending": 0, "rejected": 0}] == ended.reports
    assert list(range(5)) == ended.run.steps()
    assert {step: 3 * (step + 1) for step in range(5)} == ended.run.series("rollouts")
    assert {step: step / 2 for step in range(5)} == ended.run.series("queue/length")


SPECIFICATION_EXAMPLE = """
{
  "resourceMetrics": [
    {
      "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
      "scopeMetrics": [
        {
          "scope": {
            "name": "my.library",
            "version": "1.0.0",
            "attributes": [{"key": "my.scope.attribute", "value": {"stringValue": "some scope attribute"}}]
          },
          "metrics": [
            {
              "name": "my.counter",
              "unit": "1",
              "description": "I am a Counter",
              "sum": {
                "aggregationTemporality": 1,
                "isMonotonic": true,
                "dataPoints": [
                  {
                    "asDouble": 5,
                    "startTimeUnixNano": "1544712660300000000",
                    "timeUnixNano": "1544712660300000000",
                    "attributes": [{"key": "my.counter.attr", "value": {"stringValue": "some value"}}]
                  }
                ]
              }
            },
            {
              "name": "my.gauge",
              "unit": "1",
              "description": "I am a Gauge",
              "gauge": {
                "dataPoints": [
                  {
                    "asDouble": 10,
                    "timeUnixNano": "1544712660300000000",
                    "attributes": [{"key": "my.gauge.attr", "value": {"stringValue": "some value"}}]
                  }
                ]
              }
            },
            {
              "name": "my.histogram",
              "unit": "1",
              "description": "I am a Histogram",
              "histogram": {
                "aggregationTemporality": 1,
                "dataPoints": [
                  {
                    "startTimeUnixNano": "1544712660300000000",
                    "timeUnixNano": "1544712660300000000",
                    "count": "2",
                    "sum": 2,
                    "bucketCounts": ["1", "1"],
                    "explicitBounds": [1],
                    "min": 0,
                    "max": 2,
                    "attributes": [{"key": "my.histogram.attr", "value": {"stringValue": "some value"}}]
                  }
                ]
              }
            },
            {
              "name": "my.exponential.histogram",
              "unit": "1",
              "description": "I am an Exponential Histogram",
              "exponentialHistogram": {
                "aggregationTemporality": 1,
                "dataPoints": [
                  {
                    "startTimeUnixNano": "1544712660300000000",
                    "timeUnixNano": "1544712660300000000",
                    "count": "3",
                    "sum": 10,
                    "scale": 0,
                    "zeroCount": "1",
                    "positive": {"offset": 1, "bucketCounts": ["0", "2"]},
                    "min": 0,
                    "max": 5,
                    "zeroThreshold": 0,
                    "attributes": [
                      {"key": "my.exponential.histogram.attr", "value": {"stringValue": "some value"}}
                    ]
                  }
                ]
              }
            }
          ]
        }
      ]
    }
  ]
}
"""
"""After `examples/metrics.json` of opentelemetry-proto: one metric of each kind."""


def test_the_specifications_example_of_otlp_in_json_is_understood(run_script, tmp_path):
    """All four kinds, without a step: one row."""
    (tmp_path / "example.json").write_text(SPECIFICATION_EXAMPLE)
    ended = run_script(
        SEND
        + f"""
with OtlpReceiver(run, port=0) as receiver:
    answer = post(receiver, Path({str(tmp_path / "example.json")!r}).read_bytes(), "application/json")
    assert {{}} == json.loads(answer)
"""
        + REPORT
    ).ended_well()
    assert [{"conserved": True, "pending": 0, "rejected": 0}] == ended.reports
    row = {}
    for each in ended.rows:
        row |= each
    assert 5 == row["my/counter/my_counter_attr_some value"]
    assert 10 == row["my/gauge/my_gauge_attr_some value"]
    assert 2 == row["my/histogram/my_histogram_attr_some value/count"]
    assert 3 == row["my/exponential/histogram/my_exponential_histogram_attr_some value/count"]
