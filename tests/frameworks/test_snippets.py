"""The snippets about frameworks in the README and the docs, as they stand, in the real frameworks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_wandb_bridge.testing import read_config, read_rows

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
NAMED = "otel_wandb_bridge.adapters."

MODEL = """
import torch
from opentelemetry import metrics as _metrics

_REWARD = _metrics.get_meter("reward").create_gauge("reward.mean")

class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return {"inputs": torch.ones(4) * index, "labels": torch.tensor(float(index))}

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, inputs, labels):
        _REWARD.set(1)
        return {"loss": (self.layer(inputs).squeeze(-1) - labels).abs().mean()}
"""
YOURS = {
    "transformers": MODEL + "model, dataset = Model(), Pairs()\n",
    "lightning": MODEL
    + """
import lightning

class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = Model()

    def training_step(self, batch, _):
        loss = self.model(**batch)["loss"]
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6)

module, loader = Module(), torch.utils.data.DataLoader(Pairs())
""",
}
"""What a snippet says is the reader's, by adapter."""
AFTERWARDS = {
    "torchelastic": """
from otel_wandb_bridge import training_step
with training_step(4):
    metrics.put_metric("rendezvous.duration.ms", 12, "torchelastic")
"""
}
EXPECTED = {
    "transformers": {"reward/mean": range(1, 25), "train/train_loss": [24]},  # 3 epochs of 8 batches
    "lightning": {"reward/mean": range(64), "train/loss": [49]},  # its logger is told every 50 steps
    "accelerate": {"train/loss": range(10)},
    "verl": {"actor/loss": [1]},
    "torchelastic": {"torchelastic/rendezvous/duration/ms": [4]},
}
"""By adapter: the steps at which a key is to be."""
NEEDS = {"verl": "verl.utils.tracking", "torchelastic": "torch"}


SNIPPETS = [
    pytest.param(code, re.search(re.escape(NAMED) + r"(\w+)", code)[1], id=f"{page.stem}-{number}")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S))
    if NAMED in code
]


def test_each_adapter_has_a_snippet():
    """And the README one of the best known."""
    assert {*EXPECTED} == {parameter.values[1] for parameter in SNIPPETS}
    assert any(parameter.id.startswith("README") for parameter in SNIPPETS)


@pytest.mark.parametrize(("code", "adapter"), SNIPPETS)
def test_a_snippet_runs_as_it_stands_and_its_steps_are_one_row_each(code, adapter, tmp_path):
    """With what it says is yours before it; nothing is finished or flushed by hand."""
    pytest.importorskip(NEEDS.get(adapter, adapter), exc_type=ImportError)
    script = YOURS.get(adapter, "") + code + AFTERWARDS.get(adapter, "")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "WANDB_MODE": "offline",
            "WANDB_SILENT": "true",
            "HF_HUB_OFFLINE": "1",
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert 0 == done.returncode, done.stderr
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    rows = read_rows(file)
    steps = [row["global_step"] for row in rows]
    assert sorted({*steps}) == steps
    for key, expected in EXPECTED[adapter].items():
        assert [*expected] == [row["global_step"] for row in rows if key in row], key
    if adapter == "accelerate":
        assert 0.01 == read_config(file)["lr"]
