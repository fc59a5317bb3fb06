from collections.abc import Iterator

import pytest

from loop_platform_tests.judging.endpoint import Endpoint, better, listening


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A judge that prefers the longer answer, until the test gives it another rule."""
    with listening(better(len)) as found:
        yield found
