"""Where bars lie in time."""

from __future__ import annotations

import numpy as np

from enigma_core.timeframes import bucket_start, milliseconds


def bar_at_or_after(ts: int, timeframe: str) -> int:
    """The open, in ms, of the first bar that opens at `ts` or later."""
    opens = int(bucket_start(np.array([ts]), timeframe)[0])
    return opens if opens == ts else opens + milliseconds(timeframe)
