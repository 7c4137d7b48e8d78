"""What the reference receivers share: an alert's check and its one commit, as one writes it without thinking of speed."""

from __future__ import annotations

import hmac
import os
import sqlite3
from typing import Any


def opened(path: str) -> sqlite3.Connection:
    """A database whose commits are on disk when they return."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS alert (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT")
    return db


def allowed(message: dict[str, Any]) -> bool:
    return hmac.compare_digest(str(message.get("secret", "")).encode(), os.environ["LOAD_SECRET"].encode())


def stored(db: sqlite3.Connection, message: dict[str, Any], body: str) -> dict[str, str]:
    """Write one alert down, in a transaction of its own."""
    new = db.execute("INSERT OR IGNORE INTO alert VALUES (?, ?)", (message["id"], body)).rowcount
    return {"status": "accepted" if new else "duplicate", "id": message["id"]}
