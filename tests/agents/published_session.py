"""An application that somebody wrote against the published packages: optio-core runs a task of optio-claudecode.

It takes its settings as JSON on stdin and prints what came of two sessions: one that is given a login and saves it as a
seed, and one that is logged in from that seed. Nothing in it knows that the packages beneath are other ones.
"""

import asyncio
import json
import sys

import optio_core
from motor.motor_asyncio import AsyncIOMotorClient
from optio_claudecode import CLAUDE_SEED_SUFFIX, ClaudeCodeTaskConfig, create_claudecode_task

PREFIX = "app"

FRESH = {
    "status": {"state": "idle", "error": None, "runningSince": None, "doneAt": None, "duration": None,
               "failedAt": None, "stoppedAt": None},
    "progress": {"percent": None, "message": None}, "log": [], "depth": 0, "order": 0, "parentId": None,
    "adhoc": False, "ephemeral": False, "hasSavedState": False,
}  # fmt: skip
"""What a real server puts into a process that is new ($setOnInsert); the wire-compatible one does not."""


async def main(settings):
    client = AsyncIOMotorClient(settings["url"], serverSelectionTimeoutMS=20_000)
    db = client["optio"]
    deliverables, saved = [], []

    async def on_deliverable(hook_ctx, path, text):
        deliverables.append([path, text])

    async def on_seed_saved(seed_id, *more):
        saved.append(seed_id)

    def task(process_id, **login):
        config = ClaudeCodeTaskConfig(
            consumer_instructions="SCENARIO:work",
            mode="conversation",
            auto_start=True,
            env=settings["env"],
            claude_install_dir=settings["programs"],
            install_if_missing=False,
            fs_isolation=False,
            permission_mode="acceptEdits",
            allowed_tools=["Bash"],
            on_deliverable=on_deliverable,
            **login,
        )
        return create_claudecode_task(process_id, process_id, config)

    async def run(process_id, **login):
        await db[f"{PREFIX}_processes"].insert_one({"processId": process_id, **FRESH})
        tasks[:] = [*tasks, task(process_id, **login)]
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
        }

    tasks = []

    async def definitions(services, metadata_filter=None):
        return tasks

    first = await run("first", credentials_json=settings["login"], on_seed_saved=on_seed_saved)
    second = await run("second", seed_id=saved[0]) if saved else None
    collections = await db.list_collection_names()
    print(json.dumps({
        "first": first, "second": second, "deliverables": deliverables, "saved": saved,
        "seeds": f"{PREFIX}{CLAUDE_SEED_SUFFIX}" in collections,
    }, default=str))  # fmt: skip
    await optio_core.shutdown()
    client.close()


asyncio.run(main(json.load(sys.stdin)))
