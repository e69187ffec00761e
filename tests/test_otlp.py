"""An OTLP exporter that is given our aggregation carries the steps across machines."""

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_wandb_bridge import step_aggregation, step_views, training_step


def exemplars_sent(reader):
    """Value and attributes of each exemplar in the OTLP request of one collection; None without one."""
    collected = reader.get_metrics_data()
    if collected is None:
        return None
    request = encode_metrics(collected)
    (metric,) = request.resource_metrics[0].scope_metrics[0].metrics
    return [
        (exemplar.as_double, {each.key: each.value for each in exemplar.filtered_attributes})
        for point in metric.gauge.data_points
        for exemplar in point.exemplars
    ]


def test_every_measurement_is_an_exemplar_with_its_settled_step():
    """In one data point, whatever the exemplar filter says; an empty interval says that it is ours, too."""
    reader = InMemoryMetricReader(preferred_aggregation=step_aggregation())
    provider = MeterProvider([reader], views=step_views(), shutdown_on_exit=False)
    loss = provider.get_meter("trainer").create_gauge("loss")
    loss.set(4.5)
    for step in range(3):
        loss.set(step / 2, {"step": step})
    with training_step(7):
        loss.set(3.5)
    sent = exemplars_sent(reader)
    assert [4.5, 0.0, 0.5, 1.0, 3.5] == [value for value, _ in sent]
    assert [0, 1, 2, 7] == [attributes["wandb.step"].int_value for _, attributes in sent[1:]]
    assert sent[0][1]["wandb.step"].HasField("bool_value")
    assert sent[0][1]["wandb.step"].bool_value is False
    idle = exemplars_sent(reader)  # older SDKs leave an idle gauge out
    assert idle is None or [True] == [attributes["wandb.step"].bool_value for _, attributes in idle]
