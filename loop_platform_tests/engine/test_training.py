"""Training on a tiny model, by the real program: what it leaves behind, and what it refuses."""

import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loop_platform.engine.adapter import check, content_hash
from loop_platform_tests.engine.programs import PYTHON, ROOT, job, outcome, train


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Adapter and weights of one run."""
    folder = tmp_path_factory.mktemp("trained")
    return outcome(train(job(folder, tiny), folder))


def test_the_loss_falls_and_the_record_says_what_was_done(trained: tuple[Path, Path]):
    adapter, _ = trained
    record = json.loads((adapter / "training.json").read_text())
    losses = [point["surprise"] for point in record["curve"]]

    assert losses[-1] < losses[0] * 0.85
    assert all(point["divergence"] is not None for point in record["curve"])
    assert (record["corrections"], record["replay"], record["steps"]) == (4, 4, 30)
    assert record["tokens"] > 0
    assert record["cost"] == pytest.approx(record["seconds"], rel=0.1)
    assert record["recipe"]["rank"] == 4
    assert [(mode["name"], mode["rows"]) for mode in record["modes"]] == [("home: light, hall", 4)]
    assert record["base"] == "tiny"
    assert {"torch", "transformers", "peft", "python"} <= record["versions"].keys()
    assert len(record["data_sha256"]) == 64


def test_an_adapter_is_named_by_its_content_and_nothing_unfinished_stays(
    trained: tuple[Path, Path],
):
    adapter, weights = trained

    check(adapter)
    assert adapter.name == content_hash(adapter) == weights.name
    assert [folder.name for folder in adapter.parent.iterdir()] == [adapter.name]
    assert [folder.name for folder in weights.parent.iterdir()] == [weights.name]
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == 4
    names = {file.name for file in weights.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= names


def test_what_is_saved_is_bfloat16_whatever_it_was_computed_in(trained: tuple[Path, Path]):
    adapter, weights = trained
    record = json.loads((adapter / "training.json").read_text())

    assert record["precision"] in {"bfloat16", "float32"}
    assert f"{record['precision']}, masters in float32" in (adapter / "README.md").read_text()
    for file in (adapter / "adapter_model.safetensors", weights / "model.safetensors"):
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        kinds = {each["dtype"] for name, each in header.items() if name != "__metadata__"}
        assert kinds == {"BF16"}


def test_a_card_lies_beside_the_weights_and_changes_no_name(trained: tuple[Path, Path]):
    adapter, _ = trained
    text = (adapter / "README.md").read_text()

    assert text.startswith("---\nlibrary_name:")
    assert f"# Adapter {adapter.name[:12]}" in text
    assert "| home: light, hall | 0.90 | 4 | 1 |" in text
    assert "4 corrections" in text
    check(adapter)
    (adapter / "README.md").write_text(text + "\n")
    assert content_hash(adapter) == adapter.name


def test_the_same_data_and_seed_give_the_same_adapter(
    trained: tuple[Path, Path], tiny: Path, tmp_path: Path
):
    again, _ = outcome(train(job(tmp_path, tiny), tmp_path))

    assert again.name == trained[0].name


def test_rows_held_apart_choose_the_state_and_teach_nothing(
    trained: tuple[Path, Path], tiny: Path, tmp_path: Path
):
    given = job(tmp_path, tiny, retention_limit=10.0)
    for name, asked in (("corrections", "light in the hall"), ("replay", "say mu")):
        row = {"messages": [{"role": "user", "content": asked}], "answer": "{}", "apart": True}
        with Path(given[name]).open("a") as file:
            file.write(json.dumps(row) + "\n")

    adapter, _ = outcome(train(given, tmp_path))

    record = json.loads((adapter / "training.json").read_text())
    assert (record["corrections"], record["replay"]) == (4, 4)
    assert record["held_apart"] == {"corrections": 1, "replay": 1, "rehearsal": 0}
    start, *states = record["probes"]
    assert (start["step"], start["divergence"]) == (0, 0.0)
    best = max(states, key=lambda state: (state["exact"], state["step"]))
    assert best["step"] == (record["kept_after"] or 30)
    assert record["kept_because"].startswith(f"the state after {best['step']} steps: the best on")
    assert record["kept_because"] in (adapter / "README.md").read_text()
    # The course is that of a run without them.
    alone = json.loads((trained[0] / "training.json").read_text())
    assert [point["surprise"] for point in record["curve"]] == [
        point["surprise"] for point in alone["curve"]
    ]


def test_earlier_corrections_are_learnt_on_top_of_a_steps_tokens(
    trained: tuple[Path, Path], tiny: Path, tmp_path: Path
):
    given = job(tmp_path, tiny, rehearsal_rows=2)
    rooms = ("cellar", "loft", "porch")
    rows = [
        {"messages": [{"role": "user", "content": f"light in the {room}"}], "answer": room}
        for room in rooms
    ]
    rows[0]["apart"] = True
    file = tmp_path / "rehearsal.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given["rehearsal"] = str(file)

    adapter, _ = outcome(train(given, tmp_path))

    record = json.loads((adapter / "training.json").read_text())
    before = json.loads((trained[0] / "training.json").read_text())
    assert (record["rehearsal"], record["held_apart"]["rehearsal"]) == (2, 1)
    assert record["steps"] == before["steps"]
    assert record["tokens"] > before["tokens"]
    assert all(probed["earlier"] is not None for probed in record["probes"])
    assert "2 corrections of earlier cycles" in (adapter / "README.md").read_text()


def test_training_goes_on_from_the_champions_adapter(
    trained: tuple[Path, Path], tiny: Path, tmp_path: Path
):
    parent, _ = trained
    given = job(tmp_path, tiny, max_steps=2, learning_rate=1e-4) | {"parent": str(parent)}

    adapter, _ = outcome(train(given, tmp_path))

    record = json.loads((adapter / "training.json").read_text())
    first = json.loads((parent / "training.json").read_text())["curve"]
    assert record["parent"] == parent.name
    assert record["curve"][0]["surprise"] < first[0]["surprise"] * 0.85
    assert adapter.name != parent.name


def test_another_rank_than_the_champions_is_refused_by_both_names(
    trained: tuple[Path, Path], tiny: Path, tmp_path: Path
):
    given = job(tmp_path, tiny, rank=8) | {"parent": str(trained[0])}

    done = train(given, tmp_path, check=False)

    assert done.returncode == 2
    assert "rank 8" in done.stderr
    assert "rank 4" in done.stderr


def test_a_parent_with_a_pickle_in_it_is_refused(
    trained: tuple[Path, Path], tiny: Path, tmp_path: Path
):
    parent = tmp_path / "parent"
    parent.mkdir()
    for file in trained[0].iterdir():
        (parent / file.name).write_bytes(file.read_bytes())
    (parent / "extra.bin").write_bytes(pickle.dumps([1]))

    done = train(job(tmp_path, tiny) | {"parent": str(parent)}, tmp_path, check=False)

    assert done.returncode == 2
    assert "extra.bin may be a pickle" in done.stderr


def test_a_row_that_cannot_be_learnt_is_refused_by_file_and_line(tiny: Path, tmp_path: Path):
    given = job(tmp_path, tiny)
    file = Path(given["corrections"])
    file.write_text(file.read_text() + "not json\n")

    done = train(given, tmp_path, check=False)

    assert done.returncode == 2
    assert "corrections.jsonl, line 5: not {" in done.stderr
    assert not (tmp_path / "adapters").exists()


def test_a_row_that_does_not_fit_is_left_out_by_name_and_the_rest_is_learnt(
    tiny: Path, tmp_path: Path
):
    given = job(tmp_path, tiny, max_steps=2)
    corrections, replay = Path(given["corrections"]), Path(given["replay"])
    # A token a letter; two open the turns, two end them.
    long = {"messages": [{"role": "user", "content": "x" * 300}], "answer": "y"}
    with corrections.open("a") as file:
        file.write(json.dumps(long) + "\n")
    with replay.open("a") as file:
        file.write(json.dumps(long | {"answer": " "}) + "\n")

    done = train(given, tmp_path)

    record = json.loads((outcome(done)[0] / "training.json").read_text())
    assert (record["corrections"], record["replay"]) == (4, 4)
    assert record["refused"] == [
        {
            "file": "corrections.jsonl",
            "line": 5,
            "reason": "305 tokens; at most 256 are served",
        },
        {
            "file": "replay.jsonl",
            "line": 5,
            "reason": "an empty conversation or an empty answer",
        },
    ]
    assert "refused: corrections.jsonl, line 5: 305 tokens" in done.stdout
    assert "refused: replay.jsonl, line 5" in done.stdout


def test_where_no_row_fits_there_is_nothing_to_learn(tiny: Path, tmp_path: Path):
    done = train(job(tmp_path, tiny) | {"max_tokens": 8}, tmp_path, check=False)

    assert done.returncode == 2
    assert "no row to learn: 4 were refused, the first as corrections.jsonl, line 1" in done.stderr


def test_a_budget_ends_the_training_in_time_with_what_it_has(tiny: Path, tmp_path: Path):
    given = job(tmp_path, tiny, max_steps=10**6) | {"budget_s": 3.0}

    adapter, weights = outcome(train(given, tmp_path))

    record = json.loads((adapter / "training.json").read_text())
    steps = record["steps"]
    assert record["stopped"] == (
        f"the budget of 3 s did not suffice for more than {steps} of 1000000 steps"
    )
    assert 0 < steps < 10**6
    assert record["seconds"] <= 3.0
    assert record["stopped"] in (adapter / "README.md").read_text()
    assert weights.name == adapter.name == content_hash(adapter)


def test_a_budget_that_is_gone_before_the_first_step_gives_nothing(tiny: Path, tmp_path: Path):
    done = train(job(tmp_path, tiny) | {"budget_s": 1e-3}, tmp_path, check=False)

    assert done.returncode == 2
    assert "the budget of 0.001 s was spent before the first step" in done.stderr
    assert not (tmp_path / "adapters").exists()


def test_a_run_that_fits_its_budget_gives_the_same_adapter(
    trained: tuple[Path, Path], tiny: Path, tmp_path: Path
):
    adapter, _ = outcome(train(job(tmp_path, tiny) | {"budget_s": 3600.0}, tmp_path))

    assert adapter.name == trained[0].name
    assert json.loads((adapter / "training.json").read_text())["stopped"] is None


def test_a_disk_that_is_too_small_is_said_before_anything_is_trained(tiny: Path, tmp_path: Path):
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    with (base / "more.safetensors").open("wb") as file:
        file.truncate(shutil.disk_usage(tmp_path).free)  # holes: nothing is written

    done = train(job(tmp_path, base), tmp_path, check=False)

    assert done.returncode == 2
    assert "GB of disk left" in done.stderr
    assert "step 1" not in done.stdout


def test_a_loss_that_is_no_number_stops_the_run(tiny: Path, tmp_path: Path):
    done = train(job(tmp_path, tiny, learning_rate=1e30), tmp_path, check=False)

    assert done.returncode == 2
    assert "lower the recipe's learning rate of 1e+30" in done.stderr
    assert not (tmp_path / "adapters").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_behind(tiny: Path, tmp_path: Path, number: signal.Signals):
    with _started(tiny, tmp_path) as program:
        _wait_for_a_step(program)
        program.send_signal(number)

        assert program.wait(timeout=30) == 130

    assert [*tmp_path.glob("adapters/*"), *tmp_path.glob("weights/*")] == []


def test_training_dies_with_the_program_that_started_it(tiny: Path, tmp_path: Path):
    file = _endless(tiny, tmp_path)
    starter = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([{str(PYTHON)!r}, '-m', 'loop_platform.engine.train',"
        f" '--job', {str(file)!r}])\n"
        "print(child.pid, flush=True)\nchild.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as program:
        assert program.stdout is not None
        child = Path("/proc", program.stdout.readline().strip())
        _wait_for_a_step(program)
        program.kill()
        program.wait()

        deadline = time.monotonic() + 20
        while child.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _endless(tiny: Path, folder: Path) -> Path:
    file = folder / "job.json"
    file.write_text(json.dumps(job(folder, tiny, max_steps=10**6)))
    return file


def _started(tiny: Path, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [PYTHON, "-m", "loop_platform.engine.train", "--job", str(_endless(tiny, folder))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def _wait_for_a_step(program: "subprocess.Popen[str]") -> None:
    assert program.stdout is not None
    assert any(line.startswith("step ") for line in program.stdout)
