"""`enigma plugins check`, `new` and `install`, called as commands."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from enigma_core.cli import plugin_tools
from enigma_core.cli.plugin_templates import MODULES, package
from enigma_core.errors import PluginError
from enigma_core.parts import kind_of
from enigma_core.plugins import HOOKS
from enigma_core.testing import check


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


@pytest.mark.parametrize("kind", MODULES)
def test_written_part_is_sound_and_offered_by_its_entry_point(kind: str, tmp_path: Path) -> None:
    result = run(plugin_tools.new, kind, "my_part", "--folder", str(tmp_path / "new"), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["files"] == ["README.md", "enigma_my_part.py", "pyproject.toml", "tests/test_my_part.py"]
    project = tomllib.loads((tmp_path / "new" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "enigma-my-part"
    assert project["project"]["entry-points"]["enigma"] == {f"{kind}s.my_part": "enigma_my_part"}
    spec = importlib.util.spec_from_file_location("enigma_my_part", tmp_path / "new" / "enigma_my_part.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["enigma_my_part"] = module
    try:
        spec.loader.exec_module(module)
        (hook,) = [name for name, of in HOOKS.items() if of == kind]
        (part,) = getattr(module, hook)()
        assert (part.name, kind_of(part), part.__name__) == ("my_part", kind, "MyPart")
        assert [str(finding) for finding in check(part)] == []
    finally:
        del sys.modules["enigma_my_part"]


def test_written_test_is_three_lines_of_code() -> None:
    code = [line for line in package("gate", "calm")["tests/test_calm.py"].splitlines() if line]
    assert code == ["from enigma_calm import Calm", "def test_contract(check_part):", "    check_part(Calm)"]


@pytest.mark.parametrize(
    ("name", "near"), [("MyGate", "my_gate"), ("my-gate", "my_gate"), ("2nd", "nd"), ("", ""), ("über", "ber")]
)
def test_name_that_no_part_may_bear_is_refused_with_the_nearest_that_may(name: str, near: str, tmp_path: Path) -> None:
    result = run(plugin_tools.new, "gate", name, "--folder", str(tmp_path / "new"))
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()
    assert f"did you mean {near}?" in result.output if near else "is no part's name" in result.output


def test_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    result = run(plugin_tools.new, "exit", "my_exit", "--folder", str(tmp_path))
    assert isinstance(result.exception, PluginError)
    assert "not empty; name another place with --folder" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(plugin_tools.new, "exit", "my_exit", "--folder", str(tmp_path / "file" / "new"))
    assert isinstance(result.exception, PluginError)
    assert "cannot be written: Not a directory" in str(result.exception)


def test_name_of_an_installed_part_is_refused() -> None:
    result = run(plugin_tools.new, "gate", "score")
    assert isinstance(result.exception, PluginError)
    assert "gate score is offered by miniature-enigma already" in str(result.exception)


def test_checked_built_in_is_sound() -> None:
    result = run(plugin_tools.check, "gate.score", "stop_loss", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)
    assert [(part["kind"], part["name"], part["findings"]) for part in answer["parts"]] == [
        ("gate", "score", []),
        ("exit", "stop_loss", []),
    ]
    assert "sound   gate score (miniature-enigma" in run(plugin_tools.check, "score").output


def test_unknown_part_is_refused_with_the_nearest_name() -> None:
    result = run(plugin_tools.check, "wiliams_r")
    assert isinstance(result.exception, PluginError)
    assert "did you mean 'williams_r'?" in str(result.exception)


def test_check_wants_a_name_or_all_and_not_both() -> None:
    assert run(plugin_tools.check).exit_code == 2
    assert run(plugin_tools.check, "rsi", "--all").exit_code == 2


def test_failed_pip_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "warning\nERROR: No matching distribution found for enigma-nothing\n")

    monkeypatch.setattr(plugin_tools.subprocess, "run", failed)
    result = run(plugin_tools.install, "enigma-nothing")
    assert isinstance(result.exception, PluginError)
    assert str(result.exception) == "pip could not install enigma-nothing: No matching distribution found for enigma-nothing"
