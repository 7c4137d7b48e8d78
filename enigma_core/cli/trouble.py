"""How trouble reaches a person: one red sentence, a log on stderr, and a file for what is our own fault."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import rich_click as click

from enigma_core.secrecy import guard_logging, redacted


def say(sentence: str, error: BaseException | None = None) -> None:
    """``Error: sentence`` in red on stderr, where stderr is a terminal and NO_COLOR is unset; then the traceback of `error`."""
    text = redacted("Error: " + "\n".join(line.rstrip() for line in sentence.splitlines() if line.strip()))
    if coloured(sys.stderr):
        text = click.style(text, fg="red")
    click.echo(text, err=True)
    if error is not None:
        import traceback

        click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)


def defect(error: BaseException, *, verbose: bool) -> None:
    """What nobody foresaw: one sentence that says so, and where the traceback is."""
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    place = f" at {Path(frame.filename).name}:{frame.lineno}" if frame else ""
    what = f"{type(error).__name__}{place}: {error}" if str(error) else f"{type(error).__name__}{place}"
    if verbose:
        say(f"this is a defect of ours, not of your input: {what}", error)
        return
    path = _written("".join(traceback.format_exception(error)))
    where = f"the traceback is in {path}" if path else "-v shows the traceback"
    say(f"this is a defect of ours, not of your input: {what} ({where})")


def _written(text: str) -> Path | None:
    """`text` in a file of the run's folder if there is one, else of the system's temporary folder; None if neither takes it."""
    import tempfile

    name = time.strftime("defect-%Y%m%dT%H%M%SZ-", time.gmtime()) + f"{os.getpid()}.log"
    home = Path(os.environ.get("ENIGMA_HOME") or "enigma_data")
    for folder in (home / "logs", Path(tempfile.gettempdir())):
        if folder == home / "logs" and not home.is_dir():
            continue
        try:
            folder.mkdir(exist_ok=True)
            with open(path := folder / name, "x", encoding="utf-8") as file:
                file.write(redacted(text))
        except OSError:
            continue
        return path
    return None


def coloured(stream: Any) -> bool:
    """Whether `stream` takes colour: a terminal, and NO_COLOR unset or empty (no-color.org)."""
    return not os.environ.get("NO_COLOR") and bool(getattr(stream, "isatty", bool)())


class _Stderr(logging.StreamHandler[Any]):
    """Writes to whatever `sys.stderr` is at the moment: a progress display may have put itself in front of it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def log_to_stderr(verbose: int) -> None:
    """Log records on stderr: warnings, with `verbose` 1 what happens, with 2 everything."""
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    guard_logging()
