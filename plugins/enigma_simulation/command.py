"""`enigma simulate`: the engine and the local exchange in worlds full of faults, each out of its seed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click

from enigma_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from enigma_simulation.many import Total
    from enigma_simulation.running import Outcome

SHOWN = 5
"""Violations of one seed that are printed."""


@click.command("simulate")
@click.option("--seeds", type=click.IntRange(1, 10_000_000), default=100, show_default=True, help="How many seeds to run.")
@click.option("--from", "first", type=click.IntRange(0), default=1, show_default=True, help="The first of them.")
@click.option("--seed", type=click.IntRange(0), help="Run this one alone and say all that went wrong in it.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes to spread the seeds over.")
@click.option("--follow", is_flag=True, help="With --seed: print all that happens, as it happens.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")
@click.pass_context
def simulate(ctx: click.Context, seeds: int, first: int, seed: int | None, jobs: int, follow: bool, as_json: bool) -> None:
    """Trade in simulated worlds and look at every step for what must never happen.

    Each seed is a world of its own: a market, alerts, faults of the exchange and of the network, crashes, hands that meddle. The
    same seed always takes the same course. Seeds that fail are printed; the exit code is then 1.
    """
    from enigma_simulation.many import outcomes, total

    chosen = [seed] if seed is not None else list(range(first, first + seeds))
    failing: list[Outcome] = []

    def seen(outcome: Outcome) -> None:
        if outcome.violations:
            failing.append(outcome)
            if not as_json:
                _tell(outcome, len(outcome.violations) if seed is not None else SHOWN)

    if follow and seed is not None and not as_json:
        from enigma_simulation.running import simulate as one

        found = total([one(seed, tell=click.echo)], seen)
    else:
        found = total(_watched(outcomes(chosen, jobs), len(chosen), as_json), seen)
    if as_json:
        import msgspec

        whole: dict[str, Any] = msgspec.to_builtins(found)
        failed = sorted(failing, key=lambda o: o.seed)
        whole["failed"] = [{"seed": o.seed, "violations": msgspec.to_builtins(o.violations)} for o in failed]
        click.echo(msgspec.json.format(msgspec.json.encode(whole), indent=2))
    else:
        _sum_up(found)
    ctx.exit(1 if found.violations else 0)


def _watched(found: Iterator[Outcome], many: int, as_json: bool) -> Iterator[Outcome]:
    """`found`, with a bar that shows how far it has come where somebody looks."""
    if as_json or many < 2 or not sys.stderr.isatty():
        yield from found
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(found, "simulating", total=many, console=Console(stderr=True), transient=True)


def _tell(outcome: Outcome, most: int) -> None:
    what = ", ".join(outcome.faults) or "no faults"
    click.echo(f"seed {outcome.seed} ({outcome.weather}: {what}) fails; again: enigma simulate --seed {outcome.seed}")
    for violation in outcome.violations[:most]:
        click.echo(f"  {violation.at:8.3f} s  {violation.invariant}: {violation.text}")
    if len(outcome.violations) > most:
        click.echo(f"  and {len(outcome.violations) - most} more")


def _sum_up(found: Total) -> None:
    hours = found.virtual / 3600
    per_seed = found.seconds / max(1, found.seeds)
    lines = (
        f"{found.seeds} seeds, {found.events:,} events, {hours:.1f} hours of trading in {found.seconds:.1f} s of the processor "
        f"({per_seed:.2f} s a seed)",
        f"{found.orders:,} orders, {found.trades:,} trades, {found.lives:,} starts of the engine",
        "faults: " + (", ".join(f"{name} {count}" for name, count in found.faults.items()) or "none"),
        f"rare courses taken: {sum(found.courses.values()):,}, of {len(found.courses)} kinds",
        f"longest without a stop: {found.longest_in_calm:.1f} s in calm, {found.longest_in_reach:.1f} s in reach of the exchange, "
        f"{found.longest_unprotected:.1f} s whatever the reason (seed {found.longest_unprotected_seed})",
        f"kill switch in calm: flat after {found.kill:.1f} s at most",
        f"trace {found.trace}",
        f"violations: {found.violations}" + (f", of seeds {', '.join(map(str, found.failing))}" if found.failing else ""),
    )
    for line in lines:
        click.echo(line)
    _by_fault(found)


def _by_fault(found: Total) -> None:
    if not found.longest_by_fault:
        return
    click.echo("longest without a stop in reach of the exchange, by the only kind of fault of a world:")
    width = max(map(len, found.longest_by_fault))
    for name, seconds in sorted(found.longest_by_fault.items(), key=lambda item: (-item[1], item[0])):
        click.echo(f"  {name:<{width}}  {seconds:5.1f} s")


@hookimpl
def enigma_commands() -> Iterator[click.Command]:
    yield simulate
