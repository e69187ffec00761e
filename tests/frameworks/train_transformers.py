"""A transformers `Trainer` that reports to W&B, beside a callback of the user's that counts for itself."""
# ruff: noqa: I001 - transformers looks whether there is a `wandb` (`find_spec`) before anybody imports it

import call_record
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
import wandb

STEPS = 24


class Sentences(torch.utils.data.Dataset):
    def __init__(self, count):
        self._ids = torch.randint(0, 32, (count, 8), generator=torch.Generator().manual_seed(count))

    def __len__(self):
        return len(self._ids)

    def __getitem__(self, index):
        return {"input_ids": self._ids[index], "labels": self._ids[index]}


class Diagnostics(TrainerCallback):
    """What people add to a Trainer: with the step they mean, with none, in two calls."""

    def on_step_begin(self, args, state, control, **kwargs):
        wandb.log({"user/started": state.global_step}, step=state.global_step)

    def on_step_end(self, args, state, control, model, **kwargs):
        weight = model.transformer.wte.weight
        wandb.log({"user/weight_norm": weight.norm(), "user/step": state.global_step}, step=state.global_step)
        wandb.log({"user/calls": state.global_step * 10})
        wandb.run.log({"user/half": state.global_step / 2}, commit=False)
        wandb.run.log({"user/other_half": state.global_step / 2})

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        wandb.log({"user/eval_seen": metrics["eval_loss"]}, step=state.global_step)


def main():
    call_record.start()
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    trainer = Trainer(
        model=GPT2LMHeadModel(config),
        args=TrainingArguments(
            output_dir="out",
            report_to="wandb",
            max_steps=STEPS,
            logging_steps=2,
            eval_strategy="steps",
            eval_steps=8,
            per_device_train_batch_size=2,
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            seed=1,
        ),
        train_dataset=Sentences(64),
        eval_dataset=Sentences(4),
        callbacks=[Diagnostics()],
    )
    trainer.train()
    trainer.evaluate()
    trainer.predict(Sentences(4))


if __name__ == "__main__":
    main()
