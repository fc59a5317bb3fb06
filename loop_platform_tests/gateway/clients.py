"""OpenAI's official clients, each in a process of its own."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loop_platform_tests.packages import ROOT, javascript_client, node

HERE = Path(__file__).parent

LANGUAGES = ("python", "javascript")


class Client:
    """A running client, which is told what to ask."""

    def __init__(self, language: str, process: "subprocess.Popen[str]") -> None:
        self.language = language
        self._process = process

    def ask(
        self,
        method: str,
        body: dict[str, Any],
        *,
        headers: dict[str, str] | None = None,
        unknown: tuple[str, ...] = (),
        timeout_s: float = 300.0,
        max_retries: int = 0,
    ) -> dict[str, Any]:
        """What the client made of it: `answer` or `events`, and `headers`; or `error`.

        `unknown` names the fields of the body that the Python client has no parameter for.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "method": method,
            "body": body,
            "headers": headers or {},
            "unknown": unknown,
            "timeout_s": timeout_s,
            "max_retries": max_retries,
        }
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert said, f"the {self.language} client ended"
        return dict(json.loads(said))


@contextlib.contextmanager
def client(language: str, url: str, key: str) -> Iterator[Client]:
    """The client of a language, at a gateway's URL, with a caller's key."""
    if language == "python":
        command = [str(ROOT / ".venv-demo" / "bin" / "python"), str(HERE / "openai_client.py")]
    else:
        program = HERE / "javascript" / "client.mjs"
        command = [str(node()), str(program), str(javascript_client())]
    with subprocess.Popen(
        [*command, f"{url}/v1", key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        try:
            yield Client(language, process)
        finally:
            process.stdin.close()
            process.wait(30)
