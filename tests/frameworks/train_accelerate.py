"""A training loop with accelerate's tracker, an evaluator that is behind it, and calls without a step."""

import call_record
import torch
import wandb
from accelerate import Accelerator

STEPS = 30
BEHIND = 6


def main():
    call_record.start()
    torch.manual_seed(0)
    accelerator = Accelerator(log_with="wandb", cpu=True)
    accelerator.init_trackers("tiny", config={"lr": 0.01})
    model = torch.nn.Linear(4, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.01))
    tracker = accelerator.get_tracker("wandb", unwrap=True)
    data = torch.rand(STEPS, 2, 4, generator=torch.Generator().manual_seed(1))
    for step in range(STEPS):
        loss = model(data[step]).pow(2).mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        accelerator.log({"train/loss": loss.item(), "train/step": step}, step=step)
        accelerator.log({"optim": {"lr": 0.01, "step": step}}, step=step)
        if step % 5 == 4:
            wandb.log({"user/free": step})
            tracker.log({"user/joined": step}, commit=False)
        if step % 3 == 2 and step >= BEHIND:
            accelerator.log({"eval/loss": loss.item() / 2, "eval/of": step - BEHIND}, step=step - BEHIND)
        if step % 10 == 9:
            accelerator.get_tracker("wandb").log_table("samples", columns=["step"], data=[[step]], step=step)
    accelerator.end_training()


if __name__ == "__main__":
    main()
