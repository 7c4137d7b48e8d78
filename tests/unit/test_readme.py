"""The README can fail: its commands parse, its links lead somewhere, its indicator is sound."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from enigma_core import cli
from enigma_core.plugins import Catalogue
from enigma_core.testing import verify

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TYPED = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for part in block.splitlines()
    for line in part.split("&&")
    if line.strip().startswith("enigma ")
] + re.findall(r"^\$ (enigma .*)$", README, re.M)


def test_it_starts_with_the_two_commands() -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.S)
    assert commands[:2] == ["pip install -e . && enigma run", 'pip install -e ".[test]" && pytest']


@pytest.mark.parametrize("line", TYPED)
def test_every_command_it_shows_can_be_typed(line: str) -> None:
    args = shlex.split(line)[1:]
    command: click.Command = cli.root
    context = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(context, args[0])
        assert found is not None, f"there is no command {args[0]}"
        command, args = found, args[1:]
    command.make_context(line, args)


def test_it_names_every_command() -> None:
    assert all(f"| `enigma {name}` |" in README for name in cli.COMMANDS)


@pytest.mark.parametrize("target", [*re.findall(r"\]\(([^)#]+)\)", README), "enigma_core/shells", "enigma_core/cli", ".ci/run"])
def test_its_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_its_indicator_is_sound(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    (tmp_path / "breakaway.py").write_text(code)
    catalogue = Catalogue.load([tmp_path])
    verify(catalogue.part("indicator", "breakaway").part)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 25
