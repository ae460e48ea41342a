"""The requests of a connection, as the local load balancer reads them."""

import pytest

from local.servers.http_requests import BAD_REQUEST, MAX_HEAD, Requests

NO = b"HTTP/1.1 404 No\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: t\r\n\r\n"


def requests() -> Requests:
    return Requests(lambda target: NO if target == "/hidden" else None)


@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["byte by byte", "in pieces", "at once"])
@pytest.mark.parametrize("sent", [GET, POST, CHUNKED, GET + POST + CHUNKED + GET])
def test_allowed_requests_pass_unchanged_however_they_arrive(sent: bytes, size: int) -> None:
    reader = requests()
    pieces = [reader.feed(sent[i : i + size]) for i in range(0, len(sent), size)]
    assert b"".join(data for data, _ in pieces) == sent
    assert {answer for _, answer in pieces} == {None}


@pytest.mark.parametrize("before", [b"", GET, POST, CHUNKED], ids=["first", "after GET", "after POST", "after chunks"])
def test_a_later_request_of_the_connection_is_judged_too(before: bytes) -> None:
    assert requests().feed(before + HIDDEN) == (before, NO)


def test_a_request_in_a_body_is_no_request() -> None:
    sent = b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    assert requests().feed(sent) == (sent, None)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /a b HTTP/1.1",
        b"GET /a",
        b"GET /a HTTP/2.0",
        b"GET /a HTTP/1.1\nX: y",
        b"GET /a HTTP/1.1\r\nno colon",
        b"GET /a HTTP/1.1\r\nContent-Length : 5",
        b"GET /a HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6",
        b"GET /a HTTP/1.1\r\nContent-Length: +5",
        b"GET /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"GET /a HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
    ],
)
def test_a_request_that_two_readers_may_read_differently_is_refused(head: bytes) -> None:
    assert requests().feed(head + b"\r\n\r\n") == (b"", BAD_REQUEST)


def test_a_head_has_a_limit() -> None:
    assert requests().feed(b"GET /" + b"a" * MAX_HEAD) == (b"", BAD_REQUEST)


def test_a_chunk_without_a_size_is_refused() -> None:
    head = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert requests().feed(head + b"x\r\n") == (head, BAD_REQUEST)
