"""The description says all that the gateway answers, and nothing else."""

import json
import re

from starlette.applications import Starlette
from starlette.routing import Route

from loop_platform.gateway.app import app_of
from loop_platform.gateway.openapi import OPERATIONS, description
from loop_platform.gateway.parts import parts
from loop_platform.gateway.short_way import ShortWay
from loop_platform.settings import Settings
from loop_platform_tests.gateway.loop import Loop


def test_every_route_is_described_and_nothing_else_is(settings: Settings):
    app = app_of(parts(settings))
    assert isinstance(app, ShortWay)
    starlette = app._app
    assert isinstance(starlette, Starlette)
    routes = {
        (method.lower(), re.sub(r":\w+}", "}", route.path))
        for route in starlette.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(operation.method, operation.path) for operation in OPERATIONS} == routes


def test_every_reference_leads_somewhere():
    said = description()
    names = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(said))
    assert names
    assert {*names} <= {*said["components"]["schemas"]}


def test_keys_are_asked_for_where_the_description_says_so(loop: Loop):
    del loop.client.headers["authorization"]
    assert loop.client.get("/openapi.json").json() == json.loads(json.dumps(description()))
    for operation in OPERATIONS:
        path = re.sub(r"{\w+}", "x", operation.path)
        response = loop.client.request(operation.method, path, json={})
        assert (response.status_code == 401) == (operation.role is not None), operation
        kind = response.headers["content-type"]
        assert kind.startswith(operation.refusal) or response.status_code == 200, operation


def test_the_roles_are_those_that_the_description_names(loop: Loop):
    loop.key("caller")
    for operation in OPERATIONS:
        path = re.sub(r"{\w+}", "x", operation.path)
        response = loop.client.request(operation.method, path, json={})
        refused = operation.role not in (None, "caller")
        assert (response.status_code == 403) == refused, operation
