"""Which release a call goes to, and what happens when its engine is away."""

import logging

from loop_platform.gateway.asked import Asked
from loop_platform.gateway.counters import Counters
from loop_platform.gateway.exchange import Exchange
from loop_platform.gateway.refusals import RefusedError, unavailable
from loop_platform.gateway.routing import RouteTable, Target
from loop_platform.gateway.tasks import listed, task_of
from loop_platform.gateway.upstream import Reply, Upstream, UpstreamError
from loop_platform.keys import Key
from loop_platform.settings import GatewaySettings

logger = logging.getLogger(__name__)

ALIAS = "loop"
"""The model that callers ask for; which release that is, the routes say."""


class Dispatch:
    def __init__(
        self,
        settings: GatewaySettings,
        routes: RouteTable,
        upstream: Upstream,
        counters: Counters,
    ) -> None:
        self._tasks = settings.tasks_by_model
        self.aliases = (ALIAS, *(name for name in listed(self._tasks) if name != ALIAS))
        self._routes = routes
        self._upstream = upstream
        self._counters = counters

    def target(self, asked: Asked, key: Key, call_id: str) -> Target:
        """The release for a call: that of the routes, or the serving one that the caller names."""
        routes = self._routes.current
        if asked.model in self.aliases or task_of(asked.model, self._tasks) is not None:
            sticky = f"{key.tenant}\0{asked.user or asked.session or call_id}"
            target = routes.choose(sticky) if asked.on_trial else routes.champion
        else:
            target = routes.named(asked.model)
        if routes.champion is None:
            raise unavailable("no release is in production yet", "no_champion", 5)
        if target is None:
            raise RefusedError(
                404,
                f"the model {asked.model!r} does not exist or does not serve; ask for {ALIAS!r}",
                code="model_not_found",
                param="model",
            )
        return target

    async def reply(self, exchange: Exchange) -> Reply:
        """The engine's reply. Where a canary has none, the champion answers in its place: the
        failure counts against the canary, and the caller sees nothing of it."""
        try:
            return await self._post(exchange)
        except UpstreamError as error:
            champion = self._routes.current.champion
            target = exchange.target
            if target.route != "canary" or target.release == exchange.asked.model:
                raise
            if champion is None or error.status in (404, 504):
                raise
            self._counters.count(target.release, "canary", exchange.elapsed_ms(), error=True)
            # The engine's words may be the caller's, which a tenant does not want written down.
            said = error.detail if exchange.redacted is None else error
            logger.warning("the champion answers for the canary: %s", said)
            exchange.target = champion
            return await self._post(exchange)

    async def _post(self, exchange: Exchange) -> Reply:
        target = exchange.target
        asked = exchange.asked
        body = asked.for_engine(target.model)
        return await self._upstream.post(
            target, asked.endpoint, body, exchange.call_id, stream=asked.stream
        )
