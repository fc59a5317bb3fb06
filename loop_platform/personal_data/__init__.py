"""Takes personal data out of texts, in processes of its own.

`recognisers.py` and `worker.py` run in the environment `.venv-redact`, which has Presidio and
spaCy; the gateway talks to them in the words of `frames.py`.
"""
