"""Every message of the corpus gets its verdict, however it is cut into pieces."""

from __future__ import annotations

import pytest
from support import running
from wire.corpus import CASES, Case
from wire.rawhttp import Answer, Client
from wire.replay import Outcome, each_byte, replay, two_pieces
from wire.site import Call, Site

#: A longer message is not sent byte by byte to a socket: the parser has had it so already.
BY_BYTE = 1000

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_the_corpus_is_there():
    assert len(CASES) > 500


@each_case
def test_a_running_server_gives_the_verdict(case):
    converse(case, Client.send)


@each_case
def test_a_running_server_gives_the_verdict_byte_by_byte(case):
    if len(case.message) <= BY_BYTE:
        converse(case, lambda client, part: client.send_each(each_byte(part)), by_byte=True)


@each_case
def test_the_parser_gives_the_verdict_however_the_message_is_cut(case):
    whole = replay([case.message], case.limits)
    check_outcome(case, whole)
    assert replay(each_byte(case.message), case.limits) == whole
    for pieces in two_pieces(case.message):
        assert replay(pieces, case.limits) == whole, pieces[0]


def converse(case: Case, send, *, by_byte: bool = False) -> None:
    """Send a message to a server of its own and hold what happens against the verdict."""
    site = Site(case.settings)
    with running(site.server):
        with Client(site.server) as client:
            first, *others = case.parts
            send(client, first)
            answers = []
            for part in others:
                answers += read(client, case, answers, upto=100)
                send(client, part)
            if case.ends:
                client.end()
            answers += read(client, case, answers)
            statuses = [answer.status for answer in answers]
            if by_byte and case.maybe in statuses:
                statuses.remove(case.maybe)
            assert statuses == list(case.answers)
            check_end(case, client, answers)
        calls = [call for call in site.calls if call.target != "/probe"]
    check_calls(case, calls)


def read(client: Client, case: Case, before: list[Answer], upto: int = 0) -> list[Answer]:
    """Read the answers that are missing, or up to a 100 (Continue), or to the end."""
    answers: list[Answer] = []
    done = sum(answer.status >= 200 for answer in before)
    while done < len(case.finals):
        method = case.requests[done].method if done < len(case.requests) else "GET"
        answer = client.answer_or_end(method)
        if answer is None:
            break
        answers.append(answer)
        if answer.status == upto:
            break
        done += answer.status >= 200
    return answers


def check_end(case: Case, client: Client, answers: list[Answer]) -> None:
    """See that the connection goes on, or ends without another word, as the verdict says."""
    if case.after == "open":
        client.check_open()
    else:
        assert client.rest() == b""
    says_close = [answer.says_close for answer in answers if answer.status >= 200]
    closed = case.after == "closed"
    assert says_close == [False] * (len(says_close) - closed) + [True] * closed


def check_calls(case: Case, calls: list[Call]) -> None:
    """See that the handlers got the requests of the verdict, and no others."""
    assert [(call.method, call.target) for call in calls] == [
        (one.method, one.target) for one in case.handled
    ]
    for call, expected in zip(calls, case.handled):
        assert call.body in (None, expected.body)
    if case.authority is not None and case.handled:
        assert calls[-1].host == case.authority


def check_outcome(case: Case, outcome: Outcome) -> None:
    """See that the parser finds the requests of the verdict and then its fault."""
    count = len(case.requests)
    found = [*outcome.requests, *([outcome.begun] if outcome.begun else [])][:count]
    assert [(one.method, one.target) for one in found] == [
        (one.method, one.target) for one in case.requests
    ]
    for seen, expected in zip(found, case.requests):
        assert expected.body in (None, seen.body)
    if case.authority is not None:
        assert found[-1].authority == case.authority
    if case.fault is not None and case.ends:
        assert (outcome.fault, len(outcome.requests)) == (None, count)
        assert outcome.left or outcome.begun
    elif case.fault is not None:
        assert (outcome.fault, len(outcome.requests)) == (case.fault, count)
    elif case.after == "open":
        assert outcome[1:] == (None, None, False)
        assert len(outcome.requests) == count
