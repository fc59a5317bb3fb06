"""Serves one engine slot: vLLM's OpenAI server on what the slot's assignment names.

    python -m loop_platform.engine.serve --assignment engines/a.json

The weights answer under their release's name alone, so a caller can never get the bare model for a
release. The server and the processes that it spawns die with their parents.
"""

import argparse
import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

from loop_platform.engine import faulty, precision
from loop_platform.engine.assignment import Assignment, read
from loop_platform.engine.lifetime import die_with_parent

SERVER = "vllm.entrypoints.openai.api_server"


def arguments(assignment: Assignment, *, gpu: bool, bfloat16: bool) -> list[str]:
    """vLLM's command line for an assignment; `bfloat16`: whether the machine has units for it."""
    line = [
        *("--model", assignment.weights_path),
        *("--served-model-name", assignment.release),
        *("--host", assignment.host),
        *("--port", str(assignment.port)),
        *("--dtype", dtype(assignment, bfloat16=bfloat16)),
        *("--max-model-len", str(assignment.max_model_len)),
        # Sampling defaults are the caller's business, not those of a file beside the weights.
        *("--generation-config", "vllm"),
        "--enable-prefix-caching",
        "--disable-uvicorn-access-log",
        "--no-enable-log-requests",
    ]
    if assignment.tool_parser is not None:
        line += ["--enable-auto-tool-choice", "--tool-call-parser", assignment.tool_parser]
    if gpu:
        line += ["--gpu-memory-utilization", f"{assignment.gpu_share:g}"]
        if assignment.sleeps:
            line.append("--enable-sleep-mode")
    else:
        line += ["--max-num-seqs", "32", "--max-num-batched-tokens", "2048", "--enforce-eager"]
        line += ["--distributed-executor-backend", "uni"]
    if assignment.serving == "adapter":
        line += ["--enable-lora", "--max-lora-rank", str(assignment.max_rank)]
        if assignment.adapters:
            named = (f"{release}={path}" for release, path in assignment.adapters.items())
            line += ["--lora-modules", *named]
    return line


def dtype(assignment: Assignment, *, bfloat16: bool) -> str:
    """Unless told otherwise, bfloat16 where there are units for it: on two cores 7.5 against 4.9
    calls a second in float32. On a processor without them it is 0.4 against 1.4.

    The price: a small model's near ties fall differently with what else is in the batch, so a
    champion does not always agree with itself. Retention is therefore judged against that.
    """
    if assignment.dtype != "auto":
        return assignment.dtype
    return "bfloat16" if bfloat16 else "float32"


def environment(assignment: Assignment, *, gpu: bool) -> dict[str, str]:
    """Variables that vLLM reads at import."""
    variables = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if Path(assignment.weights_path).is_dir():
        variables |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if assignment.serving == "adapter":
        variables["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    if gpu and assignment.sleeps:
        # vLLM has /sleep and /wake_up among what it calls development endpoints.
        variables["VLLM_SERVER_DEV_MODE"] = "1"
    if not gpu:
        variables["VLLM_CPU_KVCACHE_SPACE"] = str(assignment.kv_cache_gib)
        # With one worker the engine process does the work itself: a separate one would cost 650 MB,
        # ten seconds of start and a core that spins while it waits. vLLM lets `uni` be with this.
        variables["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        # Champion, candidate and training share the cores: no pinning, and half of them each. On
        # two cores, two engines of one thread gave 8.7 calls a second together; of two threads that
        # spin for each other 2.8, and one engine of two threads that sleep at barriers 6.4.
        variables["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        variables["GOMP_SPINCOUNT"] = "3000"
        half = max(1, (os.cpu_count() or 1) // 2)
        variables["OMP_NUM_THREADS"] = str(assignment.threads or half)
    return variables


def has_gpu() -> bool:
    """Whether an NVIDIA device is there, without the seconds that importing torch takes."""
    return Path("/dev/nvidia0").exists()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assignment", type=Path, required=True)
    options = parser.parse_args()
    try:
        assignment = read(options.assignment)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if (fault := faulty.planted(assignment)) is not None:
        die_with_parent()
        faulty.serve(assignment, fault)
    gpu = has_gpu()
    os.environ.update(environment(assignment, gpu=gpu))
    die_with_parent()
    # Asks torch, which reads the variables above when it is imported.
    bfloat16 = gpu or precision.has_bfloat16()
    sys.argv = [SERVER, *arguments(assignment, gpu=gpu, bfloat16=bfloat16)]
    runpy.run_module(SERVER, run_name="__main__")
    return 0


# vLLM spawns its engine process, which imports this module as `__mp_main__`: without this it would
# outlive a server that was killed.
if multiprocessing.parent_process() is not None:
    die_with_parent(signal.SIGKILL)

if __name__ == "__main__":
    sys.exit(main())
