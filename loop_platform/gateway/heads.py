"""An answer's head leaves with the beginning of its body: one system call, and one packet, less."""

import asyncio

_HEAD = b"HTTP/1.1 "


class HeadWithBody(asyncio.Transport):
    """A caller's transport, as far as the server answers through it.

    A head waits for what is written next, though not beyond the loop's present turn: an engine that
    thinks about its first word does not keep the head back.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data[: len(_HEAD)] == _HEAD:  # a body that begins like one waits as shortly
            self._head = bytes(data)
            self._loop.call_soon(self._send)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _send(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)
