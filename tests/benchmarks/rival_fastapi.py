"""A receiver of alerts in FastAPI under uvicorn: ``rival_fastapi.py PORT DATABASE``."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from rival_store import allowed, opened, stored

app = FastAPI()


@app.post("/webhooks/tradingview")
async def tradingview(request: Request) -> dict[str, Any]:
    body = await request.body()
    message = json.loads(body)
    if not allowed(message):
        raise HTTPException(401)
    return stored(app.state.db, message, body.decode())


if __name__ == "__main__":
    app.state.db = opened(sys.argv[2])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
