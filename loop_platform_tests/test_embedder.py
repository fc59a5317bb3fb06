from pathlib import Path

import numpy as np
import pytest

from loop_platform.embedder import OnnxEmbedder, embedder
from loop_platform.packaged import fetch, packaged_path


@pytest.fixture(scope="module")
def minilm() -> OnnxEmbedder:
    fetch()
    return OnnxEmbedder(packaged_path("all-minilm-l6-v2"))


def test_texts_of_like_meaning_are_near(minilm: OnnxEmbedder) -> None:
    on, lamp, capital = minilm.embed(
        ["Turn on the light", "Switch the lamp on", "What is the capital of France?"]
    )
    assert on @ lamp > 0.5
    assert on @ capital < 0.2


def test_vectors_have_length_one_and_keep_the_order_of_the_texts(minilm: OnnxEmbedder) -> None:
    texts = [f"word {'long ' * (at % 9)}{at}" for at in range(70)]
    vectors = minilm.embed(texts)
    assert vectors.shape == (70, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([minilm.embed([text]) for text in texts[:5]])
    assert (np.sum(alone * vectors[:5], axis=1) > 0.99).all(), "padding changes next to nothing"


def test_the_same_texts_have_the_same_vectors(minilm: OnnxEmbedder) -> None:
    texts = ["one", "two words", "and three words here"]
    assert (minilm.embed(texts) == minilm.embed(texts)).all()


def test_no_text_and_empty_texts_and_long_ones_are_embedded(minilm: OnnxEmbedder) -> None:
    assert minilm.embed([]).shape == (0, 384)
    assert minilm.embed(["", "word " * 5000]).shape == (2, 384)


def test_the_settings_name_finds_the_packaged_model(minilm: OnnxEmbedder) -> None:
    assert embedder("packaged:all-minilm-l6-v2").dimensions == 384
    with pytest.raises(ValueError, match="no packaged model 'bert'"):
        embedder("packaged:bert")


def test_a_model_that_was_not_fetched_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"python -m loop_platform\.packaged"):
        packaged_path("all-minilm-l6-v2", cache=tmp_path)


def test_any_model_of_sentence_transformers_takes_its_place(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "light", "lamp", "on"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    BertModel(config).save_pretrained(tmp_path)
    own = embedder(str(tmp_path))
    together = own.embed(["light on", "lamp"])
    assert together.shape == (2, own.dimensions) == (2, 16)
    assert np.allclose(together[1], own.embed(["lamp"])[0], atol=1e-5), "padding does not count"
