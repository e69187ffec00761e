"""The adapters, each in the real framework: everything recorded during a step is in the row of that step."""

import threading

import pytest

from otel_wandb_bridge import configure
from otel_wandb_bridge.testing import FakeRun

torch = pytest.importorskip("torch")

STEPS = 6


@pytest.fixture
def run():
    return FakeRun()


@pytest.fixture
def bridge(run):
    with configure(run, set_global=False, export_interval_millis=3_600_000, strict=True) as bridge:
        yield bridge


class Observer:
    """Reports from a thread of its own, and says no step."""

    def __init__(self, bridge):
        self._reward = bridge.meter_provider.get_meter("reward").create_gauge("reward.mean")

    def observe(self, value):
        thread = threading.Thread(target=self._reward.set, args=(value,))
        thread.start()
        thread.join()


def by_step(run, key):
    """Training step to value; fails where a step has the key twice."""
    pairs = [(row["global_step"], row[key]) for row in run.rows if key in row]
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def steps(run):
    return [row["global_step"] for row in run.rows]


class Pairs(torch.utils.data.Dataset):
    def __init__(self, count):
        self._inputs = torch.rand(count, 4, generator=torch.Generator().manual_seed(count))

    def __len__(self):
        return len(self._inputs)

    def __getitem__(self, index):
        return {"inputs": self._inputs[index], "labels": self._inputs[index].sum()}


class Linear(torch.nn.Module):
    """A model as the Trainer wants it, which reports what it sees from another thread."""

    def __init__(self, observer=None):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.observer = observer
        self.seen = 0

    def forward(self, inputs, labels):
        output = self.layer(inputs).squeeze(-1)
        if self.training and self.observer is not None:
            self.seen += 1
            self.observer.observe(self.seen)
        return {"loss": (output - labels).pow(2).mean(), "logits": output}


def transformers_trainer(tmp_path, bridge, callback, **arguments):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    defaults = {
        "output_dir": str(tmp_path),
        "report_to": "none",
        "max_steps": STEPS,
        "logging_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": 3,
        "per_device_train_batch_size": 2,
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return transformers.Trainer(
        model=Linear(Observer(bridge)),
        args=transformers.TrainingArguments(**{**defaults, **arguments}),
        train_dataset=Pairs(64),
        eval_dataset=Pairs(4),
        callbacks=[callback],
    )


def test_transformers_one_row_a_step_with_what_the_trainer_logs_and_what_others_record(tmp_path, run, bridge):
    """`train/loss`, an evaluation and a gauge set in another thread; two lines of the user's."""
    pytest.importorskip("transformers")
    from otel_wandb_bridge.adapters.transformers import StepCallback

    transformers_trainer(tmp_path, bridge, StepCallback(bridge)).train()
    bridge.force_flush()
    assert list(range(1, STEPS + 1)) == steps(run)
    assert {step: step for step in range(1, STEPS + 1)} == by_step(run, "reward/mean")
    assert set(range(1, STEPS + 1)) == by_step(run, "train/loss").keys()
    assert {3, 6} == by_step(run, "eval/loss").keys()
    assert {6} == by_step(run, "train/train_runtime").keys()
    assert 0 == bridge.stats().late


def test_transformers_a_step_of_several_batches_is_one_step(tmp_path, run, bridge):
    """With gradient accumulation, the last batch's measurement stands, as in any gauge."""
    pytest.importorskip("transformers")
    from otel_wandb_bridge.adapters.transformers import StepCallback

    transformers_trainer(tmp_path, bridge, StepCallback(), gradient_accumulation_steps=2).train()
    bridge.force_flush()
    assert {step: 2 * step for step in range(1, STEPS + 1)} == by_step(run, "reward/mean")


def test_transformers_an_evaluation_after_training_belongs_to_the_last_step(tmp_path, run, bridge):
    """Also what is recorded in it."""
    pytest.importorskip("transformers")
    from otel_wandb_bridge.adapters.transformers import StepCallback

    trainer = transformers_trainer(tmp_path, bridge, StepCallback(bridge), eval_strategy="no")
    trainer.train()
    trainer.evaluate()
    Observer(bridge).observe(-1.0)
    bridge.force_flush()
    assert {STEPS} == by_step(run, "eval/loss").keys()
    assert STEPS == steps(run)[-1]


def lightning_module(observer):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch, _):
            loss = (self.layer(batch["inputs"]).squeeze(-1) - batch["labels"]).pow(2).mean()
            self.log("train/loss", loss)
            observer.observe(float(self.global_step))
            return loss

        def validation_step(self, batch, _):
            self.log("val/loss", self.layer(batch["inputs"]).mean())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    return Module()


def test_lightning_one_row_a_step_with_what_the_logger_is_given_and_what_others_record(run, bridge):
    """The callback says the step, the logger brings the Trainer's metrics and hyperparameters."""
    lightning = pytest.importorskip("lightning")
    from otel_wandb_bridge.adapters.lightning import BridgeLogger, StepCallback

    logger = BridgeLogger(bridge)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        log_every_n_steps=1,
        val_check_interval=3,
        logger=logger,
        callbacks=[StepCallback()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    logger.log_hyperparams({"lr": 0.01})
    loader = torch.utils.data.DataLoader(Pairs(64), batch_size=2)
    trainer.fit(
        lightning_module(Observer(bridge)), loader, torch.utils.data.DataLoader(Pairs(4), batch_size=2)
    )
    bridge.force_flush()
    assert {step: step for step in range(STEPS)} == by_step(run, "reward/mean")
    assert set(range(STEPS)) == by_step(run, "train/loss").keys()
    assert 2 == len(by_step(run, "val/loss"))
    assert sorted(set(steps(run))) == steps(run)
    assert (0.01, "fake", "fake") == (run.config["lr"], logger.version, logger.name)
    assert logger.experiment is bridge


def test_accelerate_sends_what_it_is_told_to_log_and_its_config(run, bridge):
    """In the row of its step, with what others record there."""
    accelerate = pytest.importorskip("accelerate")
    from otel_wandb_bridge import training_step
    from otel_wandb_bridge.adapters.accelerate import BridgeTracker

    accelerator = accelerate.Accelerator(log_with=BridgeTracker(bridge), cpu=True)
    accelerator.init_trackers("demo", config={"lr": 0.01})
    observer = Observer(bridge)
    for step in range(STEPS):
        with training_step(step):
            observer.observe(step)
            accelerator.log({"train/loss": 1 / (step + 1)}, step=step)
            accelerator.log({"train/lr": 0.01})  # of the ambient step
    assert accelerator.get_tracker("otel_wandb_bridge", unwrap=True) is bridge
    accelerator.end_training()
    assert [*range(STEPS)] == steps(run)
    assert (
        by_step(run, "train/loss").keys()
        == by_step(run, "train/lr").keys()
        == by_step(run, "reward/mean").keys()
    )
    assert 0.01 == run.config["lr"]


def test_torchelastic_metrics_are_keys_at_the_ambient_step(run, bridge):
    """Through its own `configure` and `put_metric`."""
    from torch.distributed.elastic import metrics

    from otel_wandb_bridge import training_step
    from otel_wandb_bridge.adapters.torchelastic import BridgeMetricHandler

    metrics.configure(BridgeMetricHandler(bridge))
    try:
        with training_step(4):
            metrics.put_metric("agent.rendezvous.duration.ms", 12, "torchelastic")
    finally:
        metrics.configure(metrics.NullMetricHandler())
    bridge.force_flush()
    assert {4: 12} == by_step(run, "torchelastic/agent/rendezvous/duration/ms")


def test_verl_hands_its_backends_each_step(run, bridge):
    """Beside its own console backend, through its own `Tracking`."""
    tracking = pytest.importorskip("verl.utils.tracking", exc_type=ImportError)
    from otel_wandb_bridge.adapters.verl import TrackingBackend

    tracker = tracking.Tracking("demo", "grpo", default_backend=["console"])
    tracker.logger["otel_wandb_bridge"] = backend = TrackingBackend(bridge)
    observer = Observer(bridge)
    from otel_wandb_bridge import training_step

    for step in range(STEPS):
        with training_step(step):
            observer.observe(step)
        tracker.log({"actor/loss": 1.0}, step=step)
    backend.finish()
    assert [*range(STEPS)] == steps(run)
    assert by_step(run, "actor/loss").keys() == by_step(run, "reward/mean").keys()
