"""docs/conversation.md says what the code does, where a program can tell. Its examples are run by test_examples."""

import re
from dataclasses import fields
from pathlib import Path

from optio_agents.conversation import subscribers
from optio_agents.conversation.claude import LONGEST_SEND, ClaudeCodeConversation
from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.conversation.contract import Conversation
from optio_agents.conversation.dialogue import KEPT_RESULT, KEPT_TEXT
from optio_agents.conversation.exchange import CONTROL_PATIENCE, START_PATIENCE
from optio_agents.conversation.parse import LINE_LIMIT
from optio_agents.conversation.questions import OPEN_LIMIT

TEXT = (Path(__file__).parents[2] / "docs" / "conversation.md").read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())
KIB, MIB = 1024, 1024 * 1024


def offered() -> set[str]:
    """The names in the table of what a conversation offers."""
    table = TEXT.split("\n## What it offers\n", 1)[1].split("\n\n", 2)[0]
    cells = re.findall(r"^\| (`.*`) \|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(?:await )?(\w+)", cell)}


def test_everything_that_it_offers_is_there() -> None:
    assert len(offered()) > 15
    assert not {name for name in offered() if not hasattr(ClaudeCodeConversation, name)}


def test_everything_that_every_conversation_offers_is_in_it() -> None:
    assert not {name for name in vars(Conversation) if not name.startswith("_")} - offered()


def test_every_way_to_describe_the_agent_is_in_it() -> None:
    assert not {each.name for each in fields(ClaudeCode)} - set(re.findall(r"`(\w+)`", TEXT))


def test_its_limits_and_times_are_those_of_the_code() -> None:
    assert f"at most {subscribers.QUEUE_ITEMS:,} items and {subscribers.QUEUE_BYTES // MIB} MiB" in PROSE
    assert f"subscribers have {subscribers.LAST_ITEMS:g} s to take" in PROSE
    assert f"up to {KEPT_TEXT // KIB} KiB, results of tools up to {KEPT_RESULT // KIB} KiB" in PROSE
    assert f"a message of more than {LINE_LIMIT // MIB} MiB" in PROSE
    assert f"more than {LONGEST_SEND:,} characters" in PROSE
    assert f"{OPEN_LIMIT} questions are open" in PROSE
    assert f"does not answer for {CONTROL_PATIENCE:g} s" in PROSE
    assert f"the greeting for {START_PATIENCE:g} s" in PROSE
