"""HTTP to the engines, against servers that write what a test tells them to."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from loop_platform.gateway.connections import Address, BrokenError, LateError, Pool

REQUEST = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def asked(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\nhi")


def served(handler: Handler, test: Callable[[Pool, Address], Awaitable[None]]) -> None:
    """Runs the test against a server that does with each connection what the handler does."""

    async def run() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        pool = Pool(4.0, 5.0)
        try:
            async with asyncio.timeout(60):
                await test(pool, Address("127.0.0.1", server.sockets[0].getsockname()[1], False))
        finally:
            pool.close()
            server.close()

    asyncio.run(run())


def writes(*pieces: bytes, times: int = 1) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            await asked(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()

    return handler


async def read(pool: Pool, address: Address) -> tuple[int, bytes]:
    connection = await pool.connected(address)
    response = connection.send(REQUEST, 30.0)
    await response.begun()
    body = b""
    while data := await response.some():
        body += data
    assert response.at_end
    return response.status, body


SHAPES = [
    (b"content-length: 5\r\n\r\nhello",),
    (b"Content-Length: 5\r\n", b"\r\nhel", b"lo"),
    (b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",),
    (b"transfer-encoding: chunked\r\n\r\n3\r\nh", b"el\r\n2\r", b"\nlo\r\n0\r\n", b"\r\n"),
]


@pytest.mark.parametrize("pieces", SHAPES)
def test_an_answer_is_whole_however_it_is_cut_and_its_connection_is_used_again(pieces):
    accepted = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await writes(OK, *pieces, times=3)(reader, writer)

    async def test(pool: Pool, address: Address) -> None:
        for _ in range(3):
            assert await read(pool, address) == (200, b"hello")

    served(handler, test)
    assert len(accepted) == 1


def test_an_answer_can_end_with_its_connection():
    async def test(pool: Pool, address: Address) -> None:
        assert await read(pool, address) == (200, b"hello")
        assert await read(pool, address) == (200, b"hello")  # on another one

    served(writes(OK + b"connection: close\r\n\r\nhello"), test)


def test_an_interim_answer_is_none():
    async def test(pool: Pool, address: Address) -> None:
        assert await read(pool, address) == (201, b"x")

    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    served(writes(interim, b"HTTP/1.1 201 Created\r\ncontent-length: 1\r\n\r\nx"), test)


BROKEN = [
    b"",
    b"HTTP/1.1 200 OK\r\ncontent-le",
    OK + b"content-length: 50\r\n\r\nhello",
    OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
]


@pytest.mark.parametrize("text", BROKEN)
def test_an_answer_that_breaks_off_is_an_error(text: bytes):
    async def test(pool: Pool, address: Address) -> None:
        with pytest.raises(BrokenError):
            await read(pool, address)

    served(writes(text), test)


def test_an_answer_that_is_late_is_given_up():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(OK + b"content-length: 5\r\n\r\nhel")
        assert await reader.read() == b""  # until the gateway hangs up

    async def test(pool: Pool, address: Address) -> None:
        connection = await pool.connected(address)
        response = connection.send(REQUEST, 0.2)
        await response.begun()
        assert await response.some() == b"hel"
        with pytest.raises(LateError):
            await response.some()

    served(handler, test)


def test_a_connection_that_the_engine_closed_is_not_used_again():
    async def test(pool: Pool, address: Address) -> None:
        assert await read(pool, address) == (200, b"hello")
        (connection,) = (c for idle in pool._idle.values() for c in idle)
        while not connection.closed:  # it notices by itself
            await asyncio.sleep(0.01)
        assert await read(pool, address) == (200, b"hello")

    served(writes(OK + b"content-length: 5\r\n\r\nhello"), test)


def test_what_nobody_reads_stays_with_the_engine():
    """The memory that an answer takes here is bounded, however slow its caller is."""
    size = 64 * 2**20
    sent = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await asked(reader)
        writer.write(OK + b"content-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(2**16))
            await writer.drain()
            sent += 2**16

    async def test(pool: Pool, address: Address) -> None:
        connection = await pool.connected(address)
        response = connection.send(REQUEST, 60.0)
        await response.begun()
        before = -1
        while sent != before:  # until the engine can write no more
            before = sent
            await asyncio.sleep(0.3)
        assert sum(map(len, response.chunks)) < 2**20
        assert sent < size
        total = 0
        while data := await response.some():
            total += len(data)
        assert total == size

    served(handler, test)


def test_an_engines_url_has_to_be_one():
    assert Address.of("https://engine.example/v1") == ("engine.example", 443, True)
    for url in ("engine:8000", "ftp://engine", "http://"):
        with pytest.raises(ValueError, match="http or https"):
            Address.of(url)


def test_a_request_that_may_wait_leaves_at_the_turns_end_or_not_at_all():
    faults: list[object] = []
    never_whole: list[bytes] = []

    async def test(pool: Pool, address: Address) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context))
        connection = await pool.connected(address)
        response = connection.send(REQUEST, 30.0, at_once=False)
        await response.begun()
        assert await response.some() == b"hi"

        given_up = await pool.connected(address, fresh=True)
        given_up.send(REQUEST, 30.0, at_once=False).close()
        await asyncio.sleep(0.05)
        assert given_up.closed

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asked(reader)
        except asyncio.IncompleteReadError as nothing:
            never_whole.append(nothing.partial)
            return
        writer.write(OK + b"content-length: 2\r\n\r\nhi")
        await writer.drain()

    served(handler, test)
    assert never_whole == [b""]
    assert not faults
