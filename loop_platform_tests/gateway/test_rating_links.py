"""An end user rates by a link: signed, expiring, used once, and never by being looked at."""

import time

import httpx
import pytest
import sqlalchemy as sa

from loop_platform.gateway.rating_links import LinkSigner, RatingLink
from loop_platform.records import Feedback
from loop_platform.settings import RetentionSettings, Settings
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop
from loop_platform_tests.gateway.test_journal import room_for

LINK = RatingLink("call", "acme", "ada/eve", 1_900_000_000, (1, 5))


def asked(loop: Loop, call_id: str | None = None, **more: object) -> httpx.Response:
    call_id = call_id or loop.chat().headers["x-loop-call-id"]
    return loop.client.post("/v1/feedback/links", json={"call_id": call_id} | more)


def path_of(link: httpx.Response) -> str:
    assert link.status_code == 201, link.text
    return httpx.URL(link.json()["url"]).path


def user(loop: Loop) -> httpx.Client:
    """A browser: no key."""
    return httpx.Client(base_url=loop.client.base_url, timeout=15)


def ratings(loop: Loop) -> list[Feedback]:
    return loop.lines(Feedback)


def test_a_user_rates_once_by_the_button_and_not_by_looking(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    path = path_of(asked(loop, call_id, ratings=[1, 5], user="eve"))
    with user(loop) as browser:
        for _ in range(2):
            page = browser.get(path)
            assert page.status_code == 200
            assert page.text.count("<button") == 2
            assert "autofocus" not in page.text  # no choice is made for anybody
        assert browser.head(path).status_code == 200
        assert browser.get(path, params={"rating": 5}).text.count("<button") == 1
        assert ratings(loop) == []
        thanks = browser.post(path, data={"rating": "5"}).text
        assert "Thank you" in thanks
        assert "5 of 5" in thanks
        assert "autofocus" in thanks  # a screen reader begins here
        (rating,) = ratings(loop)
        assert (rating.call_id, rating.tenant, rating.contributor) == (call_id, "acme", "ada/eve")
        assert (rating.kind, rating.rating) == ("rating", 5)
        again = browser.post(path, data={"rating": "1"})
        assert (again.status_code, "Rated already" in again.text) == (409, True)
        assert browser.get(path).status_code == 409
    assert ratings(loop) == [rating]
    assert loop.client.get(f"/v1/feedback/{rating.feedback_id}").status_code == 200


def test_what_two_links_on_one_call_rate_has_one_id(loop: Loop):
    """Also where the first rating is remembered no more: telemetry leaves the second out."""
    call_id = loop.chat().headers["x-loop-call-id"]
    paths = [path_of(asked(loop, call_id, expires_in_s=after)) for after in (60, 120)]
    with user(loop) as browser:
        assert browser.post(paths[0], data={"rating": "2"}).status_code == 202
        assert browser.post(paths[1], data={"rating": "3"}).status_code == 409
        for file in (loop.settings.data_dir / "idempotency").glob("*/*"):
            file.unlink()
        assert browser.post(paths[1], data={"rating": "3"}).status_code == 202
    assert len({rating.feedback_id for rating in ratings(loop)}) == 1


def test_a_choice_that_was_not_offered_is_none(loop: Loop):
    path = path_of(asked(loop, ratings=[1, 5]))
    with user(loop) as browser:
        for data in ({}, {"rating": "3"}, {"rating": "05"}, {"rating": ["1", "5"]}, {"rating": ""}):
            assert browser.post(path, data=data).status_code == 400, data
        assert browser.post(path, content=b"rating=1&x=" + b"y" * 5000).status_code == 413
        assert ratings(loop) == []
        assert browser.post(path, data={"rating": "1"}).status_code == 202


def test_a_page_is_kept_by_nobody_and_told_to_nobody(loop: Loop):
    with user(loop) as browser:
        page = browser.get(path_of(asked(loop)), params={"rating": "<script>"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "script" not in page.text


def test_a_link_that_is_not_ours_is_refused(loop: Loop):
    path = path_of(asked(loop))
    forged = LinkSigner(b"another installation").token(LINK)
    changed = path[:-2] + ("AA" if path[-2:] != "AA" else "BB")
    with user(loop) as browser:
        for other in (changed, path[:-5], path + "x", f"/rate/{forged}", "/rate/x", "/rate/%C3%A9"):
            assert browser.get(other).status_code == 404, other
            assert browser.post(other, data={"rating": "5"}).status_code == 404, other
    assert ratings(loop) == []


def test_a_link_expires(loop: Loop):
    path = path_of(asked(loop, expires_in_s=1))
    with user(loop) as browser:
        while browser.get(path).status_code == 200:
            time.sleep(0.05)
        assert browser.get(path).status_code == 410
        assert browser.post(path, data={"rating": "5"}).status_code == 410
    assert ratings(loop) == []


def test_a_link_does_not_outlive_its_call(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    with loop.gateway():
        path = path_of(asked(loop))
    loop.settings = settings.model_copy(update={"retention": RetentionSettings(days=1e-9)})
    with loop.gateway(), user(loop) as browser:
        gone = browser.get(path)
        assert (gone.status_code, "no longer kept" in gone.text) == (410, True)
        assert asked(loop).json()["error"]["code"] == "call_expired"


def test_a_rating_that_cannot_be_written_can_be_given_again(loop: Loop):
    path = path_of(asked(loop))
    with user(loop) as browser:
        with room_for(10):
            full = browser.post(path, data={"rating": "5"})
            assert (full.status_code, "try again in a minute" in full.text) == (503, True)
        assert browser.post(path, data={"rating": "5"}).status_code == 202


NO_LINKS: list[tuple[dict[str, object], int]] = [
    ({"ratings": []}, 400),
    ({"ratings": [0]}, 400),
    ({"ratings": ["5"]}, 400),
    ({"expires_in_s": 0}, 400),
    ({"expires_in_s": 1e12}, 400),
    ({"user": "\0"}, 400),
    ({"call_id": "no-id"}, 404),
]


@pytest.mark.parametrize(("change", "status"), NO_LINKS)
def test_a_link_that_makes_no_sense_is_not_made(loop: Loop, change: dict[str, object], status: int):
    assert asked(loop, **change).status_code == status  # type: ignore[arg-type]


def test_links_are_made_for_ones_own_calls_alone(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    loop.key("caller")
    assert asked(loop, call_id).status_code == 403
    loop.key(tenant="other")
    assert asked(loop, call_id).status_code == 404


def test_a_link_begins_with_the_address_that_users_have(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    gateway = settings.gateway.model_copy(update={"public_url": "https://loop.example/"})
    loop = Loop(settings.model_copy(update={"gateway": gateway}), database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    with loop.gateway():
        assert asked(loop).json()["url"].startswith("https://loop.example/rate/")


def test_a_token_says_what_it_was_made_of_and_nothing_else_passes():
    signer = LinkSigner(b"a secret of this test")
    token = signer.token(LINK)
    assert signer.read(token) == LINK
    for place in range(len(token)):
        other = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(ValueError, match="token"):
            signer.read(other)
    for other in ("", "=", "a", "é"):
        with pytest.raises(ValueError, match="token"):
            signer.read(other)
