"""OpenAI's Python client as a program: a line of JSON asks for a call, a line answers.

Run by the environment that the client is installed in. `javascript/client.mjs` does the same.
"""

import json
import sys
from functools import reduce
from typing import Any

import openai


def main() -> None:
    client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2])
    for line in sys.stdin:
        print(json.dumps(_outcome(client, json.loads(line))), flush=True)  # noqa: T201  # the answer


def _outcome(client: openai.OpenAI, asked: dict[str, Any]) -> dict[str, Any]:
    options = {
        "timeout": asked["timeout_s"],
        "max_retries": asked["max_retries"],
    }
    try:
        return _answer(client.with_options(**options), asked)
    except openai.APIError as error:
        return {
            "error": {
                "kind": type(error).__name__,
                "status": getattr(error, "status_code", None),
                "message": str(getattr(error, "message", "")),
                "code": error.code,
                "param": error.param,
                "type": error.type,
                "request_id": getattr(error, "request_id", None),
            }
        }


def _answer(client: openai.OpenAI, asked: dict[str, Any]) -> dict[str, Any]:
    *path, method = asked["method"].split(".")
    resource = reduce(getattr, path, client).with_raw_response
    body = dict(asked["body"])
    unknown = {name: body.pop(name) for name in asked["unknown"]}
    raw = getattr(resource, method)(
        **body, extra_headers=asked["headers"], extra_body=unknown or None
    )
    headers = {name.lower(): value for name, value in raw.headers.items()}
    parsed = raw.parse()
    if body.get("stream"):
        return {"headers": headers, "events": [event.to_dict(mode="json") for event in parsed]}
    return {"headers": headers, "answer": parsed.to_dict(mode="json")}


if __name__ == "__main__":
    main()
