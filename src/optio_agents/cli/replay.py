"""`optio replay`: are the decisions of an exported session still the same?"""

import sys

import click

from ..errors import PolicyError
from ..replay.differences import Answered, DecisionDiffers, Difference, EventsDiffer, OutcomeDiffers, Replayed
from ..replay.recorded_turn import NotReplayable
from ..replay.replaying import replay
from .brief import print_json
from .carry_out import carry_out_here
from .options import json_option
from .visible import visible


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--policy", metavar="F", help="Another policy file, `built-in`, or `none`; else that of the session.")
@json_option
def command(file: str, policy: str | None, as_json: bool) -> None:
    """Make the decisions of an exported session again, and compare them with what was decided then.

    FILE is what `optio export` has written. What the agent and its log have said is read again; the policy decides
    again, and what it leaves to a person is answered as it was. Nothing runs, no host is dialled, and nothing on this
    machine is looked at: paths lead where they led when the session was recorded.

    Exit status: 0 when all is the same, 1 when something differs, 2 when FILE is no recording or F no policy.

    \b
    Examples:
      optio export 3f session.jsonl && optio replay session.jsonl
      optio replay session.jsonl --policy policy.toml
    """
    try:
        replayed = carry_out_here(lambda: _replay(file, policy))
    except _Unusable as error:
        for line in str(error).split("\n"):
            click.echo(visible(line), err=True)
        sys.exit(2)
    if as_json:
        print_json(
            {
                "session": replayed.session,
                "questions": replayed.questions,
                "differences": [_in_json(each) for each in replayed.differences],
                "notes": list(replayed.notes),
            }
        )
    else:
        for line in str(replayed).split("\n"):
            click.echo(visible(line))
    sys.exit(1 if replayed.differences else 0)


class _Unusable(click.ClickException):
    """What was given is no recording, or no policy."""


async def _replay(file: str, policy: str | None) -> Replayed:
    try:
        return await replay(file, policy=policy)
    except OSError as error:
        raise _Unusable(f"{file}: it cannot be read: {error.strerror or error}") from error
    except (NotReplayable, PolicyError) as error:
        raise _Unusable(str(error)) from error


def _in_json(difference: Difference) -> dict[str, object]:
    match difference:
        case DecisionDiffers():
            return {
                "kind": "decision",
                "number": difference.number,
                "question": difference.question,
                "tool": difference.tool,
                "input": difference.input,
                "recorded": _answered(difference.recorded),
                "replayed": _answered(difference.replayed),
                "why": difference.why,
            }
        case EventsDiffer(stream, recorded, replayed):
            return {"kind": "events", "stream": stream, "recorded": list(recorded), "replayed": list(replayed)}
        case OutcomeDiffers(before, after):
            return {
                "kind": "outcome",
                "recorded": None if before is None else before.model_dump(),
                "replayed": None if after is None else after.model_dump(),
            }


def _answered(answered: Answered) -> dict[str, object]:
    return {"what": answered.what, "by": answered.by, "name": answered.name, "more": list(answered.more)}
