"""`optio chat`: talk with an agent, here or on another host."""

import os
import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optio_host.open import connected, private_root

from ..conversation.claude_code import ClaudeCode
from ..driver_identity import this_driver
from ..journal import OutcomeDocument, SessionRecord, Store, new_id
from ..patient_store import PatientStore
from ..session import Session
from .agents import AgentOptions, agent_of, extensions_of, policy_text, with_agent_options
from .attendance import Attendance
from .audience import Audience
from .brief import process_in_words
from .carry_out import carry_out, exit_status, leave_with
from .environment import environment
from .hosts import host_of, is_local, name_of
from .keyboard import Keyboard, keyboard
from .options import host_option, store_option
from .place import find_place
from .summary import print_summary
from .visible import visible

if TYPE_CHECKING:
    from optio_host.open import AnyHost

    from .agents import FromFiles

    Begun = tuple[AnyHost, SessionRecord, Session | None]


@click.command()
@host_option
@click.option(
    "--in",
    "directory",
    metavar="DIR",
    help="Directory that the agent works in, on the host; there a relative one is below your home directory. Default: "
    "the current one, and on another host an empty one of the session's own.",
)
@click.option(
    "--env",
    "assignments",
    multiple=True,
    metavar="K[=V]",
    help="Set a variable for the agent, or pass on one that is set here. May be repeated.",
)
@click.option(
    "--env-file",
    "files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="F",
    help="Set the variables in a file of K=V lines. May be repeated.",
)
@with_agent_options
@store_option
@click.argument("session", metavar="[ID]", required=False)
def command(
    host: str,
    directory: str | None,
    assignments: tuple[str, ...],
    files: tuple[Path, ...],
    agent_options: AgentOptions,
    store_url: str | None,
    session: str | None,
) -> None:
    r"""Talk with Claude Code: begin a chat, or join a session by its ID.

    Its words are shown as they come, with what it does. What it may not do by itself it asks for, here. What you type
    while it works waits its turn; a line that ends with \ goes on with the next one.

    Ctrl-C stops what it is doing. Ctrl-D ends the chat; in a session that has a task, it only leaves. /leave leaves in
    either case, as a closed terminal does: a driver in the background goes on, and `optio chat ID` comes back.

    Exit status: 0 when the chat was ended here, else the one of `optio attach`.

    \b
    Examples:
      optio chat
      optio chat --host build-7 --in src/app
      optio chat 3f
    """
    if session is not None and (directory or assignments or files or any(asdict(agent_options).values())):
        raise click.UsageError("a session that is there already is joined as it is: say nothing but its ID")
    typing = keyboard()
    if typing is None:
        raise click.UsageError("a chat needs a terminal; without one: optio run --agent claude, and optio send")
    if session is None:
        additions = environment(assignments, files)
        agent = agent_of(additions, agent_options, partial_messages=True)
        begin = partial(
            _begun,
            host=host,
            directory=directory,
            additions=additions,
            agent=agent,
            policy=policy_text(agent_options),
            extensions=extensions_of(agent_options),
        )
    else:
        begin = partial(_joined, prefix=session)

    async def talk(store: Store) -> OutcomeDocument | None:
        async with begin(store) as (there, record, started):
            with closing(typing):
                return await _attend(store, there, record, started, typing)

    leave_with(exit_status(carry_out(talk, store_url)))


@asynccontextmanager
async def _begun(
    store: Store,
    *,
    host: str,
    directory: str | None,
    additions: dict[str, str],
    agent: ClaudeCode,
    policy: str,
    extensions: "FromFiles",
) -> "AsyncIterator[Begun]":
    session_id = new_id()
    sources, hooks, tools = extensions
    async with connected(host) as there:
        place = await find_place(
            there, host, None, directory=directory, scratch=False, upload=None, path=additions.get("PATH")
        )
        root = await private_root(there, host)
        session = await Session.start(
            there.at(root),
            store,
            agent=agent,
            cwd=place or posixpath.join(root, session_id, "workdir"),
            make_cwd=place is None,
            deliverables=posixpath.join(os.getcwd(), f"optio-{session_id}"),
            state_dir=root,
            env=additions,
            session_id=session_id,
            host_name=name_of(host),
            policy=policy,
            chat=True,
            hooks=hooks,
            tools=tools,
            sources=sources,
        )
        yield there, session.record, session


@asynccontextmanager
async def _joined(store: Store, *, prefix: str) -> "AsyncIterator[Begun]":
    record = (await store.snapshot(await store.resolve(prefix))).record
    if record.conversation is None:
        raise click.UsageError(f"session {record.id} runs a program that holds no conversation: optio attach {prefix}")
    if record.state == "ended":
        agent = record.conversation.agent_session
        go_on = f"; to go on where it was: optio chat --resume {visible(agent)}" if agent else ""
        raise click.UsageError(f"session {record.id} has ended{go_on}")
    async with host_of(record) as there:
        yield there, record, None


async def _attend(
    store: Store, there: "AnyHost", record: SessionRecord, started: Session | None, typing: Keyboard
) -> OutcomeDocument | None:
    from .chat_view import ChatView
    from .chatting import Chat

    store = PatientStore(store)
    view = ChatView(process_in_words(this_driver()))
    audience = Audience(view)
    attendance = Attendance(
        store,
        there,
        audience,
        record.id,
        started=started,
        come_back=f"optio chat {record.id}",
        signals_cancel=False,
        interrupt=lambda: chat.interrupt(),
    )
    chat = Chat(store, there, record, view, audience, typing, attendance.leave)
    where = visible(record.cwd) + ("" if is_local(record) else f" on {visible(record.host)}")
    what = f"session {record.id}: {visible(record.agent)} in {where}"
    await audience.note(f"{what}; Ctrl-C interrupts, Ctrl-D {chat.end_in_words}")
    try:
        outcome = await attendance.run(chat.run)
    finally:
        await audience.close()
    if outcome is not None:
        snapshot = await store.snapshot(record.id)
        await audience.tell(print_summary, snapshot, None)
        if snapshot.record.conversation and snapshot.record.conversation.agent_session:
            await audience.note(f"to go on: optio chat --resume {visible(snapshot.record.conversation.agent_session)}")
    return outcome
