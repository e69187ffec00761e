"""GRPO with TRL, its profiling and its tables of completions, beside rewards that log for themselves."""
# ruff: noqa: I001 - as in most programs, TRL is what imports `wandb` first

import call_record
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer
import wandb

STEPS = 6
WORDS = [
    "<pad>",
    "<eos>",
    "<unk>",
    *[
        "the",
        "cat",
        "dog",
        "sat",
        "ran",
        "on",
        "a",
        "mat",
        "log",
        "and",
        "then",
        "it",
        "was",
        "so",
        "very",
        "big",
        "red",
        "old",
    ],
]


def tiny_tokenizer():
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
    )


def tiny_model():
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(WORDS),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )


def reward_length(completions, trainer_state, **kwargs):
    """A reward that tells W&B what it sees, with the step it is told."""
    lengths = [len(text.split()) for text in completions]
    wandb.log({"reward/mean_length": sum(lengths) / len(lengths)}, step=trainer_state.global_step)
    return [float(length) for length in lengths]


def reward_variety(completions, **kwargs):
    """A reward that tells W&B what it sees, and no step."""
    variety = [len(set(text.split())) / 8 for text in completions]
    wandb.log({"reward/variety": max(variety), "reward/variety_calls": 1})
    return variety


def main():
    call_record.start()
    torch.manual_seed(0)
    trainer = GRPOTrainer(
        model=tiny_model(),
        processing_class=tiny_tokenizer(),
        reward_funcs=[reward_length, reward_variety],
        args=GRPOConfig(
            output_dir="out",
            report_to="wandb",
            max_steps=STEPS,
            logging_steps=1,
            eval_strategy="steps",
            eval_steps=3,
            per_device_train_batch_size=4,
            per_device_eval_batch_size=4,
            num_generations=2,
            max_completion_length=8,
            log_completions=True,
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
            seed=1,
        ),
        train_dataset=Dataset.from_dict(
            {"prompt": ["the cat sat on", "a dog ran and", "it was so", "then the"] * 8}
        ),
        eval_dataset=Dataset.from_dict({"prompt": ["the big dog", "a red mat"]}),
    )
    trainer.train()


if __name__ == "__main__":
    main()
