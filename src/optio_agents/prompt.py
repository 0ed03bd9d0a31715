"""Pieces of the instructions that an agent finds in its working directory."""

from collections.abc import Iterable
from types import EllipsisType

BASE_PROMPT_POST = """## Task

What follows is your task. Everything above says how you work, and holds until the task is finished.
"""
"""Stands before the task in the published form of `compose_agents_md`."""


def compose_agents_md(
    *blocks: str | Iterable[str] | None,
    documentation: str | EllipsisType | None = ...,
    resume_section: str | None = None,
) -> str:
    """One Markdown document out of blocks, in order, with an empty line between each two and a newline at the end.

    The published form is `compose_agents_md(task, documentation=..., resume_section=...)`: these two come first, then
    `BASE_PROMPT_POST`, then the task.

    Parameters:
        blocks: texts, or iterables of texts; a block that is None or only blanks is left out.
        documentation: of the log channel, `Protocol.documentation`; None in a session without one.
        resume_section: what the agent is told of a session that goes on.
    """
    before = () if isinstance(documentation, EllipsisType) else (documentation, resume_section, BASE_PROMPT_POST)
    texts: list[str] = []
    for block in (*before, *blocks):
        if block is not None:
            texts.extend([block] if isinstance(block, str) else block)
    return "".join(f"{text.strip()}\n\n" for text in texts if text.strip()).removesuffix("\n")


def downloadables_block(comparative: bool) -> str:
    """Teach an agent the link by which a person downloads a file of the working directory.

    Parameters:
        comparative: the agent knows deliverables as well, and has to choose between the two.
    """
    return _DOWNLOADABLES + _AND_DELIVERABLES if comparative else _DOWNLOADABLES


_DOWNLOADABLES = """## Downloadable files

To let the person you talk with download a file, write a link of the form `[name](optio-file:relpath)`
into your message: `name` is what the person sees, `relpath` is the path of the file relative to the
working directory, with `%20` for a blank.

```
Here is the [test report](optio-file:reports/tests.html).
```

The file must exist when you write the link, must lie in the working directory, and must stay there.
"""

_AND_DELIVERABLES = """
A link is for the person who reads your message, to fetch whenever they like. It does not hand the
file over: what the task asks you to produce is announced with a DELIVERABLE entry in the log channel.
Use DELIVERABLE for results and a link for anything else that is worth a look; for a result that the
person should see at once, use both.
"""
