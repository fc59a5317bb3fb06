"""The application that calls the model: the official OpenAI client, and feedback beside it."""

import time
from dataclasses import dataclass
from typing import Any

import httpx
import openai

from home_assistant.sampling import Command

TASK = "home_assistant"
CHAT_TASK = "general_chat"
SYSTEM = "Answer with the command's intent and slots as one JSON object."
MAX_TOKENS = 64
CHAT_TOKENS = 48
_PATIENCE_S = 180.0


@dataclass(frozen=True)
class Reply:
    """What the model answered, and by which release."""

    call_id: str
    release: str
    text: str


class ServiceError(RuntimeError):
    """The loop did not answer as it should."""


class App:
    """Calls the gateway with one API key."""

    def __init__(self, gateway: str, key: str) -> None:
        self._openai = openai.AsyncOpenAI(
            base_url=f"{gateway}/v1", api_key=key, timeout=_PATIENCE_S, max_retries=8
        )
        self._http = httpx.AsyncClient(
            base_url=gateway, headers={"Authorization": f"Bearer {key}"}, timeout=30.0
        )

    async def command(self, command: Command, user: str, task: str = TASK) -> Reply:
        """One command, as the application sends it."""
        return await self.ask(instruct(command.text), user, task, MAX_TOKENS)

    async def chat(self, text: str, user: str) -> Reply:
        return await self.ask([{"role": "user", "content": text}], user, CHAT_TASK, CHAT_TOKENS)

    async def ask(
        self,
        messages: list[dict[str, str]],
        user: str,
        task: str,
        max_tokens: int,
        **more: Any,  # noqa: ANN401 - any parameter of the API
    ) -> Reply:
        try:
            raw = await self._openai.chat.completions.with_raw_response.create(
                model="loop",
                messages=messages,  # type: ignore[arg-type]
                user=user,
                temperature=0.0,
                max_tokens=max_tokens,
                extra_headers={"x-loop-task": task},
                **more,
            )
        except openai.OpenAIError as error:
            raise ServiceError(f"a call of task {task!r} failed: {error}") from error
        text = raw.parse().choices[0].message.content or ""
        return Reply(raw.headers["x-loop-call-id"], raw.headers["x-loop-release"], text.strip())

    async def feedback(self, call_id: str, user: str, **said: Any) -> str:  # noqa: ANN401 - JSON
        """Says one thing of a call, as in `rating=4`; returns the feedback's id."""
        (kind,) = said
        body = {"call_id": call_id, "kind": kind, "user": user, **said}
        response = await self._http.post("/v1/feedback", json=body)
        if response.status_code != 202:
            raise ServiceError(f"feedback {kind!r}: {response.status_code} {response.text}")
        return str(response.json()["feedback_id"])

    async def journey(self, feedback_id: str) -> dict[str, Any]:
        """Where a piece of feedback is by now; empty before the queue knows it."""
        response = await self._http.get(f"/v1/feedback/{feedback_id}")
        if response.status_code == 404:
            return {}
        if response.status_code != 200:
            raise ServiceError(f"journey of {feedback_id}: {response.status_code} {response.text}")
        document: dict[str, Any] = response.json()
        return document

    async def ready(self) -> bool:
        try:
            response = await self._http.get("/readyz")
        except httpx.HTTPError:
            return False
        return response.status_code == 200

    async def close(self) -> None:
        await self._openai.close()
        await self._http.aclose()


def instruct(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]


def now() -> float:
    """Seconds since the epoch, by this program's own clock."""
    return time.time()
