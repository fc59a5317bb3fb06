"""A console on the test's own database, and people who look at it."""

from collections.abc import Callable, Iterator

import httpx
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from loop_platform.console.app import create_app
from loop_platform.keys import create_key
from loop_platform.settings import Settings

Visitor = Callable[..., httpx.Client]


@pytest.fixture
def console(settings: Settings, database: sa.Engine) -> Iterator[TestClient]:
    """Nobody in particular."""
    with TestClient(create_app(settings, database), follow_redirects=False) as client:
        yield client


@pytest.fixture
def visitor(console: TestClient, database: sa.Engine) -> Visitor:
    """Makes a key and a client that sends it."""

    def make(role: str = "reviewer", name: str = "ada", tenant: str = "acme") -> httpx.Client:
        with database.begin() as connection:
            key = create_key(connection, role, tenant, name)
        client = TestClient(console.app, follow_redirects=False)
        client.headers["authorization"] = f"Bearer {key}"
        return client

    return make
