"""Drives schemathesis against a gateway; runs in an environment of its own (requirements/fuzz.txt).

`python fuzzer.py SCENE`: a JSON file with the gateway's `url`, a `key`, ids that are the key's
`own` and that are `others`, the `secrets` that no answer may have in it, the number of `requests`
and a `seed`. The last line of output is a JSON object with what was found.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.strategies import SearchStrategy
from schemathesis import BaseSchema, Case, GenerationMode, Response

TIMEOUT_S = 30.0
"""An answer that takes longer is a finding. The gateway's own limits are above, and nothing here
has to wait: the engine answers at once."""

AT_A_TIME = 40
"""Requests to an operation before the next one's turn."""

IDS = ("call_id", "feedback_id", "token", "id")

ATTRIBUTES = {
    "gen_ai.operation.name": ("chat", "text_completion", "embeddings"),
    "gen_ai.request.model": ("loop", ""),
    "gen_ai.input.messages": ('[{"role":"user","parts":[{"type":"text","content":"hi"}]}]', "["),
    "gen_ai.output.messages": ('[{"role":"assistant","parts":[{"type":"tool_call"}]}]', "[7]"),
    "gen_ai.usage.input_tokens": ("7", "-1"),
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.prompt.0.content": ("hi",),
    "gen_ai.completion.0.tool_calls.0.name": ("light_on",),
    "error.type": ("openai.RateLimitError", "500"),
    "loop.task": ("own", "\u0000"),
}
"""What makes a call of a span."""

WRONG_KEYS = ("", "Bearer", "Bearer loop_0_0", "Basic eDp5", "Bearer \xe9", "Bearer " + "x" * 4000)


@dataclass
class Fuzzer:
    url: str
    key: str
    own: list[str]
    others: list[str]
    secrets: list[str]
    random: random.Random
    session: requests.Session = field(default_factory=requests.Session)
    sent: int = 0
    unsendable: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)
    slowest_s: float = 0.0

    def send(self, case: Case) -> None:
        """One request, and what its answer has to be."""
        self._spice(case)
        began = time.monotonic()
        try:
            answer = case.call(
                base_url=self.url,
                session=self.session,
                headers=self._headers(),
                timeout=TIMEOUT_S,
            )
        except (requests.Timeout, requests.ConnectionError) as error:
            self.sent += 1
            self._found(case, type(error).__name__)
            return
        except (requests.RequestException, ValueError, UnicodeError):
            self.unsendable += 1  # no HTTP client would send it
            return
        self.sent += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.statuses[answer.status_code] += 1
        if answer.status_code >= 500:
            self._found(case, f"{answer.status_code} {answer.content[:200]!r}")
        self._look_for_leaks(case, answer)

    def _look_for_leaks(self, case: Case, answer: Response) -> None:
        said = repr(answer.headers) + answer.content.decode("utf-8", "replace")
        for secret in self.secrets:
            if secret in said:
                self._found(case, f"tells {secret!r}")
        call_id = answer.headers.get("x-loop-call-id", [""])
        if any(other in call_id for other in self.others):
            self._found(case, "gives another's answer")

    def _spice(self, case: Case) -> None:
        """Ids that exist reach what lies behind the check of ids."""
        for place in (case.path_parameters, case.body):
            for item in place if isinstance(place, list) else [place]:
                if isinstance(item, dict):
                    for name in IDS:
                        if name in item and self.random.random() < 0.6:
                            item[name] = self.random.choice([*self.own, *self.others])
        if isinstance(case.body, dict) and "resourceSpans" in case.body:
            self._make_calls(case.body)
        if isinstance(case.body, dict) and "model" in case.body and self.random.random() < 0.7:
            case.body["model"] = "loop"

    def _make_calls(self, of: object) -> None:
        """Turns some of the spans into calls of now."""
        if isinstance(of, list):
            for one in of:
                self._make_calls(one)
        if not isinstance(of, dict):
            return
        for name in ("startTimeUnixNano", "endTimeUnixNano"):
            if name in of and self.random.random() < 0.8:
                of[name] = str(time.time_ns() - 10**9)
        if "key" in of and self.random.random() < 0.8:
            of["key"] = self.random.choice(list(ATTRIBUTES))
            if self.random.random() < 0.6:
                of["value"] = {"stringValue": self.random.choice(ATTRIBUTES[of["key"]])}
        for one in of.values():
            self._make_calls(one)

    def _headers(self) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self.key}"}
        if self.random.random() < 0.05:
            headers["authorization"] = self.random.choice(WRONG_KEYS)
        if self.random.random() < 0.2:
            headers["idempotency-key"] = f"order-{self.random.randrange(12)}"
        return headers

    def _found(self, case: Case, what: str) -> None:
        """The first of each kind, with what brought it about."""
        kind = f"{case.operation.label}: {what.partition(' ')[0]}"
        if kind not in self.findings:
            body = repr(case.body)[:500]
            self.findings[kind] = f"{kind}: {what}; {case.path_parameters!r} {case.query!r} {body}"


def surface(url: str) -> BaseSchema:
    """The gateway's description of itself, but for its keys: which one is sent is our business."""
    answer = requests.get(f"{url}/openapi.json", timeout=TIMEOUT_S)
    answer.raise_for_status()
    described = answer.json()
    for path in described["paths"].values():
        for operation in path.values():
            operation.pop("security", None)
    return schemathesis.openapi.from_dict(described)


def strategies(schema: BaseSchema) -> Iterator[tuple[str, SearchStrategy[Case]]]:
    """A source of requests for each operation, that fit its description and that do not."""
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            yield f"{operation.label} {mode.value}", operation.as_strategy(generation_mode=mode)


def some(fuzzer: Fuzzer, strategy: SearchStrategy[Case], seed: int) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=AT_A_TIME,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def send(case: Case) -> None:
        fuzzer.send(case)

    send()


def main() -> None:
    scene = json.loads(Path(sys.argv[1]).read_text())
    names = ("url", "key", "own", "others", "secrets")
    fuzzer = Fuzzer(**{name: scene[name] for name in names}, random=random.Random(scene["seed"]))
    sources = dict(strategies(surface(fuzzer.url)))
    impossible: set[str] = set()
    turn = 0
    while fuzzer.sent < scene["requests"]:
        before = fuzzer.sent
        for name, strategy in sources.items():
            if name in impossible:
                continue
            turn += 1
            try:
                some(fuzzer, strategy, scene["seed"] + turn)
            except hypothesis.errors.Unsatisfiable:  # nothing about it can be wrong
                impossible.add(name)
        sys.stderr.write(f"{fuzzer.sent} requests, {len(fuzzer.findings)} findings\n")
        if fuzzer.sent == before:
            raise SystemExit("schemathesis makes no more requests")
    statuses = {str(status): count for status, count in sorted(fuzzer.statuses.items())}
    told = {
        "requests": fuzzer.sent,
        "unsendable": fuzzer.unsendable,
        "statuses": statuses,
        "slowest_s": round(fuzzer.slowest_s, 3),
        "findings": list(fuzzer.findings.values()),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
