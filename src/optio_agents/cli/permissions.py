"""`optio permissions`: what agents wait to be told."""

import time

import click

from ..conversation.questions import tool_of
from ..events import rfc3339
from ..journal import Question, Snapshot, Store
from .brief import print_json
from .carry_out import carry_out
from .inbox import open_questions
from .options import json_option, store_option
from .said_by_agent import in_words
from .visible import span, visible


@click.command()
@json_option
@store_option
def command(as_json: bool, store_url: str | None) -> None:
    """List what the agents of all sessions wait to be told, with the whole of what will run.

    A tool that an agent may not use by itself waits here until somebody allows it (`optio approve`) or not (`optio
    deny`), from any terminal. Whoever answers first decides.

    \b
    Examples:
      optio permissions
      optio permissions --json | jq -r 'select(.tool == "Bash") | .input.command'
    """

    async def look(store: Store) -> list[tuple[Snapshot, Question]]:
        return await open_questions(store)

    found = carry_out(look, store_url)
    if not found and not as_json:
        click.echo("no agent waits to be told anything", err=True)
    for snapshot, question in found:
        tool, tool_input = tool_of(question)
        if as_json:
            print_json(
                {
                    "id": question.id,
                    "session": snapshot.record.id,
                    "kind": question.kind,
                    "tool": tool,
                    "input": tool_input,
                    "asked": rfc3339(question.asked),
                    "waits_for": question.waits_for,
                }
            )
            continue
        waits = span(time.time() - question.asked) + (", the policy decides" if question.waits_for == "policy" else "")
        click.echo(f"{visible(question.id)}  session {snapshot.record.id}  {visible(question.kind)}, for {waits}")
        click.echo(f"  {visible(tool)}: {in_words(tool_input)}")
