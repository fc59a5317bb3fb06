"""The console's API, as reviewers and onlookers use it."""

from typing import Any

import httpx

from home_assistant.app import ServiceError

Document = dict[str, Any]


class Console:
    """One key's view of the console."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60.0
        )

    async def get(self, path: str, **parameters: str | int) -> Any:  # noqa: ANN401 - JSON
        """The JSON at `/api/…`."""
        response = await self._request("GET", path, params=parameters)
        return response.json()

    async def next_item(self) -> Document | None:
        """The item that this reviewer holds now; None when the queue is empty."""
        response = await self._request("GET", "/api/review/next")
        if response.status_code == 204:
            return None
        document: Document = response.json()
        return document

    async def decide(self, item_id: str, decision: Document) -> None:
        await self._request("POST", f"/api/review/{item_id}/decision", json=decision)

    async def close(self) -> None:
        await self._http.aclose()

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        for patience in (3, 2, 1, 0):
            try:
                response = await self._http.request(method, path, **more)
            except httpx.TransportError as error:
                if patience == 0:
                    raise ServiceError(f"the console does not answer {path}: {error!r}") from error
                continue
            if response.is_success:
                return response
            raise ServiceError(f"{method} {path}: {response.status_code} {response.text[:300]}")
        raise AssertionError("unreachable")
