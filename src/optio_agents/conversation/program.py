"""Where a host has the program of an agent: in the PATH of its commands, elsewhere, or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from optio_host.errors import LinkLost
from optio_host.host import RunsCommands
from optio_host.outcome import Lost

LOOK_TIMEOUT = 30
"""Seconds in which a host must say what it has; it takes milliseconds."""

# Its maker's installer puts it into the first one; the others are those of package managers.
_PLACES = (
    '"$HOME"/.local/bin "$HOME"/.claude/local "$HOME"/bin "$HOME"/.npm-global/bin "$HOME"/.bun/bin '
    '"$HOME"/.nvm/versions/node/*/bin /usr/local/bin /opt/homebrew/bin'
)

_LOOK = r"""
printf 'user %s\nsandbox %s\nlogin %s@%s\n' "$(id -u)" "${IS_SANDBOX:-}" "$(id -un)" "$(uname -n)"
printf 'path %s\n' "$(printf %s "$PATH" | tr '\n' '?')"
cd -- "$_cwd" 2>/dev/null && echo directory yes
_found=$(command -v -- "$_program") && [ -x "$_found" ] && printf 'found %s\n' "$_found"
for _each in PLACES; do
    _found=$_each/${_program##*/}
    [ -f "$_found" ] && [ -x "$_found" ] && printf 'elsewhere %s\n' "$_found"
done
exit 0
""".replace("PLACES", _PLACES)


@dataclass(frozen=True, slots=True)
class Program:
    """What a host says of a program.

    Attributes:
        name: what was looked for: a name, or a path.
        path: where it is; "" when it is not there.
        elsewhere: where one of this name is that commands do not find by its name; "" when there is none.
        search_path: the PATH that it was looked for in.
        login: user and host, as the host names them.
        user: number of the user.
        sandbox: what IS_SANDBOX says.
        directory: whether the directory is there that it is to run in.
    """

    name: str
    path: str
    elsewhere: str
    search_path: str
    login: str
    user: str
    sandbox: str
    directory: bool

    @property
    def problem(self) -> str:
        """Why it cannot be started; "" when it is there."""
        if self.path:
            return ""
        where = "" if "/" in self.name else f" in the PATH of a login without a terminal ({self.search_path})"
        return f"{self.name}: there is no such program on {self.login}{where}"

    @property
    def remedy(self) -> str:
        """What to do about that."""
        if self.elsewhere:
            return f"it is at {self.elsewhere}: name that path, with `--executable` or ClaudeCode(executable=...)"
        return "install Claude Code there, or name its path, with `--executable` or ClaudeCode(executable=...)"


async def look_for_program(host: RunsCommands, name: str, cwd: str, env: Mapping[str, str]) -> Program:
    """Look for a program as a command there would find it.

    Parameters:
        host: where.
        name: its name, or a path.
        cwd: absolute path of the directory that it is to run in.
        env: additions to its environment.

    Raises HostError when the host does not say.
    """
    script = f"_program={quote(name)} _cwd={quote(cwd)}\n{_LOOK}"
    looked = await host.run_command(script, cwd="/", env=dict(env), timeout=LOOK_TIMEOUT)
    if isinstance(looked.outcome, Lost):
        raise LinkLost(f"looking for {name}: {looked.outcome.reason}; it may be repeated")
    found: dict[str, str] = {}
    for line in looked.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, value)
    return Program(
        name,
        found.get("found", ""),
        found.get("elsewhere", ""),
        found.get("path", ""),
        found.get("login", "the host"),
        found.get("user", ""),
        found.get("sandbox", ""),
        "directory" in found,
    )
