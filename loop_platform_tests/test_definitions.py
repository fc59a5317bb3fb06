import subprocess
import sys

HEAVY = (
    *("torch", "transformers", "peft", "trl", "vllm", "alibi_detect", "great_expectations"),
    *("matplotlib", "onnxruntime", "sklearn", "scipy", "pandas"),
)


def test_loading_the_graph_loads_nothing_heavy() -> None:
    """Every run and every tick of a sensor pays for it."""
    program = f"""
import sys
from loop_platform.definitions import defs
defs()
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
