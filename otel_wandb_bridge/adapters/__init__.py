"""Places that frameworks have for a tracker, each filled by one small class.

| framework | what is there |
|---|---|
| `transformers`, TRL | `adapters.transformers.StepCallback` |
| Lightning | `adapters.lightning.StepCallback`, `adapters.lightning.BridgeLogger` |
| accelerate | `adapters.accelerate.BridgeTracker` |
| verl, and what has its `Tracking` | `adapters.verl.TrackingBackend` |
| torchelastic | `adapters.torchelastic.BridgeMetricHandler` |

A loop of one's own needs none: `with training_step(step):`.
"""
