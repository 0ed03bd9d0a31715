"""Launchers that stand in for a browser on a host without one.

A program that wants to show an address calls one of a few well-known commands. Scripts of these names go in front of
the PATH of the agent: in the mode "suppress" they do nothing, in "redirect" they write the address to the log channel.
"""

import shlex

from optio_host.errors import HostCommandError
from optio_host.host import Host

from .protocol.features import BrowserMode

LAUNCHERS = ("xdg-open", "gio", "open", "sensible-browser", "www-browser")
"""The commands that programs open a browser with: freedesktop, GNOME, macOS, and the two of Debian."""


_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"
"""For a host without a PATH: an empty part of a PATH would mean the current directory."""


async def prepare_browser_shims(
    host: Host, browser: BrowserMode, *, log_path: str | None = None
) -> dict[str, str] | None:
    """Put the launchers of a mode into `<workdir>/bin`.

    Parameters:
        host: where the agent runs.
        browser: the mode; "ignore" does nothing at all.
        log_path: absolute path of the log on the host that "redirect" appends to; `<workdir>/optio.log` if None.

    Returns what the agent's environment needs in addition, None in the mode "ignore".

    Raises ValueError for another mode; HostCommandError when the host does not make the scripts executable.
    """
    match browser:
        case "ignore":
            return None
        case "suppress":
            script = _SUPPRESS
        case "redirect":
            script = _REDIRECT.replace("@LOG@", shlex.quote(log_path or f"{host.workdir}/optio.log"))
        case _:
            raise ValueError(f"browser mode {browser!r}: use ignore, suppress or redirect")
    directory = f"{host.workdir}/bin"
    for name in LAUNCHERS:
        await host.write_text(f"bin/{name}", script)
    paths = " ".join(shlex.quote(f"{directory}/{name}") for name in LAUNCHERS)
    await _checked(host, f"chmod 0700 {paths}")
    inherited = await _checked(host, 'printf %s "$PATH"') or _PLAIN_PATH
    return {"BROWSER": f"{directory}/xdg-open", "PATH": f"{directory}:{inherited}"}


async def _checked(host: Host, command: str) -> str:
    result = await host.run_command(command)
    if result.exit_code != 0:
        raise HostCommandError(command, result.exit_code, result.stdout, result.stderr)
    return result.stdout


_SUPPRESS = """#!/bin/sh
# Written by Optio: no browser can be opened in this session.
exit 0
"""

# The address is untrusted: only its first line counts and control characters go, so that it cannot write an entry of
# its own. `gio` opens addresses only as `gio open`; options are never the address.
_REDIRECT = r"""#!/bin/sh
# Written by Optio: hands the address on to the person's browser, through the log channel.
LC_ALL=C
export LC_ALL
if [ "${0##*/}" = gio ]; then
  [ "${1-}" = open ] || exit 0
  shift
fi
url=
for argument in "$@"; do
  case $argument in
    -*) ;;
    *) url=$argument ;;
  esac
done
url=$(printf '%s\n' "$url" | head -n 1 | tr -d '\000-\037\177')
[ -n "$url" ] || exit 0
printf 'BROWSER: "%s"\n' "$url" >> @LOG@
"""
