"""An application that somebody wrote against the published packages: optio-core runs tasks of one of them.

It takes its settings as JSON on stdin and prints what came of two sessions: one that is given a login, or logs in, and
saves that as a seed, and one that is logged in from that seed. Nothing in it knows that the packages beneath are other
ones.
"""

import asyncio
import json
import sys

import optio_core
from motor.motor_asyncio import AsyncIOMotorClient

PREFIX = "app"

FRESH = {
    "status": {"state": "idle", "error": None, "runningSince": None, "doneAt": None, "duration": None,
               "failedAt": None, "stoppedAt": None},
    "progress": {"percent": None, "message": None}, "log": [], "depth": 0, "order": 0, "parentId": None,
    "adhoc": False, "ephemeral": False, "hasSavedState": False,
}  # fmt: skip
"""What a real server puts into a process that is new ($setOnInsert); the wire-compatible one does not."""


def claudecode(process_id, settings, hooks):
    from optio_claudecode import CLAUDE_SEED_SUFFIX, ClaudeCodeTaskConfig, create_claudecode_task

    config = ClaudeCodeTaskConfig(
        consumer_instructions=f"SCENARIO:{process_id}",
        mode="conversation",
        auto_start=True,
        env=settings["env"],
        claude_install_dir=settings["programs"],
        install_if_missing=False,
        fs_isolation=False,
        permission_mode="acceptEdits",
        allowed_tools=["Bash"],
        credentials_json=settings["login"] if "seed_id" not in hooks else None,
        **hooks,
    )
    return create_claudecode_task(process_id, process_id, config), CLAUDE_SEED_SUFFIX


def opencode(process_id, settings, hooks):
    from optio_opencode import OPENCODE_SEED_SUFFIX, OpencodeTaskConfig, create_opencode_task

    config = OpencodeTaskConfig(
        consumer_instructions=f"SCENARIO:{process_id}",
        mode="conversation",
        auto_start=True,
        opencode_config=settings["config"],
        opencode_install_dir=settings["programs"],
        install_if_missing=False,
        **hooks,
    )
    return create_opencode_task(process_id, process_id, config), OPENCODE_SEED_SUFFIX


async def main(settings):
    client = AsyncIOMotorClient(settings["url"], serverSelectionTimeoutMS=20_000)
    db = client["optio"]
    deliverables, saved = [], []

    async def on_deliverable(hook_ctx, path, text):
        deliverables.append([path, text])

    async def on_seed_saved(seed_id, *more):
        saved.append(seed_id)

    async def run(process_id, **hooks):
        await db[f"{PREFIX}_processes"].insert_one({"processId": process_id, **FRESH})
        create = {"claudecode": claudecode, "opencode": opencode}[settings["package"]]
        task, suffix = create(process_id, settings, {"on_deliverable": on_deliverable, **hooks})
        tasks.append(task)
        if process_id == "first":
            await optio_core.init(mongo_db=db, prefix=PREFIX, get_task_definitions=definitions)
        else:
            await optio_core.resync()
        await optio_core.launch_and_wait(process_id, session_id=None)
        process = await optio_core.get_process(process_id)
        return {
            "state": process["status"]["state"],
            "error": process["status"]["error"],
            "log": [json.loads(each) if isinstance(each, str) else each for each in process["log"]],
            "seeds": f"{PREFIX}{suffix}" in await db.list_collection_names(),
        }

    tasks = []

    async def definitions(services, metadata_filter=None):
        return list(tasks)

    first = await run("first", on_seed_saved=on_seed_saved)
    second = await run("second", seed_id=saved[0]) if saved else None
    print(json.dumps({"first": first, "second": second, "deliverables": deliverables, "saved": saved}, default=str))
    await optio_core.shutdown()
    client.close()


asyncio.run(main(json.load(sys.stdin)))
