from loop_platform.keys import create_key

PAGES = ["/", "/review", "/calls", "/cycles", "/releases"]
DATA = [
    *("/api/status", "/api/review/next", "/api/review/items", "/api/calls"),
    *("/api/cycles", "/api/releases", "/api/drift"),
]


def test_reviewers_see_everything_and_contributors_nothing(visitor):
    reviewer, contributor = visitor("reviewer"), visitor("contributor")
    for path in (*PAGES, *DATA):
        assert reviewer.get(path).status_code in (200, 204), path
        refused = contributor.get(path)
        assert refused.status_code == 403, path
        assert "needs the role reviewer" in refused.text


def test_strangers_are_asked_for_a_key(console):
    for path in DATA:
        answer = console.get(path)
        assert answer.status_code == 401, path
        assert "API key" in answer.json()["error"]["message"]


def test_strangers_in_a_browser_are_sent_to_sign_in_and_back(console, database):
    sent = console.get("/review")
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?then=/review")
    with database.begin() as connection:
        key = create_key(connection, "reviewer", "acme", "ada")
    came = console.post("/login?then=/review", data={"key": key})
    assert (came.status_code, came.headers["location"]) == (303, "/review")
    cookie = came.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert console.get("/review").status_code == 200
    console.post("/logout")
    assert console.get("/review").status_code == 303


def test_a_wrong_key_stays_outside(console, visitor, database):
    assert console.post("/login", data={"key": "loop_no_such"}).status_code == 403
    with database.begin() as connection:
        caller = create_key(connection, "caller", "acme", "app")
    said = console.post("/login", data={"key": caller})
    assert said.status_code == 403
    assert "role caller" in said.text


def test_signing_in_leads_nowhere_else(console, database):
    with database.begin() as connection:
        key = create_key(connection, "reviewer", "acme", "ada")
    came = console.post("/login?then=//evil.example", data={"key": key})
    assert came.headers["location"] == "/"


def test_a_form_of_another_site_decides_nothing(visitor):
    ada = visitor()
    answer = ada.post("/api/review/x/decision", data={"verdict": "accept"})
    assert answer.status_code == 415


def test_a_body_that_is_no_object_is_refused(visitor):
    ada, kind = visitor(), {"content-type": "application/json"}
    for body in (b"{", b"[]", b'"text"'):
        answer = ada.post("/api/review/x/decision", content=body, headers=kind)
        assert answer.status_code == 400, body


def test_a_body_that_is_too_long_is_refused(visitor):
    answer = visitor().post("/api/review/x/decision", json={"chosen": "x" * (2 << 20)})
    assert answer.status_code == 413


def test_pages_load_nothing_from_elsewhere(visitor):
    page = visitor().get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "https://" not in page.text


def test_a_query_that_makes_no_sense_is_refused(visitor):
    ada = visitor()
    for query in ("limit=0", "limit=many", "order=best", "state=lost"):
        assert ada.get(f"/api/review/items?{query}").status_code == 400, query
