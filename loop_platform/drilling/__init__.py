"""Drills: a fault is planted in a running stack, and what follows is reported.

A drill is a file in `loop_platform/drills/`, found by its name: its docstring's first line says
what it plants, and its `run(rehearsal)` says what it found. Here is what they are made of.

Two kinds of candidate are on their way to production (rehearsal.py). A copy of the champion, so
that whoever is answered by it gets the champion's very answers; its trials are concluded by the
drill itself, since what is tried is the promotion. And an engine with a planted fault in front of
the champion's (loop_platform/engine/faulty.py), whose trials are judged as every candidate's are,
by Dagster and the controller; its fault concerns the drill's own calls alone (callers.py), so that
nobody else gets a worse answer even where the drill goes as far as its canary.

In the end the champion of before serves again and the candidate is gone; the audit log keeps every
move, by `drill:<login>`.

What is not covered: whether the tasks of the stack have good validators and suites. The tasks of a
drill are its own, and so is who judges them (judge.py).
"""
