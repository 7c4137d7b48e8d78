"""A receiver of alerts in Flask under waitress: ``rival_flask.py PORT DATABASE``."""

from __future__ import annotations

import sys
import threading
from typing import Any

from flask import Flask, abort, request
from rival_store import allowed, opened, stored
from waitress import serve  # type: ignore[import-untyped]

app = Flask(__name__)
lock = threading.Lock()


@app.post("/webhooks/tradingview")
def tradingview() -> dict[str, Any]:
    message = request.get_json(force=True)
    if not allowed(message):
        abort(401)
    with lock:
        return stored(app.config["DB"], message, request.get_data(as_text=True))


if __name__ == "__main__":
    app.config["DB"] = opened(sys.argv[2])
    serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=8, _quiet=True)
