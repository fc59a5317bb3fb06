from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from loop_platform.settings import GatewaySettings, Settings
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop
from loop_platform_tests.gateway.scripted_peer import Scripted, ScriptedPeer, chat_answer
from loop_platform_tests.gateway.serving import serving


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Segments that are shipped soon, and an alias for a task."""
    gateway = GatewaySettings(segment_max_age_s=0.2, tasks_by_model={"home": "home-commands"})
    return settings.model_copy(update={"gateway": gateway})


@pytest.fixture
def champion() -> Iterator[EnginePeer]:
    """An engine that serves r-1."""
    peer = EnginePeer("r-1")
    with serving(peer) as peer.url:
        yield peer


@pytest.fixture
def loop(settings: Settings, database: sa.Engine, champion: EnginePeer) -> Iterator[Loop]:
    """A running gateway with r-1 as its champion, and a contributor's key in the client."""
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    with loop.gateway():
        yield loop


@pytest.fixture
def peer() -> Iterator[ScriptedPeer]:
    """An upstream that answers as a test tells it to; a chat answer, until then."""
    peer = ScriptedPeer(lambda asked: Scripted(chat_answer()))
    with serving(peer) as peer.url:
        yield peer


@pytest.fixture
def scripted(settings: Settings, database: sa.Engine, peer: ScriptedPeer) -> Iterator[Loop]:
    """A running gateway with the scripted upstream as its champion r-1."""
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=peer.url)
    with loop.gateway():
        yield loop
