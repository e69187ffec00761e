"""A Lightning `Trainer` with a `WandbLogger`, beside a module that logs to the run directly."""

import call_record
import lightning
import torch
import wandb
from lightning.pytorch.loggers import WandbLogger


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, _):
        loss = self.layer(batch).pow(2).mean()
        self.log("train/loss", loss)
        self.log("train/loss_twice", 2 * loss, on_step=True, on_epoch=True)
        step = self.global_step
        self.logger.experiment.log({"user/explicit": step, "user/loss": loss.detach()}, step=step)
        self.logger.experiment.log({"user/by_key": step, "trainer/global_step": step})
        self.logger.experiment.log({"user/free": step})
        wandb.log({"user/batch_mean": batch.mean()}, step=step)
        return loss

    def validation_step(self, batch, _):
        self.log("val/loss", self.layer(batch).pow(2).mean())
        self.logger.experiment.log({"user/val_batch": batch.mean().item()})

    def on_validation_end(self):
        page = wandb.Html(f"<p>{self.global_step}</p>")
        self.logger.experiment.log({"user/page": page, "user/pages": 1}, step=self.global_step)
        self.logger.log_metrics({"user/logged": self.global_step}, step=self.global_step)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def batches(count, seed):
    data = torch.rand(count * 2, 4, generator=torch.Generator().manual_seed(seed))
    return torch.utils.data.DataLoader(data, batch_size=2)


def main():
    call_record.start()
    torch.manual_seed(0)
    model = Model()
    logger = WandbLogger(project="tiny", offline=True)
    logger.watch(model, log="gradients", log_freq=5)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=3,
        log_every_n_steps=2,
        val_check_interval=4,
        logger=logger,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, batches(8, 1), batches(2, 2))
    trainer.validate(model, batches(2, 2), verbose=False)


if __name__ == "__main__":
    main()
