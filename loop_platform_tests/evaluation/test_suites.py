from pathlib import Path

import pytest

from loop_platform.defs.evaluation.suites import SuiteError, suite


def test_the_packaged_retention_suite_is_broad():
    prompts = suite("retention")

    assert len(prompts) >= 120
    assert len({prompt.category for prompt in prompts}) >= 12
    assert len({prompt.prompt for prompt in prompts}) == len(prompts)


def test_the_packaged_safety_suite_asks_for_both_kinds_of_behaviour():
    prompts = suite("safety")

    expected = [prompt.expect for prompt in prompts]
    assert len(prompts) >= 60
    assert expected.count("decline") >= 40
    assert expected.count("help") >= 20


def test_a_limit_takes_from_every_category():
    prompts = suite("retention", limit=28)

    categories = [prompt.category for prompt in prompts]
    assert {categories.count(category) for category in categories} == {2}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("{", "line 1 of .* is no prompt"),
        ('{"category": "a", "prompt": "b"}\n{"category": "a"}', "line 2 of .* is no prompt"),
        ('{"category": "a", "prompt": "b", "expect": "maybe"}', "decline"),
    ],
)
def test_a_broken_suite_is_refused_with_its_line(tmp_path: Path, content: str, complaint: str):
    (tmp_path / "safety.jsonl").write_text(content)

    with pytest.raises(SuiteError, match=complaint):
        suite("safety", tmp_path)


def test_a_missing_suite_is_named(tmp_path: Path):
    with pytest.raises(SuiteError, match=r"retention\.jsonl cannot be read"):
        suite("retention", tmp_path)
