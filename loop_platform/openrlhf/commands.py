"""What runs an export in OpenRLHF, option by option.

The base is the champion's merged weights. Adapters have the recipe's shape, so that the next cycle
can go on from what comes back. ZeRO stage 2 throughout: at stage 3 OpenRLHF 0.11.2 writes an
adapter as a pickle.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

VERSION = "0.11.2"
"""Of OpenRLHF, whose options these are."""
KTO_VERSION = "0.9.3"
"""KTO was taken out after it; its options have other names."""

_MODEL = '"$MODEL"'
_BATCH = 32
_DRAWN = 8
"""Answers that are drawn for a prompt: the baseline of each is the mean of the others."""


@dataclass(frozen=True)
class Run:
    """What the commands depend on."""

    rank: int
    alpha: int
    max_tokens: int
    epochs: int
    prompts: int
    replay: bool
    """Whether there are answers to be kept."""


@dataclass(frozen=True)
class Command:
    """A program of OpenRLHF and its options, words as the shell reads them."""

    program: Sequence[str]
    options: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [" ".join(self.program), *(" ".join(option) for option in self.options)]
        return " \\\n    ".join(lines)


def supervised(run: Run) -> Command:
    files = "sft.jsonl,replay.jsonl" if run.replay else "sft.jsonl"
    data = [("--data.dataset", files), ("--data.input_key", "messages")]
    return _deepspeed("train_sft", run, data, _epochs(run))


def preferred(run: Run) -> Command:
    data = [
        ("--data.dataset", "preferences.jsonl"),
        ("--data.chosen_key", "chosen"),
        ("--data.rejected_key", "rejected"),
    ]
    return _deepspeed("train_dpo", run, data, [("--model.beta", "0.1")])


def labelled(run: Run) -> Command:
    return Command(
        ("deepspeed", "--module", "openrlhf.cli.train_kto"),
        [
            ("--dataset", "kto.jsonl"),
            ("--input_key", "messages"),
            ("--label_key", "label"),
            ("--apply_chat_template",),
            ("--max_len", str(run.max_tokens)),
            ("--pretrain", _MODEL),
            ("--lora_rank", str(run.rank)),
            ("--lora_alpha", str(run.alpha)),
            ("--zero_stage", "2"),
            ("--param_dtype", "bf16"),
            ("--train_batch_size", str(_BATCH)),
            ("--micro_train_batch_size", "4"),
            ("--save_path", "out/kto"),
            ("--ckpt_path", "checkpoints/kto"),
        ],
    )


def reinforced(run: Run) -> Command:
    """REINFORCE with a baseline of each prompt's own answers. All weights are trained: OpenRLHF
    cannot hand the weights of an adapter to the vLLM that draws the answers (its issue 1081)."""
    batch = max(1, min(128, run.prompts))
    return Command(
        (
            *("ray", "job", "submit", "--address", '"$RAY"', "--runtime-env-json"),
            *("""'{"working_dir": "."}'""", "--", "python3", "-m", "openrlhf.cli.train_ppo_ray"),
        ),
        [
            ("--data.prompt_dataset", "prompts.jsonl"),
            ("--data.input_key", "input"),
            ("--data.label_key", "label"),
            ("--data.apply_chat_template",),
            ("--data.max_len", str(run.max_tokens)),
            ("--reward.remote_url", "reward.py"),
            ("--actor.model_name_or_path", _MODEL),
            ("--algo.advantage.estimator", "reinforce_baseline"),
            ("--rollout.n_samples_per_prompt", str(_DRAWN)),
            ("--rollout.batch_size", str(batch)),
            ("--train.batch_size", str(batch * _DRAWN)),
            ("--train.num_episodes", "4"),
            ("--train.colocate_all",),
            ("--actor.num_gpus_per_node", '"$GPUS"'),
            ("--ref.num_gpus_per_node", '"$GPUS"'),
            ("--vllm.num_engines", '"$GPUS"'),
            ("--vllm.gpu_memory_utilization", "0.5"),
            ("--vllm.enable_sleep",),
            ("--ds.enable_sleep",),
            ("--ds.zero_stage", "2"),
            ("--ds.param_dtype", "bf16"),
            ("--ckpt.output_dir", '"$PWD/out/rl"'),
            ("--ckpt.path", '"$PWD/checkpoints/rl"'),
        ],
    )


def way_back(what: str, base: str) -> Command:
    """What brings a result into the loop."""
    return Command(
        ("loop", "import", "adapter", shlex.quote(what)),
        [("--base", base), ("--trained-on", ".")],
    )


def _deepspeed(
    program: str, run: Run, data: Sequence[Sequence[str]], more: Sequence[Sequence[str]]
) -> Command:
    name = program.removeprefix("train_")
    return Command(
        ("deepspeed", "--module", f"openrlhf.cli.{program}"),
        [
            *data,
            ("--data.apply_chat_template",),
            ("--data.max_len", str(run.max_tokens)),
            ("--model.model_name_or_path", _MODEL),
            ("--ds.lora.rank", str(run.rank)),
            ("--ds.lora.alpha", str(run.alpha)),
            ("--ds.zero_stage", "2"),
            ("--ds.param_dtype", "bf16"),
            ("--train.batch_size", str(_BATCH)),
            ("--train.micro_batch_size", "4"),
            *more,
            ("--ckpt.output_dir", f"out/{name}"),
            ("--ckpt.path", f"checkpoints/{name}"),
        ],
    )


def _epochs(run: Run) -> list[tuple[str, str]]:
    return [("--train.max_epochs", str(run.epochs)), ("--adam.lr", "1e-4")]
