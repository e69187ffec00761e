"""Options: argument, then environment, then default; bad ones are refused by name, at once."""

import inspect

import pytest
import wandb

from otel_wandb_bridge import OtlpReceiver, WandbMetricExporter, configure
from otel_wandb_bridge.autoconfigure.exporter import AutoconfiguredWandbMetricExporter
from otel_wandb_bridge.options import resolve, unusable
from otel_wandb_bridge.shared_options import interval_millis
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.wandb_step_fix import WandBStepManager


def test_the_defaults():
    """As documented."""
    options = resolve()
    policy = options.policy
    assert ("global_step", "keep", 10.0, 0) == (
        options.step_metric,
        policy.late,
        policy.hold,
        policy.disorder,
    )
    assert (100_000, 1_000_000, None, None) == (
        policy.max_pending,
        policy.max_step_jump,
        policy.gating,
        policy.expected_sources,
    )
    assert 2_000.0 == interval_millis(None)


@pytest.mark.parametrize(
    ("variable", "text", "read", "expected"),
    [
        ("STEP_METRIC", "train_step", lambda options: options.step_metric, "train_step"),
        ("LATE", "merge", lambda options: options.policy.late, "merge"),
        ("HOLD", "2.5", lambda options: options.policy.hold, 2.5),
        ("DISORDER", "3", lambda options: options.policy.disorder, 3),
        ("MAX_PENDING", "500", lambda options: options.policy.max_pending, 500),
        ("MAX_STEP_JUMP", "50", lambda options: options.policy.max_step_jump, 50),
        ("SIGNAL_GRACE", "5", lambda options: options.signal_grace, 5.0),
        (
            "PRIORITIES",
            "trainer=0, debug=10",
            lambda options: options.priorities,
            {"trainer": 0, "debug": 10},
        ),
        ("GATING", "trainer, reward", lambda options: options.policy.gating, {"trainer", "reward"}),
        ("JOURNAL", "a/tail.journal", lambda options: options.journal, "a/tail.journal"),
        ("STRICT", "True", lambda options: options.strict, True),
        ("TRACE_IDS", "yes", lambda options: options.trace_ids, True),
        ("SELF_METRICS", "1", lambda options: options.self_metrics, True),
        ("SUMMARY_COUNTS", "off", lambda options: options.summary_counts, False),
        ("EXPECTED_SOURCES", "4", lambda options: options.policy.expected_sources, 4),
        ("REDUCE", "loss=mean,time/*=mean|max", lambda options: len(options.policy.reduce.of("time/a")), 2),
        ("EXPECTED_SOURCES", "a,b", lambda options: options.policy.expected_sources, {"a", "b"}),
        ("HISTOGRAMS", "count, p50", lambda options: options.histograms.of("latency"), ("count", "p50")),
        (
            "HISTOGRAMS",
            "latency/*=p99.9,max; count",
            lambda options: [options.histograms.of(key) for key in ("latency/in", "size")],
            [("p99.9", "max"), ("count",)],
        ),
        ("COUNTERS", "increment", lambda options: options.policy.counters.of("tokens"), "increment"),
        (
            "COUNTERS",
            "increment; tokens/*=total;",
            lambda options: [options.policy.counters.of(key) for key in ("requests", "tokens/in")],
            ["increment", "total"],
        ),
    ],
)
def test_the_environment_is_heard_where_no_argument_is_given(monkeypatch, variable, text, read, expected):
    """Each option has a variable."""
    monkeypatch.setenv(f"OTEL_WANDB_{variable}", text)
    assert expected == read(resolve())


def test_an_argument_goes_before_the_environment(monkeypatch):
    """And the environment before the default."""
    monkeypatch.setenv("OTEL_WANDB_HOLD", "2.5")
    assert 7.0 == resolve(hold=7.0).policy.hold
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
    assert 500.0 == interval_millis(None)
    assert 100.0 == interval_millis(100.0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("late", "later"),
        ("hold", -1),
        ("hold", float("inf")),
        ("disorder", 0.5),
        ("max_pending", 0),
        ("max_step_jump", "many"),
        ("step_metric", "train.step"),
        ("step_metric", ""),
        ("step_metric", "_step"),
        ("priorities", {"trainer": 11}),
        ("priorities", ["trainer"]),
        ("priorities", {1: 1}),
        ("gating", "trainer"),
        ("gating", [1]),
        ("reduce", "mean"),
        ("reduce", {"loss": "average"}),
        ("expected_sources", -1),
        ("expected_sources", "trainer"),
        ("expected_sources", 1.5),
        ("histograms", "median"),
        ("histograms", {"latency": ["p101"]}),
        ("histograms", []),
        ("counters", "rate"),
        ("counters", {"tokens": 1}),
        ("counters", {1: "total"}),
        ("counters", {"": "total"}),
        ("signal_grace", -1.0),
        ("signal_grace", "soon"),
        ("naming", "upper"),
        ("journal", 3),
    ],
)
def test_a_bad_option_is_refused_at_construction(option, value):
    """The error names the option."""
    with pytest.raises((TypeError, ValueError), match=option):
        WandbMetricExporter(FakeRun(), **{option: value})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("OTEL_WANDB_HOLD", "soon"),
        ("OTEL_WANDB_HOLD", "-1"),
        ("OTEL_WANDB_HOLD", "nan"),
        ("OTEL_WANDB_STEP_METRIC", "_step"),
        ("OTEL_WANDB_LATE", "later"),
        ("OTEL_WANDB_WRITER", "nobody"),
        ("OTEL_WANDB_REDUCE", "loss=average"),
        ("OTEL_WANDB_REDUCE", "loss"),
        ("OTEL_WANDB_SIGNAL_GRACE", "-1"),
        ("OTEL_WANDB_MAX_PENDING", "0"),
        ("OTEL_WANDB_MAX_STEP_JUMP", "0"),
        ("OTEL_WANDB_EXPECTED_SOURCES", "4.5"),
        ("OTEL_WANDB_EXPECTED_SOURCES", "-1"),
        ("OTEL_WANDB_PRIORITIES", "trainer=11"),
        ("OTEL_WANDB_PRIORITIES", "trainer=high"),
        ("OTEL_WANDB_STRICT", "maybe"),
        ("OTEL_WANDB_DISORDER", "1.5"),
        ("OTEL_WANDB_PRIORITIES", "trainer"),
        ("OTEL_WANDB_COUNTERS", "rate"),
        ("OTEL_WANDB_HISTOGRAMS", "median"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "often"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(monkeypatch, variable, text):
    """The error names the variable and what stands in it."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValueError, match=rf"{variable}.*{text}"):
        configure(FakeRun(), set_global=False)


@pytest.mark.parametrize("text", ["rank0:4318", "ftp://rank0"])
def test_a_bad_endpoint_in_the_environment_is_refused_by_its_variable(monkeypatch, text):
    """As an argument it is refused as `endpoint`."""
    monkeypatch.setenv("OTEL_WANDB_ENDPOINT", text)
    with pytest.raises(ValueError, match=rf"environment variable OTEL_WANDB_ENDPOINT must be .*{text}"):
        configure(set_global=False)


def test_a_priority_that_is_none_is_said_with_what_is_expected(monkeypatch):
    """No matter of types."""
    expected = r"priorities\['trainer'\] must be a whole number from 0 \(highest\) to 10 \(lowest\); got 11"
    monkeypatch.setenv("OTEL_WANDB_PRIORITIES", "trainer=11")
    with pytest.raises(ValueError, match=expected):
        resolve()
    with pytest.raises(ValueError, match=expected):
        resolve(priorities={"trainer": 11})


def test_a_variable_that_an_argument_goes_before_is_not_looked_at(monkeypatch):
    """What nobody hears does no harm."""
    monkeypatch.setenv("OTEL_WANDB_HOLD", "soon")
    assert 3.0 == resolve(hold=3.0).policy.hold


def test_all_variables_that_cannot_be_used_are_told_at_once(monkeypatch):
    """By name, for the doctor."""
    environ = {"OTEL_WANDB_HOLD": "soon", "OTEL_WANDB_LATE": "later", "OTEL_WANDB_WRITER": "thread"}
    wrong = unusable(environ)
    assert ["OTEL_WANDB_HOLD", "OTEL_WANDB_LATE"] == sorted(wrong)
    assert "environment variable OTEL_WANDB_LATE='later': late must be one of" in wrong["OTEL_WANDB_LATE"]


@pytest.mark.parametrize("interval", [0, -5, float("nan"), float("inf"), "soon", True])
def test_an_interval_that_is_none_is_refused(interval):
    """In milliseconds, greater than 0."""
    with pytest.raises((TypeError, ValueError), match="export_interval_millis"):
        configure(FakeRun(), export_interval_millis=interval, set_global=False)


def test_an_unknown_option_is_refused_with_those_that_are_known():
    """A typing error is found at once."""
    with pytest.raises(TypeError, match=r"'holds'; did you mean 'hold'\?"):
        configure(FakeRun(), holds=3, set_global=False)
    with pytest.raises(TypeError, match=r"'colour'.*known are.*hold"):
        configure(FakeRun(), colour=3, set_global=False)


@pytest.mark.parametrize(
    "constructor", [WandbMetricExporter, AutoconfiguredWandbMetricExporter, OtlpReceiver, WandBStepManager]
)
def test_every_constructor_says_what_an_unknown_option_was_meant_to_be(constructor, monkeypatch):
    """And which are known, where none is like it; at construction, whenever it is started."""
    monkeypatch.setattr("otel_wandb_bridge.autoconfigure.exporter.give_notice", lambda *_: None)
    with pytest.raises(TypeError, match=r"unknown option 'holdd'; did you mean 'hold'\?"):
        constructor(holdd=1)
    with pytest.raises(TypeError, match=r"unknown option 'colour'; known are .*hold"):
        constructor(colour=1)


def test_the_exporter_keeps_its_signature():
    """What it takes is to be seen, by programs and by editors."""
    parameters = inspect.signature(WandbMetricExporter).parameters
    assert {"run", "hold", "journal"} <= set(parameters)
    assert not [each for each in parameters.values() if each.kind is each.VAR_KEYWORD]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prt": 7}, r"OtlpReceiver\(\) got an unknown option 'prt'; did you mean 'port'\?"),
        ({"hold": "soon"}, "hold must be a number"),
        ({"headers": {"a": "b"}}, "unknown option 'headers'"),
    ],
)
def test_a_receiver_looks_at_all_options_when_it_is_made(options, words):
    """Not when it is started, which may be much later."""
    with pytest.raises(TypeError, match=words):
        OtlpReceiver(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"receiver": 5}, "receiver must be an OtlpReceiver; got 5"),
        ({"resource": "a=b"}, "resource must be a Resource .* got 'a=b'"),
        ({"service_name": 5}, "service_name must be a string; got 5"),
        ({"set_global": "no"}, "set_global must be True or False; got 'no'"),
        ({"headers": {"a": "b"}}, "headers is for a worker, which has an endpoint"),
        ({"run": wandb}, "run must be what wandb.init returns.* the module"),
        ({"run": FakeRun}, "run must be what wandb.init returns"),
    ],
)
def test_what_configure_is_given_is_looked_at_first(options, words):
    """The error names the option, what came and what is expected."""
    with pytest.raises(TypeError, match=words):
        configure(**{"run": FakeRun(), "set_global": False, **options})


@pytest.mark.parametrize("run", ["x", 5, wandb, FakeRun])
def test_an_exporter_writes_to_a_run_alone(run):
    """And says what is none."""
    with pytest.raises(TypeError, match=r"run must be what wandb\.init returns"):
        WandbMetricExporter(run)


@pytest.mark.parametrize(("option", "value"), [("run", "demo"), ("extra_readers", 5), ("extra_readers", "x")])
def test_what_is_no_run_and_no_reader_is_refused(option, value):
    """By name, with what is expected."""
    with pytest.raises(TypeError, match=rf"{option} must be .*{value}"):
        configure(**{"run": FakeRun(), option: value}, set_global=False)
