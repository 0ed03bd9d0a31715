"""`optio policy`: is a policy file right, and what would it have said in a session?"""

import sys
from collections import Counter
from typing import Never

import click

from ..conversation.judging import asked_of
from ..errors import PolicyError
from ..journal import Snapshot, Store
from ..permissions import Policy, ToolCall
from ..permissions.case import failures
from ..permissions.decision import Decision
from ..permissions.policy import BUILT_IN
from .brief import print_json
from .carry_out import carry_out
from .options import json_option, store_option
from .said_by_agent import in_words
from .visible import visible

file_argument = click.argument("file", metavar="F")


@click.group()
def command() -> None:
    """Check a policy file, and try it on what an agent has asked. docs/policy.md says what stands in one.

    F is a file, or `built-in`, the policy that ships.

    \b
    Examples:
      optio policy check policy.toml
      optio policy try policy.toml --session 3f
    """


@command.command()
@file_argument
@json_option
def check(file: str, as_json: bool) -> None:
    """Check a policy file, and run the test cases in it.

    The exit status is 0 when all is well, 1 when a case comes out otherwise than it shall, and 2 when the file is
    wrong.

    \b
    Examples:
      optio policy check policy.toml
      optio policy check policy.toml --json | jq .failed
    """
    policy = _load(file, as_json)
    failed = failures(policy)
    if as_json:
        print_json(
            {
                "file": file,
                "rules": len(policy.rules),
                "cases": len(policy.cases),
                "errors": [],
                "failed": [
                    {
                        "case": each.case.number,
                        "line": each.case.line,
                        "tool": each.case.call.tool,
                        "input": dict(each.case.call.input),
                        "expected": each.case.expect,
                        **_in_json(each.decision),
                    }
                    for each in failed
                ],
            }
        )
    for each in () if as_json else failed:
        case = each.case
        at = f"{file}:{case.line}" if case.line else file
        wanted = f"{each.decision.verdict}, and {case.expect} is expected"
        click.echo(f"{visible(at)}: case {case.number}: {_call_in_words(case.call)}: {wanted}")
        _print_parts(each.decision)
    if not as_json:
        cases = f"{len(policy.cases)} cases, {len(failed)} of them failed" if failed else f"{len(policy.cases)} cases"
        click.echo(f"{visible(file)}: {len(policy.rules)} rules, {cases}")
    sys.exit(1 if failed else 0)


@command.command("try")
@file_argument
@click.option("--session", "session", metavar="ID", required=True, help="The session whose questions are tried.")
@json_option
@store_option
def try_(file: str, session: str, as_json: bool, store_url: str | None) -> None:
    """Say what a policy would have allowed, asked and denied of what the agent of a session has asked.

    Nothing is answered, and no host is dialled: paths lead where they led when the policy of the session decided, and
    as they are written where it had none.

    \b
    Examples:
      optio policy try policy.toml --session 3f
      optio policy try built-in --session 3f --json | jq -r 'select(.verdict == "ask") | .input.command'
    """
    policy = _load(file, as_json)

    async def look(store: Store) -> Snapshot:
        return await store.snapshot(await store.resolve(session))

    snapshot = carry_out(look, store_url)
    counts: Counter[str] = Counter()
    for question in snapshot.questions:
        call, leads_to = asked_of(snapshot.record, question)
        decision = policy.decide(call, leads_to)
        counts[decision.verdict] += 1
        said = question.answer.get("behavior") if question.answer else None
        answered = said if isinstance(said, str) else None
        if as_json:
            asked = {"question": question.id, "tool": call.tool, "input": dict(call.input), "answered": answered}
            print_json({**asked, **_in_json(decision)})
        else:
            then = f", then: {answered}" if answered else ""
            click.echo(f"{decision.verdict:5} {_call_in_words(call)}  ({visible(question.id[:8])}{visible(then)})")
            _print_parts(decision)
    if not as_json:
        total = ", ".join(f"{verdict} {counts[verdict]}" for verdict in ("allow", "ask", "deny"))
        click.echo(f"{len(snapshot.questions)} questions: {total}")


def _load(file: str, as_json: bool) -> Policy:
    try:
        return Policy.built_in() if file == BUILT_IN else Policy.load(file)
    except PolicyError as error:
        _leave(file, error, as_json)


def _leave(file: str, error: PolicyError, as_json: bool) -> Never:
    if as_json:
        print_json({"file": file, "errors": [{"line": line, "problem": what} for line, what in error.problems]})
    else:
        for line in str(error).split("\n"):
            click.echo(visible(line), err=True)
    sys.exit(2)


def _call_in_words(call: ToolCall) -> str:
    return f"{visible(call.tool)}: {in_words(dict(call.input))}"


def _print_parts(decision: Decision) -> None:
    for part in decision.parts:
        click.echo(f"      {visible(str(part))}")


def _in_json(decision: Decision) -> dict[str, object]:
    return {
        "verdict": decision.verdict,
        "reason": decision.reason,
        "parts": [
            {
                "what": each.what,
                "verdict": each.verdict,
                "rule": each.rule.number if each.rule else None,
                "line": each.rule.line if each.rule else None,
                "origin": each.rule.origin or None if each.rule else None,
                "why": each.why,
            }
            for each in decision.parts
        ],
    }
