"""Where a command writes its output: what is there stays what it is."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from enigma_core.cli import options
from enigma_core.errors import ConfigError


def test_a_file_is_replaced_whole_and_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old and longer")
    path.chmod(0o640)
    options.write(path, "new\n", "--export")
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "t.csv"
    link.symlink_to(Path("far", "real.csv"))
    for text in ("first", "second"):
        options.write(options.writable(link, "--export"), text, "--export")
        assert link.is_symlink()
        assert (tmp_path / "far" / "real.csv").read_text() == text
    assert not (tmp_path / "far" / "real.csv").is_symlink()


def test_a_link_into_a_folder_that_is_not_there_is_refused_before_the_work(tmp_path: Path) -> None:
    link = tmp_path / "t.csv"
    link.symlink_to(tmp_path / "no" / "t.csv")
    with pytest.raises(ConfigError, match="there is no folder"):
        options.writable(link, "--export")


def test_a_named_pipe_is_written_into_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    options.write(options.writable(pipe, "--export"), "rows\n", "--export")
    reader.join(10)
    assert read == ["rows\n"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_device_is_written_into_and_stays_a_device(tmp_path: Path) -> None:
    for path in (Path(os.devnull), tmp_path / "null"):
        if path.parent == tmp_path:
            path.symlink_to(os.devnull)
        options.write(options.writable(path, "-o"), "rows\n", "-o")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with pytest.raises(ConfigError, match="-o /dev/full: it cannot be written: No space left"):
        options.write(Path("/dev/full"), "rows\n", "-o")
