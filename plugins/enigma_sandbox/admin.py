"""The buttons over HTTP: every fault, and everything that a person or the venue might do. On this machine only."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from enigma_sandbox.exchange import encode
from enigma_sandbox.wire import Answer, Asked, told

if TYPE_CHECKING:
    from enigma_sandbox.server import Sandbox

OWN = {
    "drop_sockets": "break every WebSocket without a word",
    "status": "what is connected, and what goes on",
}
"""Buttons of the server itself; the others are the exchange's."""


class Admin:
    """``GET /admin`` is a page, ``GET /admin/buttons`` the list, ``POST /admin/NAME`` with a JSON object of values presses one."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def answer(self, asked: Asked) -> Answer:
        if not _local(asked):
            return told(403, {"error": "the buttons are for this machine, asked by its own name, and for no other page"})
        name = asked.path.removeprefix("/admin").strip("/")
        if asked.method == "GET":
            if not name:
                return Answer(200, _page(self._buttons()).encode(), {"Content-Type": "text/html; charset=utf-8", **_GUARDS})
            if name == "buttons":
                return told(200, self._buttons())
            if name == "status":
                return told(200, self._status())
            return told(404, {"error": f"there is nothing at {asked.path}"})
        if asked.method != "POST":
            return told(405, {"error": f"a button is pressed by POST, not by {asked.method}"}, {"Allow": "GET, POST"})
        return self._press(name, asked.body)

    def _press(self, name: str, body: bytes) -> Answer:
        try:
            values = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return told(400, {"error": "the values of a button are a JSON object"})
        if not isinstance(values, dict):
            return told(400, {"error": "the values of a button are a JSON object"})
        if name == "drop_sockets":
            count = len(self._sandbox.hub.sockets)
            self._sandbox.hub.drop()
            return told(200, {"dropped": count})
        if name == "status":
            return told(200, self._status())
        try:
            done = self._sandbox.exchange.press(name, **values)
        except (ValueError, TypeError) as error:
            return told(400, {"error": str(error)})
        self._sandbox.touched()
        self._sandbox.work()
        return Answer(200, encode({"done": done}))

    def _status(self) -> dict[str, Any]:
        hub = self._sandbox.hub
        return {
            **self._sandbox.addresses,
            "market": self._sandbox.market.identity,
            "contracts": len(self._sandbox.market.symbols),
            "sockets": len(hub.sockets),
            "subscriptions": sum(len(socket.topics) for socket in hub.sockets),
            "frames": hub.sent,
            "time": self._sandbox.clock(),
        }

    def _buttons(self) -> dict[str, str]:
        return {**buttons(), **OWN}


def buttons() -> dict[str, str]:
    """The exchange's buttons, and what each does."""
    from enigma_sandbox.exchange.buttons import BUTTONS

    return {name: str(what) for name, what in BUTTONS.items()}


_GUARDS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def _local(asked: Asked) -> bool:
    """From this machine, by its own name, and not on behalf of some page."""
    host = urlsplit("//" + asked.headers.get("host", "")).hostname
    origin = asked.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != asked.headers.get("host"):
        return False
    return asked.peer in ("127.0.0.1", "::1") and host in ("127.0.0.1", "localhost", "::1")


def _page(known: dict[str, str]) -> str:
    rows = "".join(_row(html.escape(name), html.escape(what)) for name, what in known.items())
    return _PAGE.replace("ROWS", rows)


def _row(name: str, what: str) -> str:
    return f"<tr><td><button onclick=\"press('{name}')\">{name}</button></td><td>{what}</td></tr>"


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Local exchange</title>
<style>
body { font: 15px system-ui; margin: 2em; max-width: 70em }
td { padding: .2em .8em .2em 0; vertical-align: top }
textarea { width: 100%; font: 13px monospace }
</style>
<h1>Local exchange</h1>
<p>Values for the button, a JSON object:</p>
<textarea id="values" rows="3">{}</textarea>
<pre id="said"></pre>
<table>ROWS</table>
<script>
async function press(name) {
  const answer = await fetch('/admin/' + name, {method: 'POST', body: document.getElementById('values').value})
  document.getElementById('said').textContent = answer.status + ' ' + await answer.text()
}
</script></html>"""
