"""A session's policy answers what it allows or denies; what it leaves is for a handler, or for a person."""

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from conversation_rig import ConversationRig, Rule, run
from conversation_rig import rig as rig
from fake_claude import asked, result

from optio_agents.conversation import judging
from optio_agents.conversation.contract import PermissionDecision, PermissionRequest
from optio_agents.errors import PolicyError
from optio_agents.permissions.resolving import LIMIT, resolved
from optio_host.errors import HostError
from optio_host.local.host import LocalHost

POLICY = """
version = 1

[[rule]]
command = "make test"
decision = "allow"

[[rule]]
tool = "Read"
path = "/**"
decision = "allow"
reason = "reading here is fine"

[[rule]]
command = "rm **"
decision = "deny"
reason = "nothing is removed"
"""
USER = '"type":"user"'


def reads(request: str, path: str) -> dict[str, Any]:
    return asked(request, tool_name="Read", input={"file_path": path})


def runs(request: str, command: str) -> dict[str, Any]:
    return asked(request, input={"command": command})


def test_what_is_allowed_or_denied_is_answered_and_the_rest_is_left_to_the_handler(rig: ConversationRig) -> None:
    asks = [runs("q1", "make test"), runs("q2", "rm -rf build"), runs("q3", "make deploy")]
    seen: list[PermissionRequest] = []

    def handler(request: PermissionRequest) -> PermissionDecision:
        seen.append(request)
        return PermissionDecision("deny", message="not now")

    async def body() -> None:
        agent = rig.agent(Rule(USER, *asks), Rule('"q3"', result(user_message_uuids=[])))
        async with rig.talking(agent, policy=POLICY) as talking:
            talking.conversation.on_permission_request(handler)
            await talking.conversation.ask("go")
            [first] = talking.answers_to("q1")
            assert first["response"] == {"behavior": "allow", "updatedInput": {"command": "make test"}}
            [second] = talking.answers_to("q2")
            assert second["response"]["behavior"] == "deny"
            assert second["response"]["message"].startswith("A policy denies this: rm -rf build")
            assert second["response"]["message"].endswith(": nothing is removed")
            assert [each.input for each in seen] == [{"command": "make deploy"}]
            answered = [each.event for each in await rig.history(talking.session.id)]
            by = [each.by for each in answered if each.type == "question.answered"]  # type: ignore[union-attr]
            assert by[0].startswith("the policy: rule 1")
            assert by[1].startswith("the policy: rule 3")

    run(body)


def test_a_link_out_of_the_working_directory_is_followed_on_the_host_before_it_is_judged(rig: ConversationRig) -> None:
    outside = rig.base / "outside"
    outside.mkdir()
    (rig.base / "inside.txt").write_text("x")
    allowed_below = 'version = 1\n[[rule]]\ntool = "Read"\npath = "{cwd}/**"\ndecision = "allow"\n'

    async def body() -> None:
        cwd = rig.base / "cwd"
        cwd.mkdir()
        os.symlink(outside, cwd / "door")
        asks = [reads("q1", str(cwd / "door" / "secret")), reads("q2", "door/../x"), reads("q3", f"{cwd}/notes")]
        async with rig.talking(rig.agent(Rule(USER, *asks)), policy=allowed_below, cwd=str(cwd)) as talking:
            await talking.conversation.send("go")
            await rig.until_event(talking.session.id, "question.answered")
            assert [each.id for each in talking.conversation.questions] == ["q1", "q2"]

    run(body)


def test_what_a_policy_leaves_open_is_told_to_a_person_once_and_the_next_driver_judges_the_rest(
    rig: ConversationRig,
) -> None:
    told = rig.base / "told"

    async def body() -> None:
        agent = rig.agent(Rule("one", runs("q1", "make deploy")), Rule("two", runs("q2", "make test")))
        notify = f'echo "$OPTIO_EVENT" >> {told}'
        async with rig.talking(agent, policy=POLICY, notify=notify) as talking:
            session = talking.session.id
            await talking.conversation.send("one")
            while not told.exists():  # noqa: ASYNC110  another process writes it
                await anyio.sleep(0.01)
            await talking.session.leave("another one goes on")
            await talking.driving.over.wait()
            adopted = await rig.adopt(session)
            async with rig.driven(adopted):
                await adopted.conversation.send("two")
                await rig.until_event(session, "question.answered")
                assert [each.id for each in adopted.conversation.questions] == ["q1"]
            await rig.stop(session)
            assert told.read_text().split().count("question") == 1

    run(body)


@pytest.mark.parametrize("error", [HostError("no answer"), OSError(7, "Argument list too long")])
def test_a_host_that_does_not_say_where_paths_lead_has_nothing_allowed(
    rig: ConversationRig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def silent(*_: object) -> dict[str, str | None]:
        raise error

    monkeypatch.setattr(judging, "resolved", silent)

    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, reads("q1", "/srv/x"))), policy=POLICY) as talking:
            asked_person = anyio.Event()
            talking.conversation.on_permission_request(lambda _: asked_person.set() or PermissionDecision("deny"))  # type: ignore[func-returns-value]
            await talking.conversation.send("go")
            with anyio.fail_after(10):
                await asked_person.wait()

    run(body)


def test_a_policy_that_is_wrong_is_refused_before_anything_is_started(rig: ConversationRig) -> None:
    async def body() -> None:
        with pytest.raises(PolicyError, match="decision"):
            await rig.start(agent=rig.agent(), policy='version = 1\n[[rule]]\ntool = "Read"\ndecision = "perhaps"\n')
        assert await rig.store.sessions() == []

    run(body)


def test_paths_lead_where_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    links = {
        "to b": "a/b", "up": "..", "a/up": "..", "a/b/far": "../../to b/up", "file": "/etc/hostname",
        "chain": "to b/far", "line\nend": "a\n", "a/-n": "-x",
    }  # fmt: skip
    for name, target in links.items():
        os.symlink(target, tmp_path / name)
    os.symlink("loop", tmp_path / "loop")
    paths = [f"{tmp_path}/{name}" for name in links]
    tails = ("to b/../x", "none/../y", "a/b/far/../z", "./a//b/", "a/b/$(id)", "a/'q")
    paths += [f"{tmp_path}/{tail}" for tail in tails]
    paths += ["/", "/..", f"{tmp_path}/up/up/../../{tmp_path}/to b"]

    async def body() -> None:
        found = await resolved(LocalHost(str(tmp_path / "task")), [*paths, f"{tmp_path}/loop", "relative", "/\udcff\0"])
        assert {path: found[path] for path in paths} == {path: os.path.realpath(path) for path in paths}
        assert found[f"{tmp_path}/loop"] is None
        assert "relative" not in found
        many = await resolved(LocalHost(str(tmp_path / "task")), [f"/srv/{number}" for number in range(LIMIT + 5)])
        assert len(many) == LIMIT

    run(body)


def test_paths_that_depend_on_who_looks_lead_nowhere_and_too_many_bytes_are_not_sent(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self/cwd")
    depending = ["/proc/self/cwd/../x", "/proc/thread-self/root", "/dev/fd/3", "/dev/stdin", f"{tmp_path}/link/.."]
    long = [f"/srv/{'x' * 4000}{number}'" for number in range(30)]

    async def body() -> None:
        host = LocalHost(str(tmp_path / "task"))
        assert await resolved(host, depending) == dict.fromkeys(depending)
        assert await resolved(host, ["/" + "x" * 200_000, "/srv"]) == {"/srv": "/srv"}
        assert 10 < len(await resolved(host, long)) < 20

    run(body)


def test_a_call_that_names_more_than_a_command_can_hold_is_left_to_a_person(rig: ConversationRig) -> None:
    seen: list[str] = []

    def handler(request: PermissionRequest) -> PermissionDecision:
        seen.append(request.tool_name)
        return PermissionDecision("deny", message="no")

    async def body() -> None:
        encoded = asked("q1", tool_name="Write", input={"file_path": "a", "content": "abc/def+" * 1_500})
        endless = asked("q2", tool_name="Read", input={"file_path": "a" * 200_000})
        agent = rig.agent(Rule(USER, encoded, endless), Rule('"q2"', result(user_message_uuids=[])))
        async with rig.talking(agent, policy=POLICY) as talking:
            talking.conversation.on_permission_request(handler)
            with anyio.fail_after(20):
                await talking.conversation.ask("go")
        assert seen == ["Write", "Read"]

    run(body)
