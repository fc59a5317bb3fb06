"""A new kind of judge is a new file."""

from pathlib import Path

import pytest

from loop_platform.judging import judges as package
from loop_platform.judging.contest import Contest, Ruling
from loop_platform.judging.judges import judges, kinds
from loop_platform.settings import JudgingSettings, Settings, TaskJudging
from loop_platform.stack.errors import StackError
from loop_platform.stack.preparation import check_judges

_FILE = '''
"""Prefers the answer with a word in it."""
from loop_platform.judging.contest import Ruling

class _Judge:
    def __init__(self, word): self.word = word
    @property
    def identity(self): return self.word
    def judge(self, contests):
        return [Ruling("one" if self.word in each.one else "other") for each in contests]

def judge(settings, rubric): return _Judge(settings["word"])
'''


def test_a_file_in_the_folder_is_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wordy.py").write_text(_FILE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    settings = JudgingSettings(
        judges={"polite": {"kind": "wordy", "word": "please"}},
        tasks={"chat": TaskJudging(judge="polite")},
    )

    found = judges(settings)["chat"]
    # However the coins fall, the answer with the word is the better one.
    contests = [Contest(str(number), [], one="no", other="yes please") for number in range(20)]

    assert {"model", "wordy"} <= set(kinds())
    assert found.rule(contests) == [Ruling("other")] * 20


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        ({"kind": "oracle"}, "kind 'oracle'; there are: model"),
        ({"kind": "model", "url": "http://x/v1"}, "model\n  Field required"),
    ],
)
def test_a_judge_that_cannot_be_made_is_found_out_at_the_start(
    judge: dict[str, str], says: str
) -> None:
    judging = JudgingSettings(judges={"j": judge}, tasks={"chat": TaskJudging(judge="j")})

    with pytest.raises(StackError, match=says):
        check_judges(Settings(judging=judging))
