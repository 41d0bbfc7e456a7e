"""The life of a server."""

from __future__ import annotations

from support import fetch, running


def test_answers_a_handler(server):
    server.urlHandler("/")(lambda request: "hello")
    with running(server):
        answer = fetch(server)
    assert (answer.status, answer.body) == (200, b"hello")
