"""What the real Claude Code asks, answered in every way, on this machine and over SSH; its model is a script."""

from dataclasses import replace

from claude_scene import Scene, allow, events
from claude_scene import scene as scene
from model_api import Say, Use, bash

from optio_agents.conversation.contract import PermissionDecision, PermissionRequest
from optio_agents.conversation.events import QuestionAsked, TurnEnded
from optio_agents.journal.memory import MemoryStore

QUESTION = {
    "questions": [
        {
            "question": "Which colour?",
            "header": "Colour",
            "multiSelect": False,
            "options": [{"label": "Red", "description": "red"}, {"label": "Blue", "description": "blue"}],
        }
    ]
}
SCRIPT = {
    "hello": [Say("Hello.")],
    "write": [bash("echo hi > out.txt"), Say("I wrote it.")],
    "two": [Use((("Bash", {"command": "echo 1 > one"}), ("Bash", {"command": "echo 2 > two"}))), Say("Both.")],
    "ask": [Use((("AskUserQuestion", QUESTION),)), Say("Thanks.")],
    "plan": [Use((("ExitPlanMode", {"plan": "Do it."}),)), Say("I shall.")],
}


def test_a_tool_that_is_denied_does_not_run_one_that_is_edited_runs_so_and_one_that_is_allowed_as_it_is(
    scene: Scene,
) -> None:
    async def body() -> None:
        async with scene.talking() as conversation:
            conversation.on_permission_request(lambda request: PermissionDecision("deny", message="Not today."))
            assert (await conversation.ask("SCENARIO:write")).denied == ("Bash",)
            assert not (scene.cwd / "out.txt").exists()
            assert "Not today." in scene.told()
            edited = PermissionDecision("allow", updated_input={"command": "echo other > other.txt"})
            conversation.on_permission_request(lambda request: edited)
            assert (await conversation.ask("SCENARIO:write")).denied == ()
            assert not (scene.cwd / "out.txt").exists()
            assert (scene.cwd / "other.txt").read_text() == "other\n"
            conversation.on_permission_request(allow)
            assert (await conversation.ask("SCENARIO:write")).denied == ()
            assert (scene.cwd / "out.txt").read_text() == "hi\n"

    scene.run(body)


def test_a_denial_that_stops_ends_the_turn_and_the_next_one_works(scene: Scene) -> None:
    stop = PermissionDecision("deny", message="Stop.", interrupt=True)

    async def body() -> None:
        async with scene.talking(permissions=lambda request: stop) as conversation:
            turn = await conversation.ask("SCENARIO:write")
            assert (turn.reason, turn.denied) == ("aborted_tools", ("Bash",))
            assert len(scene.claude.api.requests) == 1  # the model was not asked what it makes of that
            assert conversation.failure == ""
            assert not conversation.is_pending()
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."
            assert not (scene.cwd / "out.txt").exists()

    scene.run(body)


def test_two_tools_at_once_are_asked_about_and_both_run(scene: Scene) -> None:
    async def body() -> None:
        asked: list[object] = []

        def decide(request: PermissionRequest) -> PermissionDecision:
            asked.append(request.input["command"])
            return PermissionDecision("allow")

        async with scene.talking(permissions=decide) as conversation:
            assert (await conversation.ask("SCENARIO:two")).text == "Both."
        assert sorted(map(str, asked)) == ["echo 1 > one", "echo 2 > two"]
        assert [(scene.cwd / name).read_text() for name in ("one", "two")] == ["1\n", "2\n"]

    scene.run(body)


def test_a_question_is_answered_with_what_a_person_chose_and_may_be_refused(scene: Scene) -> None:
    async def body() -> None:
        def choose(request: PermissionRequest) -> PermissionDecision:
            assert request.tool_name == "AskUserQuestion"
            return PermissionDecision("allow", updated_input={**request.input, "answers": {"Which colour?": "Blue"}})

        async with scene.talking(permissions=choose) as conversation:
            await conversation.ask("SCENARIO:ask")
            assert '"Which colour?"="Blue"' in scene.told()
            conversation.on_permission_request(lambda request: PermissionDecision("deny", message="Nobody is here."))
            await conversation.ask("SCENARIO:ask")
            assert "Nobody is here." in scene.told()

    scene.run(body)


def test_a_plan_is_refused_with_a_word_and_then_approved(scene: Scene) -> None:
    async def body() -> None:
        store = MemoryStore()
        planning = replace(scene.agent, permission_mode="plan")
        async with scene.talking(planning, store=store) as conversation:
            conversation.on_permission_request(lambda request: PermissionDecision("deny", message="Think again."))
            await conversation.ask("SCENARIO:plan")
            assert "Think again." in scene.told()
            conversation.on_permission_request(allow)
            assert (await conversation.ask("SCENARIO:plan")).text == "I shall."
        assert [each.kind for each in await events(store, QuestionAsked)] == ["plan", "plan"]
        assert [each.denied for each in await events(store, TurnEnded)] == [("ExitPlanMode",), ()]

    scene.run(body)
