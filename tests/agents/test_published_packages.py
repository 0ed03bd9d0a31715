"""Published task types from the package index, as black boxes, run on these packages in place of the published ones.

The program opencode is the npm package opencode-ai; .ci/run installs it.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from claude_rig import claude_rig
from model_api import Say, Use, bash, model_api
from packaging.requirements import Requirement

from left_out import require, require_module
from mongo_rig import mongo_url

LOGIN = {
    "claudeAiOauth": {
        "accessToken": "sk-ant-oat01-test", "refreshToken": "sk-ant-ort01-test", "expiresAt": 4_102_444_800_000,
        "scopes": ["user:inference"], "subscriptionType": "max",
    }
}  # fmt: skip

WORK = (
    "echo 'STATUS: 50% half' >> optio.log; echo counted > deliverables/out.txt; "
    "echo 'DELIVERABLE: deliverables/out.txt' >> optio.log; "
    'test -s "$HOME"/{login} && echo "DONE: logged in" >> optio.log'
)

OFFLINE = {
    f"OPENCODE_DISABLE_{what}": "1" for what in ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
}

INSTALLER = "echo 'echo opencode ok'"
"""What optio-opencode downloads with curl before each session is a script that says whether the newest is installed."""


def test_optio_claudecode_runs_a_session_and_logs_the_next_one_in_from_its_seed(tmp_path: Path) -> None:
    require_module("optio_claudecode")
    work = bash(WORK.format(login=".claude/.credentials.json")), Say("All done.")
    with claude_rig(tmp_path, {"first": work, "second": work}) as rig:
        env = {name: value for name, value in rig.env.items() if name != "HOME"}
        application(tmp_path, "claudecode", {"claude": rig.program}, {"env": env, "login": LOGIN})


def test_optio_opencode_runs_a_session_and_logs_the_next_one_in_from_its_seed(tmp_path: Path) -> None:
    require_module("optio_opencode")
    require("opencode")
    login = ".local/share/opencode/auth.json"
    work = WORK.format(login=login)
    log_in = f"""echo '{{"other": {{"type": "api", "key": "k"}}}}' > "$HOME/{login}"; """
    script = {
        name: (Use((("bash", {"command": command, "description": "a command"}),)), Say("All done."))
        for name, command in {"first": log_in + work, "second": work}.items()
    }
    curl = tmp_path / "curl"
    curl.write_text(f"#!/bin/sh\n{INSTALLER}\n")
    curl.chmod(0o700)
    with model_api(script) as api:
        programs = {"opencode": str(shutil.which("opencode")), "curl": str(curl)}
        application(tmp_path, "opencode", programs, {"config": opencode_config(api.url)})


def opencode_config(url: str) -> dict[str, object]:
    """A configuration of opencode whose only model is the scripted one."""
    model = {"name": "scripted", "tool_call": True, "limit": {"context": 100_000, "output": 4_000}}
    provider = {
        "npm": "@ai-sdk/anthropic", "name": "scripted", "options": {"baseURL": f"{url}/v1", "apiKey": "test"},
        "models": {"model": model},
    }  # fmt: skip
    return {
        "autoupdate": False, "share": "disabled", "enabled_providers": ["scripted"],
        "model": "scripted/model", "small_model": "scripted/model", "provider": {"scripted": provider},
    }  # fmt: skip


def application(directory: Path, package: str, programs: dict[str, str], settings: dict[str, object]) -> None:
    """Run published_session.py, and see that both sessions worked and that the second one was logged in by a seed."""
    found, home = directory / "programs", directory / "home"
    found.mkdir()
    home.mkdir(exist_ok=True)
    for name, program in programs.items():
        (found / name).symlink_to(program)
    with mongo_url(directory) as url:
        ended = subprocess.run(
            [sys.executable, Path(__file__).with_name("published_session.py")],
            input=json.dumps({"package": package, "url": url, "programs": str(found), **settings}),
            capture_output=True, text=True, timeout=300,
            env={
                **os.environ, **OFFLINE, "HOME": str(home),
                f"OPTIO_{package.upper()}_TASK_ROOT": str(directory / "tasks"),
            },
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    for session in (told["first"], told["second"]):
        assert (session["state"], session["error"], session["seeds"]) == ("done", None, True)
        messages = [each["message"] for each in session["log"]]
        assert "half" in messages
        assert "Deliverable: out.txt" in messages
    assert told["deliverables"] == [["out.txt", "counted\n"]] * 2
    assert len(told["saved"]) == 1


@pytest.mark.parametrize("package", ["optio-claudecode", "optio-opencode"])
def test_pip_takes_these_packages_for_what_a_published_one_requires(package: str) -> None:
    require_module(package.replace("-", "_"))
    required = {each.name: each for each in map(Requirement, distribution(package).requires or ())}
    for name in ("optio-agents", "optio-host"):
        assert required[name].specifier.contains(distribution(name).version)


def test_optio_host_is_an_empty_distribution() -> None:
    """Another package optio_host beside ours would be imported in its place."""
    files = [str(file) for file in distribution("optio-host").files or ()]
    assert [file for file in files if not file.startswith(("optio_host-", "_editable"))] == []
