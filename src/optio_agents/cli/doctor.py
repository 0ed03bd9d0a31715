"""`optio doctor`: whether a host can be used, what is slow there, and what to do about it."""

import dataclasses
import sys
from shlex import quote

import click

from optio_host.checkup import Finding, look_at
from optio_host.errors import HostError
from optio_host.host import RunsCommands
from optio_host.open import address_of, connected

from ..conversation.program import look_for_program
from .agents import AGENTS
from .brief import print_json
from .carry_out import carry_out_here
from .options import executable_option, host_option, json_option, unused_store_option
from .visible import visible

AGENT_TIMEOUT = 30.0
"""Seconds in which an agent must say its version."""

COLOURS = {"ok": "green", "slow": "yellow", "fails": "red"}


@click.command()
@host_option
@click.option("--agent", type=click.Choice(AGENTS), help="Also look whether this agent is there, and its version.")
@executable_option
@json_option
@unused_store_option
def command(host: str, agent: str | None, executable: str | None, as_json: bool) -> None:
    """Look at a host: whether it is reachable and verified, what it has, and what will be slow or will fail.

    Nothing is changed there but for a process that is started and ended. With --json, one finding a line.

    Exit status: 0 when it can be used, 1 when something will fail.

    \b
    Examples:
      optio doctor
      optio doctor --host build-7 --agent claude
    """
    if executable and not agent:
        raise click.UsageError("--executable is the program of an agent: say which with --agent")
    findings = carry_out_here(lambda: _examine(host, agent, executable))
    if as_json:
        for finding in findings:
            print_json(dataclasses.asdict(finding))
    else:
        _print(host, findings)
    if any(finding.verdict == "fails" for finding in findings):
        raise SystemExit(1)


async def _examine(url: str, agent: str | None, executable: str | None) -> list[Finding]:
    ssh = address_of(url).ssh
    findings: list[Finding] = []
    if ssh is not None:
        from optio_host.ssh.checkup import look_at_link

        findings = await look_at_link(ssh)
        if any(finding.verdict == "fails" for finding in findings):
            return findings
    try:
        async with connected(url) as host:
            findings += await look_at(host)
            if agent is not None:
                findings.append(await _look_for(host, agent, executable or agent))
    except HostError as error:
        findings.append(Finding("commands", "fails", f"{error}; nothing else was looked at"))
    return findings


async def _look_for(host: RunsCommands, agent: str, executable: str) -> Finding:
    program = await look_for_program(host, executable, "/", {})
    if program.problem:
        return Finding(agent, "fails", program.problem, program.remedy)
    # Its own output is not to be trusted to be one line.
    said = await host.run_command(f"{quote(program.path)} --version", cwd="/", timeout=AGENT_TIMEOUT)
    if said.exit_code != 0:
        why = (said.stderr.strip() or f"exit {said.exit_code}")[:200]
        return Finding(agent, "fails", f"{program.path} does not start: {why}", f"run `{program.path} --version` there")
    return Finding(agent, "ok", f"{said.stdout.strip()[:100]} ({program.path})")


def _print(url: str, findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        colour = COLOURS[finding.verdict]
        found = Text(visible(finding.found))
        if finding.remedy:
            found.append(f"\n-> {visible(finding.remedy)}", style=colour)
        table.add_row(Text(finding.verdict, style=colour), finding.what, found)
    # Into a pipe, nothing is wrapped.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 10_000)
    console.print(table)
    counted = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in COLOURS}
    name = visible(url)
    if counted["fails"]:
        console.print(Text(f"{name} cannot be used as it is: {counted['fails']} to be mended", style="red"))
    elif counted["slow"]:
        console.print(Text(f"{name} can be used; {counted['slow']} could be better", style="yellow"))
    else:
        console.print(Text(f"{name} can be used", style="green"))
