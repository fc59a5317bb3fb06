"""The validator hook: the product's own parser scores an answer, over HTTP.

`POST /score` with `{"request": …, "answer": …}` answers `{"score": 1 | 0 | null}`; null where the
sentence is no command of the product. Run: `python -m home_assistant.hook --port 8790`.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from home_assistant.grammar import SECOND, Product, exact

PORT = 8790


def score(product: Product, document: Any) -> int | None:  # noqa: ANN401 - JSON
    """Whether the answer says what the product understands by the request's last sentence."""
    said = [m["content"] for m in document["request"]["messages"] if m["role"] == "user"]
    gold = product.parse(said[-1]) if said else None
    return None if gold is None else int(exact(gold, document["answer"]))


def serve(port: int) -> None:
    """Score until interrupted."""
    product = Product(SECOND)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200, {"product": product.version})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                self._answer(200, {"score": score(product, json.loads(body))})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self._answer(400, {"error": f"send {{request: …, answer: …}}: {error!r}"})

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A line a score would drown the demo's own."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    try:
        serve(parser.parse_args().port)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
