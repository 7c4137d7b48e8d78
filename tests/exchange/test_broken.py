"""A broken connection is told of in words, not in the name of a Python class."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from urllib.error import URLError

import ccxt  # type: ignore[import-untyped]
import pytest

from enigma_exchange.broken import why


def certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def wrapped() -> ccxt.NetworkError:
    outer = ccxt.NetworkError("kucoin GET https://api")
    outer.__cause__ = socket.gaierror(-2, "Name or service not known")
    return outer


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), "its name cannot be looked up"),
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens there"),
        (TimeoutError("timed out"), "no answer in time"),
        (certificate(), "its certificate is not accepted: self-signed certificate"),
        (http.client.RemoteDisconnected("x"), "the connection was closed"),
        (http.client.IncompleteRead(b""), "the connection was closed"),
        (http.client.BadStatusLine("x"), "its answer is no HTTP"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network is unreachable"),
        (URLError(ConnectionRefusedError(111, "Connection refused")), "nothing listens there"),
        (wrapped(), "its name cannot be looked up"),
        (ccxt.ExchangeError("something new"), "ExchangeError: something new"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_why_there_was_no_answer(error: Exception, said: str) -> None:
    assert why(error) == said
