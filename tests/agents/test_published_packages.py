"""Published task types from the package index, as black boxes, run on these packages in place of the published ones."""

import json
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from claude_rig import claude_rig
from model_api import Say, bash
from packaging.requirements import Requirement

from left_out import require_module
from mongo_rig import mongo_url

LOGIN = {
    "claudeAiOauth": {
        "accessToken": "sk-ant-oat01-test", "refreshToken": "sk-ant-ort01-test", "expiresAt": 4_102_444_800_000,
        "scopes": ["user:inference"], "subscriptionType": "max",
    }
}  # fmt: skip

WORK = (
    bash(
        "echo 'STATUS: 50% half' >> optio.log; echo counted > deliverables/out.txt; "
        "echo 'DELIVERABLE: deliverables/out.txt' >> optio.log; "
        'test -s "$HOME/.claude/.credentials.json" && echo "DONE: logged in" >> optio.log'
    ),
    Say("All done."),
)


def test_optio_claudecode_runs_a_session_and_logs_the_next_one_in_from_its_seed(tmp_path: Path) -> None:
    require_module("optio_claudecode")
    with claude_rig(tmp_path, {"work": WORK}) as rig, mongo_url(tmp_path) as url:
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "claude").symlink_to(rig.program)
        env = {name: value for name, value in rig.env.items() if name != "HOME"}
        settings = {"url": url, "env": env, "programs": str(programs), "login": LOGIN}
        application = subprocess.run(
            [sys.executable, Path(__file__).with_name("published_session.py")],
            input=json.dumps(settings), capture_output=True, text=True, timeout=300,
            env={**os.environ, "OPTIO_CLAUDECODE_TASK_ROOT": str(tmp_path / "tasks"), "HOME": str(rig.home)},
        )  # fmt: skip
    assert application.returncode == 0, application.stderr
    told = json.loads(application.stdout.splitlines()[-1])
    for session in (told["first"], told["second"]):
        assert (session["state"], session["error"]) == ("done", None)
        messages = [each["message"] for each in session["log"]]
        assert "half" in messages
        assert "Deliverable: out.txt" in messages
    assert told["deliverables"] == [["out.txt", "counted\n"]] * 2
    assert len(told["saved"]) == 1
    assert told["seeds"]


@pytest.mark.parametrize("package", ["optio-claudecode"])
def test_pip_takes_these_packages_for_what_a_published_one_requires(package: str) -> None:
    require_module(package.replace("-", "_"))
    required = {each.name: each for each in map(Requirement, distribution(package).requires or ())}
    for name in ("optio-agents", "optio-host"):
        assert required[name].specifier.contains(distribution(name).version)


def test_optio_host_is_an_empty_distribution() -> None:
    """Another package optio_host beside ours would be imported in its place."""
    files = [str(file) for file in distribution("optio-host").files or ()]
    assert [file for file in files if not file.startswith(("optio_host-", "_editable"))] == []
