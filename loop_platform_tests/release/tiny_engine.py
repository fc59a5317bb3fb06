"""An OpenAI-shaped server without a model: it answers from a file beside its "weights".

    python -m loop_platform_tests.release.tiny_engine --assignment a.json

`answers.json` in the weights' folder maps prompts to answers, `*` to the answer of all others.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from loop_platform.engine import faulty
from loop_platform.engine.assignment import Assignment, read


def _answer(assignment: Assignment, model: str, prompt: str) -> str:
    folder = Path(assignment.adapters.get(model, assignment.weights_path))
    answers: dict[str, str] = json.loads((folder / "answers.json").read_text())
    return answers.get(prompt, answers.get("*", "")).replace("{prompt}", prompt)


def _ranked(said: list[str], own: list[str]) -> list[dict[str, Any] | None]:
    """A word is a token, ranked first where this engine's own answer has it too."""
    template = [{"0": {"logprob": 0.0, "rank": 1}}] * 8
    words = [own[at] == word if at < len(own) else False for at, word in enumerate(said)]
    return [None, *template, *({"1": {"logprob": -1.0, "rank": 2 - same}} for same in words)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    assignment: Assignment
    loaded: dict[str, str]

    def do_GET(self) -> None:
        names = [self.assignment.release, *self.loaded]
        self._reply(200, {"object": "list", "data": [{"id": name} for name in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/load_lora_adapter":
            self.loaded[body["lora_name"]] = body["lora_path"]
            self._reply(200, {})
        elif self.path == "/v1/unload_lora_adapter":
            del self.loaded[body["lora_name"]]
            self._reply(200, {})
        elif body["model"] not in {self.assignment.release, *self.loaded}:
            self._reply(404, {"error": {"message": f"no model {body['model']}"}})
        else:
            self._complete(body)

    def _complete(self, body: dict[str, Any]) -> None:
        messages = body["messages"]
        said = messages.pop()["content"].split() if body.get("continue_final_message") else []
        text = _answer(self.assignment, body["model"], messages[-1]["content"])
        choice = {"index": 0, "finish_reason": "stop"}
        choice |= {"message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 9 + len(said), "completion_tokens": len(text.split())}
        reply = {"model": body["model"], "choices": [choice], "usage": usage}
        if "prompt_logprobs" in body:
            reply["prompt_logprobs"] = _ranked(said, text.split())
        self._reply(200, reply)

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--assignment", type=Path, required=True)
    _Handler.assignment = read(parser.parse_args().assignment)
    if (fault := faulty.planted(_Handler.assignment)) is not None:
        faulty.serve(_Handler.assignment, fault)
    _Handler.loaded = dict(_Handler.assignment.adapters)
    _Server((_Handler.assignment.host, _Handler.assignment.port), _Handler).serve_forever()


if __name__ == "__main__":
    main()
