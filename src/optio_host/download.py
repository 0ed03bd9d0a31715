"""A download as a task of optio-core: curl runs on the host, the percents come here."""

import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from shlex import quote
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import anyio

from .errors import DownloadFailed, HostError
from .host import Host, ProcessHandle, proc_wait
from .local.part import PART_SUFFIX

if TYPE_CHECKING:
    from optio_core.models import TaskInstance

__all__ = ["DownloadFailed", "create_download_task"]

SCHEMES = ("http", "https", "ftp")
"""What may be downloaded, redirects included. Not file: a page could then redirect to what only the host may read."""

SILENCE = 60.0
"""Seconds without a word from the host, which speaks several times a second, until the download has failed."""

CLEANUP = 20.0
"""Seconds for stopping curl and removing the partial file."""


class DownloadContext(Protocol):
    """What a download needs of the context that optio-core runs it with."""

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        """Tell how far it is."""
        ...

    def should_continue(self) -> bool:
        """False once the task is cancelled."""
        ...


def create_download_task(
    process_id: str,
    name: str,
    *,
    url: str,
    target: str,
    host: Host | None = None,
    description: str | None = None,
    cleanup_on_fail: bool = True,
) -> "TaskInstance":
    """A task that lets a host download a file. It needs curl there.

    The bytes go to a temporary name beside the target, which is renamed at the end, so the target is whole or what it
    was. A download that is cancelled (`should_continue` false) ends without an error and without a file.

    Parameters:
        process_id: of the task.
        name: of the task, for people.
        url: http, https or ftp; ValueError for anything else. It is in no command line, and of a URL with a password or
            a query only the rest is in messages.
        target: absolute path on the host; its parents are created.
        host: where curl runs, connected; None is this machine.
        description: of the task.
        cleanup_on_fail: remove what a failed download left.

    The task raises DownloadFailed, with curl's own last message. HostError when optio-core is not installed.
    """
    _check_url(url)
    if not os.path.isabs(target) or "\0" in target:
        raise ValueError(f"{target!r}: the target of a download must be an absolute path")
    try:
        from optio_core.models import TaskInstance
    except ImportError as error:
        raise HostError("a download is a task of optio-core, which is not installed; pip install optio-core") from error

    async def execute(ctx: DownloadContext) -> None:
        if host is not None:
            await _download(host, ctx, url, target, cleanup_on_fail)
            return
        from .local.host import LocalHost

        # Its task directory is never made: curl runs in "/".
        here = LocalHost("/nonexistent")
        await here.connect()
        try:
            await _download(here, ctx, url, target, cleanup_on_fail)
        finally:
            with anyio.CancelScope(shield=True):
                await here.disconnect()

    return TaskInstance(execute=execute, process_id=process_id, name=name, description=description)


async def _download(host: Host, ctx: DownloadContext, url: str, target: str, cleanup_on_fail: bool) -> None:
    directory, name = os.path.split(target)
    part = os.path.join(directory, f".{name[:50]}.{secrets.token_hex(4)}{PART_SUFFIX}")
    messages = f"{part}.messages"
    remove_part = cleanup_on_fail
    try:
        async with _launched(host, _script(part, messages, target), {"OPTIO_DOWNLOAD": _curl_config(url)}) as handle:
            complaint = await _watch(handle, ctx)
            if complaint is None:
                remove_part = True
                return
            exit_code = await proc_wait(handle)
        if exit_code != 0:
            complaint = complaint or f"curl ended with exit code {exit_code}"
            raise DownloadFailed(complaint, exit_code=exit_code, stderr_tail=complaint)
        ctx.report_progress(100, f"Downloaded {name}")
    except DownloadFailed as error:
        kept = "" if remove_part else f"; what came is in {part}"
        shown = _without_secrets(url)
        raise DownloadFailed(
            f"{shown}: {error}{kept}",
            url=shown,
            target=target,
            exit_code=error.exit_code,
            stderr_tail=error.stderr_tail,
        ) from None
    finally:
        with anyio.move_on_after(CLEANUP, shield=True):
            await host.remove_file(messages)
            if remove_part:
                await host.remove_file(part)


@asynccontextmanager
async def _launched(host: Host, script: str, env: dict[str, str]) -> AsyncIterator[ProcessHandle]:
    handle = await host.launch_subprocess(script, env=env, cwd="/", merge_stderr=True)
    try:
        yield handle
    finally:
        # Ends nothing when the script has ended.
        with anyio.move_on_after(CLEANUP, shield=True):
            await host.terminate_subprocess(handle, aggressive=True)


async def _watch(handle: ProcessHandle, ctx: DownloadContext) -> str | None:
    """Report progress until the script has ended; its last complaint or "". None: it is to be stopped."""
    complaint = ""
    told: float | None = None
    lines = handle.stdout.__aiter__()
    while ctx.should_continue():
        with anyio.move_on_after(SILENCE) as silence:
            line = await anext(lines, None)
        if silence.cancelled_caught:
            raise DownloadFailed(f"nothing was heard from the host for {SILENCE:g} s")
        if line is None:
            return complaint
        text = line.decode("utf-8", "replace").strip()
        if text.startswith("PROGRESS "):
            _, size, bar = (text + " ").split(" ", 2)
            percent = next((float(number) for number in reversed(re.findall(r"([0-9.]+)%", bar))), None)
            if percent is None or (percent != told and percent < 100):
                ctx.report_progress(percent, None if percent is not None else f"{size} bytes")
            told = percent
        elif text.startswith("curl: ") or (text and not complaint.startswith("curl: ")):
            complaint = text
    return None


def _script(part: str, messages: str, target: str) -> str:
    # curl draws its bar with carriage returns, which are no lines and which a pipe through tr would hold back; so it
    # draws into a file, and the end of that file is told five times a second. The URL comes in the environment and
    # goes on through a pipe: a command line can be read by every user of the host. The partial file is made first
    # because older curls make none for an empty answer.
    return f"""\
part={quote(part)} messages={quote(messages)} target={quote(target)}
command -v curl >/dev/null 2>&1 || {{ echo "curl is not installed on this host; install it there"; exit 127; }}
[ ! -d "$target" ] || {{ echo "the target $target is a directory; name the file in it"; exit 1; }}
mkdir -p -- {quote(os.path.dirname(target))} && : >"$part" && : >"$messages" || exit 1
printf '%s\\n' "$OPTIO_DOWNLOAD" | curl --config - --fail --location --globoff --progress-bar \
--proto '={",".join(SCHEMES)}' \
--connect-timeout 30 --speed-limit 1 --speed-time 120 --output "$part" 2>"$messages" &
curl=$!
while kill -0 "$curl" 2>/dev/null; do
  echo "PROGRESS $(($(wc -c <"$part"))) $(tail -c 200 "$messages" | tr '\\r' '\\n' | tail -n 1)"
  sleep 0.2 2>/dev/null || sleep 1
done
wait "$curl"
code=$?
[ "$code" = 0 ] || {{ tail -c 2000 "$messages" | tr '\\r' '\\n' | grep '^curl: '; exit "$code"; }}
mv -f -- "$part" "$target"
"""


def _check_url(url: str) -> None:
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise ValueError("a URL has no blanks and no control characters; percent-encode them")
    scheme = urlsplit(url).scheme.lower()
    if scheme not in SCHEMES:
        raise ValueError(f"{_without_secrets(url)}: only {', '.join(SCHEMES)} can be downloaded")


def _curl_config(url: str) -> str:
    escaped = url.replace("\\", "\\\\").replace('"', '\\"')
    return f'url = "{escaped}"'


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
