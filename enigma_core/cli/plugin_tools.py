"""`enigma plugins check`, `new` and `install`: what a plugin's author needs from the first line to the installed package."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from enigma_core.cli.plugin_templates import MODULES, package
from enigma_core.errors import PluginError

if TYPE_CHECKING:
    from enigma_core.parts import Part
    from enigma_core.plugins import Catalogue, Offer
    from enigma_core.testing import Finding

NAME = re.compile(r"[a-z][a-z0-9_]*")


def _echo_json(answer: dict[str, Any]) -> None:
    click.echo(json.dumps(answer, indent=2))


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Check every installed part, and report plugins that could not be loaded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(names: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Check installed parts against the contract of their kind, with their default settings.

    NAME is a part (rsi), a part of one kind (gate.score) or a distribution. Exit code 1 where a rule is broken.
    """
    if bool(names) == every:
        raise click.UsageError("name the parts to check, or say --all")
    from enigma_core import testing
    from enigma_core.parts import KINDS
    from enigma_core.plugins import Catalogue

    catalogue = Catalogue.installed()
    offers = [offer for kind in KINDS for offer in catalogue.parts(kind).values()]
    if names:
        offers = list(dict.fromkeys(offer for name in names for offer in _named(catalogue, offers, name)))
    results = [(offer, testing.check(offer.part)) for offer in offers]
    faults = [fault for fault in catalogue.faults if every or fault.distribution in names]
    broken = sum(bool(findings) for _, findings in results) + len(faults)
    if as_json:
        _echo_json(
            {
                "parts": [_row(offer) | {"findings": [_told(finding) for finding in found]} for offer, found in results],
                "faults": [fault.sentence for fault in faults],
                "broken": broken,
            }
        )
    else:
        _show(results, [fault.sentence for fault in faults])
    if broken:
        raise Exit(1)


def _named(catalogue: Catalogue, offers: list[Offer], name: str) -> list[Offer]:
    """The offers meant by `name`. Raises `PluginError` with the fault of the plugin that would have offered it."""
    found = [offer for offer in offers if name in (offer.name, f"{offer.kind}.{offer.name}", offer.distribution)]
    if found or any(fault.distribution == name for fault in catalogue.faults):
        return found
    for fault in catalogue.faults:
        if name in {part for full in fault.parts for part in (full, full.replace(":", "."), full.rpartition(":")[2])}:
            raise PluginError(fault.sentence)
    import difflib

    near = difflib.get_close_matches(name, [offer.name for offer in offers], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`enigma plugins` lists what is installed"
    raise PluginError(f"no installed plugin offers a part named {name!r}; {hint}")


def _row(offer: Offer) -> dict[str, str]:
    return {
        "kind": offer.kind,
        "name": offer.name,
        "section": _section(offer.part),
        "distribution": offer.distribution,
        "version": offer.version,
    }


def _origin(distribution: str, version: str) -> str:
    return f"{distribution} {version}".rstrip()


def _section(part: type[Part]) -> str:
    """The section of the configuration that takes the part."""
    from enigma_core.config.defaults import CLASSES, MANY, ONE
    from enigma_core.parts import kind_of

    kind = kind_of(part)
    if kind == "universe":
        return "symbols"
    fitting = [section for section, of in (*ONE.items(), *MANY.items()) if of == kind]
    return next(section for section in fitting if issubclass(part, CLASSES.get(section, part)))


def _switched_on(section: str, name: str) -> str:
    """How a run comes to use the part."""
    from enigma_core.config.defaults import ONE

    if section in ONE or section == "symbols":
        return f'enigma run --set {section}.use={name}, or "{section}": {{"use": "{name}"}} in strategy_config.json'
    return f'enigma run --set {section}.{name}.enabled=true, or "{section}": {{"{name}": {{}}}} in strategy_config.json'


def _told(finding: Finding) -> dict[str, str]:
    return {"rule": finding.rule, "text": finding.text}


def _show(results: list[tuple[Offer, list[Finding]]], faults: list[str]) -> None:
    for offer, findings in results:
        mark = click.style("broken", fg="red") if findings else click.style("sound ", fg="green")
        click.echo(f"{mark}  {offer.kind} {offer.name} ({_origin(offer.distribution, offer.version)})")
        for finding in findings:
            click.echo(f"        {finding.rule}: {finding.text}")
    for sentence in faults:
        click.echo(f"{click.style('fault ', fg='red')}  {sentence}")
    sound = sum(not findings for _, findings in results)
    click.echo(f"{sound} of {len(results)} parts keep their contract" + (f", {len(faults)} faults" if faults else ""))


@click.command()
@click.argument("kind", type=click.Choice(sorted(MODULES)))
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The package's folder, made where it is missing; by default enigma-NAME here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def new(kind: str, name: str, folder: Path | None, as_json: bool) -> None:
    """Write a package with one part in it: installable, tested, and sound as it stands."""
    if not NAME.fullmatch(name):
        plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_0123456789")
        hint = f"; did you mean {plain}?" if NAME.fullmatch(plain) else ""
        raise click.UsageError(f"{name!r} is no part's name: a small letter, then small letters, digits and _{hint}")
    from enigma_core.config.defaults import MANY, ONE
    from enigma_core.plugins import Catalogue

    taken = Catalogue.installed().parts(kind).get(name)
    if taken:
        raise PluginError(f"{kind} {name} is offered by {taken.distribution} already; names are unique per kind: choose another")
    files = package(kind, name)
    folder = folder or Path(f"enigma-{name.replace('_', '-')}")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise PluginError(f"{folder} is there already and not empty; name another place with --folder")
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise PluginError(f"{folder} cannot be written: {error.strerror}; name another place with --folder") from None
    if as_json:
        _echo_json({"kind": kind, "name": name, "folder": str(folder), "files": sorted(files)})
        return
    click.echo(f"Wrote {kind} {name} to {folder}:")
    for path in sorted(files):
        click.echo(f"  {path}")
    click.echo(f"Next: pip install -e {folder} && enigma plugins check {name}")
    click.echo(f"Then switch it on: {_switched_on(kind if kind in ONE else next(s for s, of in MANY.items() if of == kind), name)}")


@click.command()
@click.argument("distribution", metavar="DIST")
@click.argument("pip_options", metavar="[-- PIP OPTIONS]", nargs=-1, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def install(distribution: str, pip_options: tuple[str, ...], as_json: bool) -> None:
    """Install a plugin with pip into the engine's own environment, and show what came with it.

    DIST is whatever pip takes: a name, a folder, a wheel. Exit code 1 where the plugin cannot be used.
    """
    from enigma_core.plugins import Catalogue

    before = _snapshot(Catalogue.installed())
    names = _pip_install(distribution, pip_options)
    after = _fresh_snapshot()
    came = [row for row in after["parts"] if row["distribution"] in names or row not in before["parts"]]
    faults = [row["sentence"] for row in after["faults"] if row["distribution"] in names or row not in before["faults"]]
    if as_json:
        _echo_json({"installed": names, "parts": came, "faults": faults})
    else:
        click.echo(f"Installed {', '.join(names) or distribution}.")
        for row in came:
            click.echo(f"  {row['kind']} {row['name']} ({_origin(row['distribution'], row['version'])})")
            click.echo(f"    to switch it on: {_switched_on(row['section'], row['name'])}")
        if not came and not faults:
            click.echo("  It offers no part to the engine: its metadata has no entry point in the group 'enigma'.")
    if faults:
        raise PluginError("; ".join(faults))
    if not came:
        raise Exit(1)


def _pip_install(distribution: str, options: tuple[str, ...]) -> list[str]:
    """Run pip; the names of the distributions that it installed, or of the one that was there already."""
    if importlib.util.find_spec("pip") is None:
        raise PluginError(f"there is no pip in this environment; install {distribution} with the tool that made it")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"--report={report}"]
        click.echo(f"pip install {distribution} ...", err=True)
        done = subprocess.run([*command, *options, "--", distribution], capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-3:]
            raise PluginError(f"pip could not install {distribution}: {' '.join(errors) or f'exit code {done.returncode}'}")
        rows = json.loads(report.read_text())["install"] if report.exists() else []
    return [row["metadata"]["name"] for row in rows] or [distribution]


def _snapshot(catalogue: Catalogue) -> dict[str, list[dict[str, str]]]:
    from enigma_core.parts import KINDS

    return {
        "parts": [_row(offer) for kind in KINDS for offer in catalogue.parts(kind).values()],
        "faults": [{"distribution": fault.distribution, "sentence": fault.sentence} for fault in catalogue.faults],
    }


def print_snapshot() -> None:
    """For `_fresh_snapshot`, in its own process."""
    from enigma_core.plugins import Catalogue

    _echo_json(_snapshot(Catalogue.installed()))


def _fresh_snapshot() -> dict[str, list[dict[str, str]]]:
    """The catalogue as the next `enigma` will see it: this process knows only the packages that were there when it began."""
    code = "from enigma_core.cli.plugin_tools import print_snapshot; print_snapshot()"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PluginError(f"pip installed it, but the engine does not start with it: {last}; uninstall it again")
    snapshot: dict[str, list[dict[str, str]]] = json.loads(done.stdout)
    return snapshot
