"""A process of its own that backtests one file and prints its peak memory, bytes, as the last word on stderr.

``memory.py arrays FILE.npy`` backtests the saved columns; ``memory.py command FILE.csv`` is ``enigma backtest`` on the file.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak() -> int:
    """The most memory this process has held, bytes. Linux counts that of its parent too in ``ru_maxrss``, but not in ``VmHWM``."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def arrays(file: Path) -> None:
    """Backtest columns that were saved by numpy."""
    import numpy as np
    import workload

    from enigma_core.model import Candles
    from enigma_core.shells import backtest

    symbol = workload.symbol_name(0)
    ts, *columns = np.load(file)
    markets = {symbol: Candles.of(symbol, "5m", ts.astype(np.int64), *columns)}
    backtest(workload.plan(*workload.OPEN), markets, workload.instruments(markets))


def command(file: Path) -> None:
    """What ``enigma backtest`` does, in this process."""
    import workload

    from enigma_core.cli import main

    sys.argv = ["enigma", *workload.arguments(file)]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    {"arrays": arrays, "command": command}[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.write(f"{peak()}\n")
