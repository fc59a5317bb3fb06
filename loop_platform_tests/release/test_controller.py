"""The controller on real tables and real (tiny) engines."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import cycles, moves, route_counters
from loop_platform.observer import conduct
from loop_platform.release import leases, registry, requests, routes, slots, trials
from loop_platform.release.conduct import Comparison, Conduct
from loop_platform.release.guardrails import Counts, broken, worse
from loop_platform.release.requests import Outcome
from loop_platform.release.states import State
from loop_platform.settings import Front, Fronts, FrontSettings, GateSettings
from loop_platform.statistics.means import Moments
from loop_platform_tests.release.stage import Stage
from loop_platform_tests.segments import a_call, a_feedback


def ask_for(stage: Stage, release: str, to_state: State, **evidence: object) -> Outcome:
    """Ask for a move and give the controller two rounds."""
    request = stage.ask(
        lambda connection: requests.request_move(
            connection, release, to_state, actor="a test", reason="to see", evidence=evidence
        )
    )
    stage.step(2)
    return stage.ask(lambda connection: requests.outcome(connection, request))


def ready(release: str):
    def is_ready(connection: sa.Connection) -> bool:
        slot = slots.serving(connection, release)
        return slot is not None and slot.ready

    return is_ready


def conclude(stage: Stage, release: str, trial: State, verdict: trials.Verdict = "passed") -> None:
    stage.ask(lambda connection: trials.conclude(connection, release, trial, verdict, {"n": 10}))


def base_of(stage: Stage) -> str:
    stage.until(lambda connection: registry.champion(connection) is not None)
    champion = stage.ask(registry.champion)
    assert champion is not None
    stage.until(ready(champion.release))
    return champion.release


def to_canary(stage: Stage, name: str) -> None:
    stage.until(ready(name))
    assert ask_for(stage, name, State.EVALUATED).done
    assert stage.release(name).state is State.SHADOW
    conclude(stage, name, State.SHADOW)
    assert ask_for(stage, name, State.CANARY).done


def to_champion(stage: Stage, name: str) -> None:
    to_canary(stage, name)
    conclude(stage, name, State.CANARY)
    assert ask_for(stage, name, State.CHAMPION).done


def count(stage: Stage, release: str, route: str, calls: int, errors: int) -> None:
    minute = sa.func.date_trunc("minute", sa.func.clock_timestamp())
    stage.ask(
        lambda connection: connection.execute(
            insert(route_counters)
            .values(
                release=release,
                route=route,
                minute=minute,
                calls=calls,
                errors=errors,
                latency_ms=0,
                over_budget=0,
            )
            .on_conflict_do_update(
                constraint=route_counters.primary_key,
                set_={"calls": route_counters.c.calls + calls},
            )
        )
    )


def answered(
    stage: Stage, release: str, route: str, *, answers: int, objected: int = 0, says: str = "Hello."
) -> None:
    """As the observer reads it off the journal."""
    calls = [a_call(release=release, route=route, answer=says) for _ in range(answers)]
    said = [a_feedback(call.call_id) for call in calls[:objected]]
    stage.ask(lambda connection: conduct.take(connection, [*calls, *said]))


def test_the_base_model_is_the_first_champion(stage: Stage):
    base = base_of(stage)

    route = stage.ask(routes.read)
    assert (route.champion, route.champion_model) == (base, base)
    assert route.canary is None
    names = httpx.get(f"{route.champion_url}/v1/models").json()["data"]
    assert [model["id"] for model in names] == [base]
    [registered, crowned] = stage.ask(registry.moves)
    assert (registered.to_state, crowned.to_state) == (State.REGISTERED, State.CHAMPION)


def test_a_candidate_walks_the_whole_way_and_every_move_is_written_down(stage: Stage):
    base = base_of(stage)
    name = stage.register("aaaaaaaaaaaaaaaa")
    stage.until(ready(name))

    assert ask_for(stage, name, State.EVALUATED, scores=[1, 2]).done
    trial = stage.ask(lambda connection: trials.find(connection, name, State.SHADOW))
    assert trial is not None
    assert (trial.planned, trial.budget, trial.champion) == (10, 40, base)
    assert trial.fronts == stage.settings.gates.fronts
    stage.step(2)
    route = stage.ask(routes.read)
    assert (route.shadow, route.shadow_share, route.canary) == (name, 1.0, None)
    assert stage.ask(leases.left) > 0

    conclude(stage, name, State.SHADOW)
    stage.step(2)
    assert stage.ask(routes.read).shadow is None, "a judged shadow goes on mirroring"
    assert ask_for(stage, name, State.CANARY).done
    stage.step()
    assert stage.ask(routes.read).canary_share == 0.05

    conclude(stage, name, State.CANARY)
    assert ask_for(stage, name, State.CHAMPION).done
    route = stage.ask(routes.read)
    assert (route.champion, route.canary, route.shadow) == (name, None, None)
    assert stage.release(base).state is State.RETIRED
    assert stage.ask(ready(base)), "the champion of before stays hot"

    moved = stage.ask(lambda connection: registry.moves(connection, name))
    assert [move.to_state for move in moved] == [
        State.REGISTERED,
        State.EVALUATED,
        State.SHADOW,
        State.CANARY,
        State.CHAMPION,
    ]
    assert moved[1].evidence == {"scores": [1, 2]}
    files = moved[0].evidence["files"]
    assert set(files) == {
        f"{kind}/{name}"
        for kind in ("adapter", "weights")
        for name in ("answers.json", "model.safetensors")
    }
    assert moved[4].evidence == {
        "files": {"verdict": "as registered", "sha256": files},
        "canary": "passed",
        "approval": {"needed": True, "tasks": [], "given_by": "a test"},
        "predecessor": base,
        "successor": name,
    }
    closed = stage.ask(
        lambda connection: connection.execute(
            sa.select(cycles.c.closed_at).where(cycles.c.cycle == "of-aaaaaaaaaaaaaaaa")
        ).scalar_one()
    )
    assert closed is not None


@pytest.mark.parametrize("state", [State.SHADOW, State.CANARY, State.CHAMPION, State.RETIRED])
def test_a_move_that_the_machine_does_not_have_is_refused_with_a_sentence(
    stage: Stage, state: State
):
    base_of(stage)
    name = stage.register("bbbbbbbbbbbbbbbb")

    found = ask_for(stage, name, state)

    assert found.handled
    assert found.refusal is not None
    assert f"is registered and cannot become {state}" in found.refusal
    assert stage.release(name).state is State.REGISTERED


def test_nobody_is_promoted_before_the_canary_is_judged(stage: Stage):
    base_of(stage)
    name = stage.register("cccccccccccccccc")
    to_canary(stage, name)

    found = ask_for(stage, name, State.CHAMPION)

    assert found.refusal is not None
    assert "not judged yet" in found.refusal


def test_evidence_against_a_champion_of_before_is_refused(stage: Stage):
    base_of(stage)
    name = stage.register("dddddddddddddddd")

    found = ask_for(stage, name, State.EVALUATED, champion="base-of-old")

    assert found.refusal is not None
    assert "compared with 'base-of-old'" in found.refusal


def test_a_drill_that_passes_the_gates_is_stopped_with_an_alarm(stage: Stage):
    base_of(stage)
    name = stage.register("eeeeeeeeeeeeeeee", drill=True)
    stage.until(ready(name))
    ask_for(stage, name, State.EVALUATED)
    conclude(stage, name, State.SHADOW)

    ask_for(stage, name, State.CANARY)

    assert stage.release(name).state is State.REJECTED
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert "the drill passed the gates" in last.reason
    assert last.evidence["alarm"] is True
    assert stage.ask(routes.read).canary is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.write_bytes(b"others"), "when it was registered and is"),
        (lambda file: file.unlink(), "is gone"),
        (lambda file: file.with_name("chat_template.jinja").write_text("Lie."), "was not there"),
    ],
)
def test_a_candidate_whose_files_were_changed_is_turned_away_at_the_flip(
    stage: Stage, change: Callable[[Path], object], said: str
):
    base = base_of(stage)
    name = stage.register("adadadadadadadad")
    to_canary(stage, name)
    conclude(stage, name, State.CANARY)

    change(stage.release(name).weights_path / "model.safetensors")
    refused = ask_for(stage, name, State.CHAMPION)

    assert refused.refusal is not None
    assert said in refused.refusal
    assert stage.ask(routes.read).champion == base
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert (last.to_state, last.actor, last.reason) == (
        State.REJECTED,
        "controller",
        refused.refusal,
    )
    assert last.evidence["asked_by"] == "a test"
    [*_, changed] = last.evidence["files"]["changed"].values()
    assert changed["registered"] != changed["found"]
    assert stage.ask(routes.read).canary is None


def test_a_candidate_that_nobody_knows_the_files_of_is_turned_away(stage: Stage):
    """As one is that was registered by a version that did not write their hashes down: as soon as a
    controller sees it. The base model, of which nobody ever does, goes on."""
    base = base_of(stage)
    name = stage.register("aeaeaeaeaeaeaeae")
    to_canary(stage, name)
    conclude(stage, name, State.CANARY)
    stage.ask(
        lambda connection: connection.execute(
            sa.update(moves).where(moves.c.from_state.is_(None)).values(evidence={})
        )
    )

    refused = ask_for(stage, name, State.CHAMPION)

    assert "nobody wrote down what the files" in str(refused.refusal)
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert (last.from_state, last.to_state, last.actor) == (
        State.CANARY,
        State.REJECTED,
        "controller",
    )
    assert "Materialise training/adapter of its cycle in Dagster again" in last.reason
    assert stage.ask(routes.read).champion == base


def test_a_release_that_comes_back_with_other_files_is_refused(stage: Stage):
    base_of(stage)
    name = stage.register("afafafafafafafaf")
    to_champion(stage, name)
    assert ask_for(stage, name, State.ROLLED_BACK).done
    (stage.release(name).weights_path / "model.safetensors").write_bytes(b"others")

    request = stage.ask(
        lambda connection: requests.request_move(
            connection, name, State.CHAMPION, actor="a test", reason="again", evidence={}
        )
    )
    stage.until(lambda connection: requests.outcome(connection, request).handled)

    outcome = stage.ask(lambda connection: requests.outcome(connection, request))
    assert "are not those that were evaluated" in str(outcome.refusal)
    assert stage.release(name).state is State.ROLLED_BACK


def test_a_rollback_is_one_flip_back(stage: Stage):
    base = base_of(stage)
    name = stage.register("ffffffffffffffff")
    to_champion(stage, name)

    assert ask_for(stage, name, State.ROLLED_BACK).done

    assert stage.ask(routes.read).champion == base
    assert stage.release(name).state is State.ROLLED_BACK
    assert stage.release(base).state is State.CHAMPION


def test_a_new_champion_whose_calls_fail_is_taken_back(stage: Stage):
    base = base_of(stage)
    name = stage.register("acacacacacacacac")
    to_champion(stage, name)
    trial = stage.ask(lambda connection: trials.find(connection, name, State.CHAMPION))
    assert trial is not None
    assert (trial.champion, trial.planned, trial.verdict) == (base, 5, None)

    count(stage, name, "champion", calls=6, errors=3)
    stage.step(3)

    assert stage.ask(routes.read).champion == base
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert (last.to_state, last.actor) == (State.ROLLED_BACK, "controller")
    assert "guardrail after its promotion: 3 of 6 calls failed" in last.reason


def test_a_new_champion_whose_answers_people_object_to_is_taken_back(stage: Stage):
    base = base_of(stage)
    name = stage.register("adadadadadadadad")
    answered(stage, base, "champion", answers=60)
    to_champion(stage, name)
    stage.step(1)
    assert stage.ask(routes.read).champion == name

    answered(stage, name, "champion", answers=12, objected=9)
    stage.step(3)

    assert stage.ask(routes.read).champion == base
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert "guardrail after its promotion: 9 of 12 answers were objected to" in last.reason


def test_a_champion_that_was_brought_back_is_not_watched(stage: Stage):
    base = base_of(stage)
    name = stage.register("bcbcbcbcbcbcbcbc")
    to_champion(stage, name)
    assert ask_for(stage, name, State.ROLLED_BACK).done

    count(stage, base, "champion", calls=6, errors=3)
    stage.step(3)

    assert stage.ask(routes.read).champion == base


class TestDraining:
    @pytest.fixture
    def drain_s(self) -> float:
        return 3600.0

    def test_a_champion_that_was_rolled_back_finishes_its_answers(self, stage: Stage):
        base = base_of(stage)
        name = stage.register("abcdabcdabcdabcd")
        to_champion(stage, name)
        assert ask_for(stage, name, State.ROLLED_BACK).done
        stage.step(3)

        assert stage.ask(routes.read).champion == base
        assert stage.ask(ready(name)), "its engine was stopped under calls that it answers"

    def test_no_candidate_takes_the_place_of_a_champion_that_was_followed_just_now(
        self, stage: Stage
    ):
        base = base_of(stage)
        name = stage.register("abcdabcdabcdabcd")
        to_canary(stage, name)
        waiting = stage.register("bcdebcdebcdebcde")
        conclude(stage, name, State.CANARY)
        assert ask_for(stage, name, State.CHAMPION).done
        stage.step(3)

        assert stage.ask(ready(base))
        assert stage.ask(lambda connection: slots.serving(connection, waiting)) is None

    def test_a_rollback_needs_no_patience(self, stage: Stage):
        base = base_of(stage)
        first = stage.register("abcdabcdabcdabcd")
        to_champion(stage, first)
        assert ask_for(stage, first, State.ROLLED_BACK).done

        request = stage.ask(
            lambda connection: requests.request_move(
                connection, first, State.CHAMPION, actor="a test", reason="why not", evidence={}
            )
        )
        stage.until(lambda connection: requests.outcome(connection, request).done)

        assert stage.ask(routes.read).champion == first
        assert stage.release(base).state is State.RETIRED


def test_the_first_champion_cannot_be_rolled_back(stage: Stage):
    base = base_of(stage)

    found = ask_for(stage, base, State.ROLLED_BACK)

    assert found.refusal is not None
    assert "none to roll back to" in found.refusal


def test_a_rollback_to_a_release_that_is_not_loaded_loads_it_first_and_voids_the_candidate(
    stage: Stage,
):
    base = base_of(stage)
    champion = stage.register("1111111111111111")
    to_champion(stage, champion)
    candidate = stage.register("2222222222222222")
    to_canary(stage, candidate)
    assert stage.ask(lambda connection: slots.serving(connection, base)) is None

    request = stage.ask(
        lambda connection: requests.request_move(
            connection,
            champion,
            State.ROLLED_BACK,
            actor="a test",
            reason="it is worse",
            evidence={},
        )
    )
    stage.step(2)
    assert stage.ask(routes.read).champion == champion, "it moved before the engine was ready"
    stage.until(lambda connection: requests.outcome(connection, request).done)

    route = stage.ask(routes.read)
    assert (route.champion, route.canary) == (base, None)
    assert stage.release(candidate).state is State.REJECTED


def test_a_canary_that_fails_is_ended_at_once(stage: Stage):
    base_of(stage)
    name = stage.register("3333333333333333")
    to_canary(stage, name)
    stage.step()
    assert stage.ask(routes.read).canary == name

    count(stage, name, "canary", calls=6, errors=3)
    stage.step()

    assert stage.ask(routes.read).canary is None
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert last.to_state is State.REJECTED
    assert "3 of 6 calls failed" in last.reason
    assert last.evidence["canary"] == {"calls": 6, "errors": 3, "over_budget": 0}


def test_a_canary_that_declines_is_ended_at_once(stage: Stage):
    base = base_of(stage)
    name = stage.register("edededededededed")
    to_canary(stage, name)
    answered(stage, base, "champion", answers=60)
    answered(stage, name, "canary", answers=12)
    stage.step(1)
    assert stage.release(name).state is State.CANARY

    answered(stage, name, "canary", answers=12, says="I'm sorry, I can't help with that.")
    stage.step(1)

    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert (last.to_state, last.actor) == (State.REJECTED, "controller")
    assert (
        "guardrail in canary: 12 of 24 answers declined, of the champion's 0 of 60" in last.reason
    )
    assert last.evidence["met"]["candidate"]["declined"] == 12
    assert stage.ask(routes.read).canary is None


class TestWorse:
    """What callers meet, beside the champion's."""

    def sentence(self, mine: Conduct, ratio: float = 1.2, **fronts: Front) -> str | None:
        theirs = Conduct(400, 8, 20, Moments(400, 8000.0, 200_000.0))
        declared = FrontSettings(everywhere=Fronts(**fronts))
        return worse(Comparison(mine, theirs), declared, ratio)

    def test_what_is_as_the_champion_is_goes_on(self):
        assert self.sentence(Conduct(40, 1, 2, Moments(40, 800.0, 20_000.0))) is None
        assert self.sentence(Conduct(0, 0, 0, Moments(0, 0.0, 0.0))) is None

    def test_complaints_beyond_the_margin_end_it_and_a_watched_front_puts_up_with_more(self):
        mine = Conduct(40, 1, 14, Moments(40, 800.0, 20_000.0))
        told = self.sentence(mine)
        assert told is not None
        assert "14 of 40 answers were objected to, of the champion's 20 of 400" in told
        assert "5.0% is the limit" in told
        assert self.sentence(mine, satisfaction=Front(aim="watch", margin=0.5)) is None

    def test_more_objections_than_answers_so_far_are_all_of_them(self):
        mine = Conduct(10, 0, 12, Moments(10, 200.0, 5000.0))
        assert "10 of 10 answers" in (self.sentence(mine) or "")

    def test_twice_the_tokens_end_it(self):
        mine = Conduct(200, 4, 10, Moments(200, 8000.0, 340_000.0))
        told = self.sentence(mine)
        assert told is not None
        assert "an answer takes 40.0 tokens, the champion's 20.0: more than 1.2 times" in told
        assert self.sentence(mine, ratio=2.5) is None


def test_a_shadow_that_has_enough_copies_for_its_next_look_waits_for_it(stage: Stage):
    base_of(stage)
    name = stage.register("efefefefefefefef")
    stage.until(ready(name))
    ask_for(stage, name, State.EVALUATED)
    stage.step()
    assert stage.ask(routes.read).shadow == name

    count(stage, name, "shadow", calls=13, errors=0)
    stage.step()

    assert stage.ask(routes.read).shadow is None
    assert stage.release(name).state is State.SHADOW

    stage.ask(lambda connection: trials.look(connection, name, State.SHADOW, {"looked_at": 10}))
    stage.step()
    assert stage.ask(routes.read).shadow == name, "13 copies are fewer than 1.25 times 13 pairs"

    count(stage, name, "shadow", calls=37, errors=0)
    stage.ask(lambda connection: trials.look(connection, name, State.SHADOW, {"looked_at": 39}))
    stage.step()
    assert stage.ask(routes.read).shadow is None, "50 copies suffice for the 40 that are its budget"


def test_a_slow_canary_is_ended_and_a_slow_shadow_is_not():
    counted = Counts(calls=20, errors=0, over_budget=10)

    assert "longer than the budget" in str(broken(counted, "canary", GateSettings()))
    assert broken(counted, "shadow", GateSettings()) is None


def test_one_failed_call_ends_nothing(stage: Stage):
    base_of(stage)
    name = stage.register("4444444444444444")
    to_canary(stage, name)

    count(stage, name, "canary", calls=1, errors=1)
    stage.step(2)

    assert stage.release(name).state is State.CANARY


class TestImpatientGates:
    @pytest.fixture
    def gates(self) -> GateSettings:
        return GateSettings(shadow_pairs=10, stage_timeout_s=0.5)

    def test_a_stage_that_takes_too_long_ends_with_its_reason(self, stage: Stage):
        base_of(stage)
        name = stage.register("5555555555555555")
        stage.until(ready(name))
        ask_for(stage, name, State.EVALUATED)
        time.sleep(0.6)

        stage.step()

        last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
        assert last.to_state is State.REJECTED
        assert last.reason == (
            "shadow took longer than 0.5 s: 0 calls came, 0 were judged, 5000 may be"
        )


class TestImpatientStart:
    @pytest.fixture
    def start_timeout_s(self) -> float:
        return 3.0

    def test_a_candidate_whose_engine_does_not_come_up_is_turned_away(self, stage: Stage):
        base_of(stage)
        port = stage.settings.engine.ports[1]
        with socket.create_server(("127.0.0.1", port)):
            name = stage.register("6666666666666666")
            stage.until(lambda connection: registry.find(connection, name).state is State.REJECTED)

        last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
        assert last.reason == "its engine did not serve it within 3 s"

    def test_a_champion_that_lost_its_watch_is_taken_back_however_late_the_one_before_comes_up(
        self, stage: Stage
    ):
        base = base_of(stage)
        name = stage.register("8888888888888888")
        to_champion(stage, name)
        stage.engines.stop("engine-a")
        with socket.create_server(("127.0.0.1", stage.settings.engine.ports[0])):
            stage.until(lambda connection: not ready(base)(connection))
            count(stage, name, "champion", calls=40, errors=20)
            stage.until(
                lambda connection: "within 3 s" in str(requests.last_refusal(connection, name))
            )
            assert stage.ask(routes.read).champion == name
        stage.until(lambda connection: routes.read(connection).champion == base)

        last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
        assert (last.to_state, last.actor) == (State.ROLLED_BACK, "controller")
        assert last.reason.startswith("asked again: guardrail after its promotion: 20 of 40 calls")
        assert "within 3 s" in last.evidence["refused before"]

        ask_for(stage, name, State.CHAMPION)
        stage.until(lambda connection: routes.read(connection).champion == name)
        stage.step(4)
        assert stage.ask(routes.read).champion == name, "a person brought it back"


def test_a_champion_whose_engine_dies_stays_routed_and_comes_back(stage: Stage):
    base = base_of(stage)

    stage.engines.stop("engine-a")
    stage.until(lambda connection: not ready(base)(connection))
    assert stage.ask(routes.read).champion == base
    stage.until(ready(base))

    assert stage.ask(routes.read).champion == base


def test_a_paused_loop_begins_nothing_new(stage: Stage):
    base_of(stage)
    name = stage.register("7777777777777777")
    stage.until(ready(name))
    stage.ask(lambda connection: routes.set_paused(connection, True))

    ask_for(stage, name, State.EVALUATED)
    assert stage.release(name).state is State.EVALUATED
    stage.ask(lambda connection: routes.set_paused(connection, False))
    stage.step()

    assert stage.release(name).state is State.SHADOW
