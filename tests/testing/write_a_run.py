"""A process of its own: writes one offline run with a bit of everything, and says where it is."""

import json
import math
import sys

import wandb

run = wandb.init(project="real", dir=sys.argv[1], config={"lr": 0.1, "model": {"layers": 2}})
run.log(
    {
        "integer": 1,
        "number": 2.5,
        "flag": True,
        "nothing": None,
        "text": "é\n",
        "train/loss": 0.25,
        "dotted.key": 3,
        "nan": math.nan,
        "inf": math.inf,
        "minus_inf": -math.inf,
        "nested": {"x": 1, "y": {"z": "deep"}},
        "list": [1, {"a": math.nan}],
        "histogram": wandb.Histogram([1, 2, 3], num_bins=2),
    },
    step=3,
)
run.log({"long": "x" * 100_000}, step=7)
for step in range(10, 20):
    run.log({"i": step, "tail": {"i": step}}, step=step)
run.config.update({"lr": 0.2, "batch": 8}, allow_val_change=True)
run.summary["best"] = {"loss": 0.1}
run.summary["best"]["step"] = 7
del run.summary["long"]
print(json.dumps({"dir": run.dir, "id": run.id}))
run.finish()
