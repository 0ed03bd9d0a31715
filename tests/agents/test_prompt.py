"""The text that teaches an agent says what the parser does, for every choice of features."""

import re
from itertools import product
from typing import get_args

import pytest

from optio_agents.prompt import BASE_PROMPT_POST, compose_agents_md, downloadables_block
from optio_agents.protocol.events import DeliverableEvent, UnknownLine
from optio_agents.protocol.features import BrowserMode, ProtocolFeatures
from optio_agents.protocol.keywords import KEYWORDS
from optio_agents.protocol.parser import parse_log_line
from optio_agents.protocol.prompt import LOG_CHANNEL_PROMPT, build_log_channel_prompt
from optio_agents.protocol.protocol import get_protocol

COMBINATIONS = [
    ProtocolFeatures(browser, client, caller)
    for browser, client, caller in product(get_args(BrowserMode), (False, True), (False, True))
]
EVENT_OF = {
    "STATUS": "StatusEvent",
    "DELIVERABLE": "DeliverableEvent",
    "ATTENTION": "AttentionEvent",
    "BROWSER": "BrowserEvent",
    "CLIENT_MESSAGE": "ClientMessageEvent",
    "CALLER_MESSAGE": "CallerMessageEvent",
    "DONE": "DoneEvent",
    "ERROR": "ErrorEvent",
}


def blocks(text: str) -> list[list[str]]:
    return [block.splitlines() for block in re.findall(r"^```\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)]


def prose(text: str) -> str:
    return " ".join(text.split())


def test_there_are_twelve_combinations() -> None:
    assert len(set(COMBINATIONS)) == 12


@pytest.mark.parametrize("features", COMBINATIONS, ids=str)
def test_every_example_is_read_as_its_keyword(features: ProtocolFeatures) -> None:
    how, *examples = blocks(build_log_channel_prompt(features))
    assert how == ["printf '%s\\n' \"STATUS: 10% reading the code\" >> ./optio.log"]
    taught: list[str] = []
    for block in examples:
        word = re.split("[: ]", block[0])[0]
        taught.append(word)
        for line in block:
            event = parse_log_line(line, features=features)
            assert type(event).__name__ == EVENT_OF[word], line
    assert taught == [keyword.word for keyword in KEYWORDS if keyword.enabled(features)]


@pytest.mark.parametrize("replies", [True, False])
@pytest.mark.parametrize("features", COMBINATIONS, ids=str)
def test_a_keyword_is_in_the_text_exactly_when_the_parser_knows_it(features: ProtocolFeatures, replies: bool) -> None:
    text = build_log_channel_prompt(features, replies=replies)
    for keyword in KEYWORDS:
        example = keyword.examples[0]
        known = not isinstance(parse_log_line(example, features=features), UnknownLine)
        assert known == (keyword.word in text) == keyword.enabled(features), keyword.word


def test_which_keywords_are_always_on() -> None:
    assert [keyword.word for keyword in KEYWORDS if keyword.enabled(ProtocolFeatures())] == [
        "STATUS",
        "DELIVERABLE",
        "ATTENTION",
        "DONE",
        "ERROR",
    ]


def test_the_text_teaches_what_an_agent_has_to_know() -> None:
    text = prose(LOG_CHANNEL_PROMPT)
    for statement in (
        "One entry is one line",
        "always ends in a newline: the harness takes a line only when its newline has arrived",
        "Put every file that you hand over under `./deliverables/`",
        "Announce a file only after it is final",
        "Stop working after it",
        "begin with `System:`",
        "Before DONE, wait for the acknowledgement of each",
        "accepted. thanks for the good work.",
        "refused: ...",
        "not handled: ...",
        "you have been resumed",
    ):
        assert statement in text


def test_the_headings_are_those_that_other_prompts_refer_to() -> None:
    for text in (LOG_CHANNEL_PROMPT, build_log_channel_prompt(replies=False)):
        headings = [line for line in text.splitlines() if line.startswith("#")]
        assert headings == ["## Log channel", "## Deliverables", "## Messages from the harness"]


def test_without_replies_the_agent_is_not_asked_to_wait_for_any() -> None:
    text = build_log_channel_prompt(replies=False)
    assert not re.search(r"\bwait|acknowledge|accepted|refused", text)


def test_suppressed_browsers_are_mentioned_and_only_then() -> None:
    said = "No browser can be opened"
    assert said in build_log_channel_prompt(ProtocolFeatures(browser="suppress"))
    assert said not in build_log_channel_prompt(ProtocolFeatures(browser="redirect"))
    assert said not in LOG_CHANNEL_PROMPT


def test_the_names_of_the_environment_take_the_place_of_the_paths() -> None:
    text = build_log_channel_prompt(
        log_path="$OPTIO_LOG", deliverables_dir="$OPTIO_DELIVERABLES", replies_path="$OPTIO_REPLIES"
    )
    assert '>> "$OPTIO_LOG"' in text
    assert "DELIVERABLE: $OPTIO_DELIVERABLES/report.md" in text
    assert "`$OPTIO_REPLIES`" in text
    assert "./" not in text


def test_a_path_that_the_shell_would_split_is_quoted_in_the_example() -> None:
    text = build_log_channel_prompt(log_path="/srv/my work/optio.log")
    assert ">> '/srv/my work/optio.log'" in text


def test_a_protocol_binds_its_features_to_parser_and_text() -> None:
    protocol = get_protocol(browser="redirect", caller_messages=True)
    assert protocol.features == ProtocolFeatures("redirect", False, True)
    assert protocol.browser == "redirect"
    assert protocol.documentation == build_log_channel_prompt(protocol.features)
    assert protocol.parse_log_line("CLIENT_MESSAGE: a 1") == UnknownLine("CLIENT_MESSAGE: a 1")
    assert protocol.parse_log_line("DELIVERABLE: a\n") == DeliverableEvent("a")
    assert get_protocol().documentation == LOG_CHANNEL_PROMPT
    with pytest.raises(ValueError, match="ignore, suppress, redirect"):
        get_protocol(browser="open")  # type: ignore[arg-type]


def test_downloadables_name_the_log_channel_only_when_comparative() -> None:
    for comparative in (True, False):
        text = downloadables_block(comparative)
        assert "[name](optio-file:relpath)" in text
        assert ("DELIVERABLE" in text) == comparative


def test_agents_md_is_its_blocks_with_an_empty_line_between() -> None:
    assert compose_agents_md("# A\n\ntext\n\n", None, "  \n", ["## B\n", "## C"]) == "# A\n\ntext\n\n## B\n\n## C\n"
    assert compose_agents_md() == ""


def test_the_published_form_puts_what_is_given_before_the_task() -> None:
    text = compose_agents_md("Count.", documentation="## Log channel", resume_section="Go on.")
    assert text == f"## Log channel\n\nGo on.\n\n{BASE_PROMPT_POST}\nCount.\n"
    assert compose_agents_md("Count.", documentation=None) == f"{BASE_PROMPT_POST}\nCount.\n"
