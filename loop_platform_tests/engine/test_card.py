"""What a model card says, from a record and from evidence."""

from typing import Any

import yaml

from loop_platform.engine.card import card

RECORD: dict[str, Any] = {
    "adapter": "ab" * 32,
    "base": "acme/small-chat",
    "licence": "apache-2.0",
    "parent": None,
    "data_sha256": "cd" * 32,
    "corrections": 80,
    "replay": 20,
    "modes": [
        {
            "name": "home: kitchen, light",
            "cluster": "home-0001",
            "severity": 0.9,
            "rows": 60,
            "held_out": 15,
        },
        {
            "name": "home: a | b",
            "cluster": "home-0002",
            "severity": None,
            "rows": 20,
            "held_out": 5,
        },
    ],
    "recipe": {
        "rank": 64,
        "alpha": 64,
        "learning_rate": 0.001,
        "divergence_weight": 8.0,
        "tokens_per_step": 1024,
    },
    "seed": 17,
    "steps": 90,
    "tokens": 50000,
    "seconds": 120.5,
    "tokens_per_s": 414.9,
    "cost": 0.0067,
    "final_surprise": 0.1,
    "final_divergence": None,
    "versions": {"python": "3.11.0"},
}
BEFORE = {"rate": 0.1, "n": 15, "low": 0.02, "high": 0.38}
AFTER = {"rate": 0.9, "n": 15, "low": 0.64, "high": 0.98}
EVIDENCE: dict[str, Any] = {
    "champion": "base-1",
    "verdict": "failed",
    "gates": [{"gate": "safety_is_kept", "passed": False, "sentence": "3 of 60 were lost"}],
    "scores": [
        {
            "task": "all corrections",
            "metric": "success",
            "champion": BEFORE,
            "candidate": AFTER,
            "self": None,
            "verdict": "won",
        },
        {
            "task": "safety",
            "metric": "declined or harmless",
            "champion": AFTER,
            "candidate": BEFORE,
            "self": None,
            "verdict": "lost",
        },
    ],
    "modes": {
        "mended": ["home: kitchen, light"],
        "worse": ["home: a | b"],
        "not known": 0,
        "each": [
            {
                "mode": "home: kitchen, light",
                "champion": BEFORE,
                "candidate": AFTER,
                "verdict": "mended",
            }
        ],
    },
}


def front_matter(text: str) -> dict[str, Any]:
    _, head, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(head)
    return found


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_front_matter_is_what_hub_and_peft_read():
    assert front_matter(card(RECORD)) == {
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "base_model": "acme/small-chat",
        "tags": ["base_model:adapter:acme/small-chat", "lora"],
    }


def test_a_base_that_the_hub_does_not_have_is_named_in_the_text_alone():
    text = card(RECORD | {"base": "packaged:tiny", "licence": None})
    assert front_matter(text).keys() == {"library_name", "pipeline_tag", "tags"}
    assert "`packaged:tiny`" in text
    assert "models.base_licence" in section(text, "Licence")


def test_it_says_what_was_aimed_at_what_it_was_made_from_and_what_it_took():
    text = card(RECORD)
    assert "| home: kitchen, light | 0.90 | 60 | 15 |" in section(text, "Aimed at")
    assert "| home: a / b | – | 20 | 5 |" in section(text, "Aimed at")
    assert "80 corrections" in section(text, "Data")
    assert "cd" * 32 in section(text, "Data")
    assert "arXiv:2106.09685" in section(text, "Method")
    assert "120.5 s" in section(text, "What it took")
    assert "cost 0.0067" in section(text, "What it took")


def test_the_method_is_the_recipes():
    assert "2406.05223" in section(card(RECORD), "Method")
    assert "2305.18290" not in section(card(RECORD), "Method")
    preferring = RECORD["recipe"] | {"preference_weight": 0.5, "preference_beta": 0.1}
    assert "2305.18290" in section(
        card(RECORD | {"preferences": 9, "recipe": preferring}), "Method"
    )
    rated = RECORD["recipe"] | {"thumbs_weight": 0.2, "thumbs_beta": 0.1}
    assert "2402.01306" in section(card(RECORD | {"thumbs": 20, "recipe": rated}), "Method")
    plain = card(RECORD | {"replay": 0})
    assert "2406.05223" not in section(plain, "Method")
    assert "nothing holds the other tasks" in section(plain, "Method")


def test_it_says_which_state_was_kept_and_what_it_was_chosen_by():
    probes = [
        {"step": 0, "exact": 0.0, "surprise": 3.0, "divergence": 0.0},
        {"step": 90, "exact": 0.75, "surprise": 0.25, "divergence": None},
    ]
    text = card(
        RECORD
        | {
            "kept_because": "the state after 90 steps: the best",
            "probes": probes,
            "held_apart": {"corrections": 8, "replay": 3},
        }
    )
    assert "Kept is the state after 90 steps: the best." in section(text, "What it took")
    assert "| 90 | 75% | 0.2500 | – |" in section(text, "What it took")
    assert "8 corrections and 3 such answers that it did not learn from" in section(text, "Data")


def test_before_the_evaluation_it_claims_nothing():
    text = card(RECORD)
    assert section(text, "Measured").strip().startswith("Nothing yet")
    assert section(text, "What got worse").strip() == "Not known yet."


def test_after_it_says_what_was_measured_and_what_got_worse():
    text = card(RECORD, EVIDENCE)
    measured = section(text, "Measured")
    row = "| all corrections | success | 10.0% (2.0% to 38.0%, n 15) | 90.0% (64.0% to 98.0%, n 15)"
    assert row in measured
    assert "Failure modes mended: home: kitchen, light." in measured
    assert "The gates: failed." in measured
    worse = section(text, "What got worse").strip().splitlines()
    assert worse == ["- safety", "- home: a | b", "- safety_is_kept: 3 of 60 were lost"]


def test_the_card_of_a_record_from_before_there_were_cards():
    old = {name: value for name, value in RECORD.items() if name not in {"modes", "licence"}}
    text = card(old, {key: value for key, value in EVIDENCE.items() if key != "modes"})
    assert "names no failure modes" in text
