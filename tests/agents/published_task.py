"""A task type as it exists in the wild: it uses only what the published packages have, the way they have it."""

import sys
from pathlib import Path

from optio_agents import HookContext, get_protocol, run_log_protocol_session
from optio_host import Host, make_host
from optio_host.host import proc_wait
from optio_host.paths import task_dir

PROTOCOL = get_protocol(caller_messages=True)

AGENT = r"""
import json, os, pathlib, sys

def say(line):
    with open("optio.log", "a") as log:
        log.write(line + "\n")

def hear():
    return sys.stdin.readline().rstrip("\n")

assert os.environ["TASK_LANGUAGE"] == "en"
assert not any(name.startswith("SECRET_") for name in os.environ)
words = pathlib.Path("input/words.txt").read_text().split()
say("STATUS: 0% counting")
print("reading", flush=True)
pathlib.Path("deliverables/count.json").write_text(json.dumps({"words": len(words)}))
say("DELIVERABLE: deliverables/count.json")
reply = hear()
if "accepted" not in reply:
    say("STATUS: 50% " + reply)
    counted = {"words": len(words), "longest": max(words, key=len)}
    pathlib.Path("deliverables/count.json").write_text(json.dumps(counted))
    say("DELIVERABLE: deliverables/count.json")
    reply = hear()
say('CALLER_MESSAGE: score {"value": 7}')
reply = hear()
say("STATUS: 100% " + reply)
say("DONE: counted")
hear()
"""


class CountWords:
    """Counts the words of a file; the first report is sent back for more."""

    def __init__(self, words: Path, results: Path) -> None:
        self.words = words
        self.results = results
        self.output: list[str] = []
        self.scores: list[object] = []
        self.saved_log = ""

    async def execute(self, ctx) -> None:  # type: ignore[no-untyped-def]
        taskdir = task_dir(ssh=None, process_id=ctx.process_id, consumer_name="count-words")
        host = make_host(ssh=None, taskdir=taskdir)
        await host.connect()
        try:
            await run_log_protocol_session(
                host,
                ctx,
                body=self.body,
                on_deliverable=self.on_deliverable,
                on_caller_message=self.on_caller_message,
                before_execute=self.before_execute,
                after_execute=self.after_execute,
                protocol=PROTOCOL,
                agent_sender=self.send,
                prepare=self.prepare,
            )
        finally:
            await host.cleanup_taskdir(aggressive=True)
            await host.disconnect()

    async def prepare(self, host: Host, hook_ctx: HookContext) -> None:
        result = await host.run_command("mkdir -p input && uname -s")
        assert result.exit_code == 0

    async def before_execute(self, hook_ctx: HookContext) -> None:
        await hook_ctx.copy_file(self.words, "input/words.txt")
        await hook_ctx.copy_file(AGENT.encode(), "agent.py", skip_if_unchanged=True)
        assert int(await hook_ctx.run_on_host("wc -w < input/words.txt")) == 4

    async def body(self, host: Host, hook_ctx: HookContext) -> None:
        self.handle = await host.launch_subprocess(
            f"exec {sys.executable} agent.py",
            env={"TASK_LANGUAGE": "en", **hook_ctx.browser_launch_env},
            env_remove=["SECRET_*"],
            stdin=True,
        )
        try:
            async for line in self.handle.stdout:
                self.output.append(line.decode().rstrip())
            if code := await proc_wait(self.handle):
                raise RuntimeError(f"the agent exited with {code}: {self.output}")
        finally:
            await host.terminate_subprocess(self.handle, aggressive=True)

    async def send(self, line: str) -> None:
        self.handle.stdin.write(line.encode() + b"\n")
        await self.handle.stdin.drain()

    async def on_deliverable(self, hook_ctx: HookContext, path: str, text: str) -> str | None:
        if "longest" not in text:
            return "name the longest word, too"
        (self.results / path).write_text(text)
        return "ok"

    async def on_caller_message(self, hook_ctx: HookContext, keyword: str, data: object) -> str | None:
        self.scores.append((keyword, data))
        return "noted"

    async def after_execute(self, hook_ctx: HookContext) -> None:
        self.saved_log = await hook_ctx.read_text_from_host("optio.log", silent=True)
