import numpy as np

from loop_platform.defs.curation.split import Rows, Split, Trained, nearest_across, split

SIMILARITY = 0.97


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def unlike(row: int) -> str:
    """A question that resembles no other."""
    return "".join(chr(ord("a") + int(digit)) * 6 for digit in f"{row:03d}") + str(row)


def rows_of(
    embeddings: np.ndarray,
    conversations: list[int] | None = None,
    questions: list[str] | None = None,
) -> Rows:
    ids = [f"decision-{row:03d}" for row in range(len(embeddings))]
    return Rows(
        ids=ids,
        conversations=conversations or ids,
        embeddings=embeddings,
        questions=questions or [unlike(row) for row in range(len(ids))],
    )


def parted(rows: Rows, trained: np.ndarray | None = None, said: tuple[str, ...] = ()) -> Split:
    none = np.zeros((0, 0), np.float32)
    known = Trained(none if trained is None else trained, said)
    return split(rows, share=0.2, similarity=SIMILARITY, trained=known)


def crossing(rows: Rows, made: Split) -> float:
    entering = [row for row, name in enumerate(rows.ids) if name not in made.deferred]
    heldout = np.array([rows.ids[row] in made.heldout for row in entering])
    return max(nearest_across(rows.embeddings[entering], heldout))


def test_a_fifth_is_held_out():
    rows = rows_of(unit(np.random.default_rng(1).normal(size=(100, 32))))
    made = parted(rows)
    assert len(made.heldout) == 20
    assert not made.deferred


def test_near_duplicates_stay_together():
    random = np.random.default_rng(2)
    kinds = random.normal(size=(30, 32))
    rows = rows_of(unit(np.repeat(kinds, 4, axis=0) + random.normal(size=(120, 32)) * 0.02))
    made = parted(rows)
    assert made.groups == 30
    assert 12 <= len(made.heldout) <= 24
    assert not made.deferred
    assert crossing(rows, made) < SIMILARITY


def test_one_chain_of_likeness_does_not_swallow_everything():
    angles = np.linspace(0, np.pi / 2, 100)  # neighbours are alike, the ends are not
    rows = rows_of(unit(np.stack([np.cos(angles), np.sin(angles)], axis=1)))
    made = parted(rows)
    assert made.groups == 1
    assert made.heldout
    assert len(made.heldout) == 20
    assert len(made.deferred) < 30
    assert crossing(rows, made) < SIMILARITY


def test_a_conversation_stays_on_one_side():
    rows = rows_of(
        unit(np.random.default_rng(3).normal(size=(60, 32))), [row // 3 for row in range(60)]
    )
    heldout = {int(name[-3:]) // 3 for name in parted(rows).heldout}
    assert len(parted(rows).heldout) == 3 * len(heldout)


def test_what_an_earlier_cycle_trained_on_is_no_test():
    embeddings = unit(np.random.default_rng(4).normal(size=(50, 32)))
    made = parted(rows_of(embeddings), trained=embeddings[:40])
    assert made.heldout <= {f"decision-{row:03d}" for row in range(40, 50)}


def test_what_differs_in_form_alone_stays_together_whatever_the_embedder_thinks_of_it():
    asked = [f"{unlike(row)} {tail}" for row in range(20) for tail in ("is it?", "IS IT")]
    rows = rows_of(unit(np.random.default_rng(6).normal(size=(40, 32))), questions=asked)
    made = parted(rows)
    heldout = [int(name[-3:]) for name in sorted(made.heldout)]
    assert made.groups == 20
    assert len(heldout) == 8
    assert {row // 2 for row in heldout[::2]} == {row // 2 for row in heldout[1::2]}


def test_what_an_earlier_training_replayed_is_no_test():
    embeddings = unit(np.random.default_rng(7).normal(size=(50, 32)))
    said = tuple(unlike(row).upper() + "!" for row in range(40))
    made = parted(rows_of(embeddings), said=said)
    assert made.heldout
    assert made.heldout <= {f"decision-{row:03d}" for row in range(40, 50)}


def test_the_same_rows_are_split_the_same_way_in_any_order():
    embeddings = unit(np.random.default_rng(5).normal(size=(40, 32)))
    rows = rows_of(embeddings)
    reversed_rows = Rows(
        ids=rows.ids[::-1],
        conversations=rows.conversations[::-1],
        embeddings=embeddings[::-1],
        questions=rows.questions[::-1],
    )
    assert parted(rows).heldout == parted(reversed_rows).heldout


def test_no_rows_and_one_row_have_no_test():
    assert not parted(rows_of(np.zeros((0, 0), np.float32))).heldout
    assert not parted(rows_of(unit(np.ones((1, 4))))).heldout
