"""Which folders are adapters, and which are refused before anything is loaded."""

import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest

from loop_platform.engine.adapter import CONFIG, WEIGHTS, AdapterRefusedError, check, content_hash


def safetensors() -> bytes:
    header = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\x00" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / CONFIG).write_text('{"r": 4, "lora_alpha": 8}')
    (tmp_path / WEIGHTS).write_bytes(safetensors())
    return tmp_path


def test_safetensors_and_a_configuration_make_an_adapter(folder: Path):
    check(folder)


@pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "deep/state.pkl"])
def test_a_pickle_beside_the_weights_is_refused(folder: Path, name: str):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps({"a": 1}))

    with pytest.raises(AdapterRefusedError, match="only safetensors"):
        check(folder)


def test_a_pickle_is_known_by_its_content_under_any_name(folder: Path):
    (folder / "README.md").write_bytes(pickle.dumps([1]))

    with pytest.raises(AdapterRefusedError, match=r"README.md may be a pickle"):
        check(folder)


def test_the_archive_that_torch_saves_is_refused_under_any_name(folder: Path):
    with zipfile.ZipFile(folder / "notes.txt", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps([1]))

    with pytest.raises(AdapterRefusedError, match=r"notes.txt may be a pickle"):
        check(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_folder_without_one_of_the_two_files_is_no_adapter(folder: Path, name: str):
    (folder / name).unlink()

    with pytest.raises(AdapterRefusedError, match=f"has no {name}"):
        check(folder)


@pytest.mark.parametrize("content", [b"", b"hello world, no header", safetensors()[:20]])
def test_weights_that_are_no_safetensors_are_refused(folder: Path, content: bytes):
    (folder / WEIGHTS).write_bytes(content)

    with pytest.raises(AdapterRefusedError, match="no safetensors file"):
        check(folder)


def test_the_hash_is_of_the_content_not_of_its_layout(folder: Path):
    before = content_hash(folder)
    (folder / CONFIG).write_text('{\n "lora_alpha": 8,\n "r": 4\n}')
    (folder / "training.json").write_text("{}")

    assert content_hash(folder) == before

    (folder / CONFIG).write_text('{"r": 4, "lora_alpha": 16}')

    assert content_hash(folder) != before
