"""What a receiver or a worker is told in confidence is nowhere to be read."""

import logging

import pytest
from otlp_sender import gauge_of, request_of, send

from otel_wandb_bridge import OtlpReceiver, configure

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="a worker needs exporters from 1.29")

REQUEST = request_of(gauge_of("loss", {0: 1.0})).SerializeToString()


def log_once(receiver, word):
    """A worker with this token: what can be seen of it."""
    headers = {"authorization": f"Bearer {word}"}
    with configure(endpoint=receiver.endpoint, headers=headers, set_global=False) as bridge:
        bridge.log({"reward": 0.5}, step=0)
        bridge.force_flush(5_000)
        return [bridge, bridge.stats(), bridge._exporter, vars(bridge.meter_provider).get("_sdk_config")]


def test_no_secret_is_in_logs_stats_config_answers_or_errors(receiving, run, caplog):
    """Whether it was right or wrong."""
    caplog.set_level(logging.DEBUG)
    receiver = receiving(token="hush-7")
    seen = [send(receiver.endpoint, REQUEST, authorization=f"Bearer hush-{n}") for n in (6, 7)]
    seen.append(send(receiver.endpoint, None, path="/stats", method="GET", authorization="Bearer hush-7"))
    assert [401, 200, 200] == [each.status for each in seen]
    seen += log_once(receiver, "hush-7") + log_once(receiver, "hush-8")
    receiver.force_flush()
    assert "reward" in run.rows[0]
    seen += [
        receiver,
        receiver._access,
        receiver.stats(),
        receiver.counts(),
        run.config,
        run.summary,
        run.rows,
    ]
    with pytest.raises(ValueError, match="private_key") as error:
        OtlpReceiver(token="hush-9", certificate="a.pem")
    seen.append(error.value)
    assert [] == [repr(each) for each in [*seen, caplog.text] if "hush" in repr(each)]
