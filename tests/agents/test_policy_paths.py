"""Paths are judged where they lead on the host; what cannot be resolved is allowed by no rule."""

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optio_agents.errors import PolicyError
from optio_agents.permissions import Decision, Policy, ToolCall, as_written, named_paths
from optio_agents.permissions.mentions import LONGEST, absolute, mentioned, plainly

CWD, TASKDIR = "/home/user/project", "/home/user/.local/state/optio/session"
BUILT_IN = Policy.built_in()
ALL_COMMANDS = Policy.loads('version = 1\n[[rule]]\ntool = "*"\ndecision = "allow"\n')


def bash(command: str, cwd: str = CWD) -> ToolCall:
    return ToolCall("Bash", {"command": command}, cwd, TASKDIR)


def read(path: str, cwd: str = CWD) -> ToolCall:
    return ToolCall("Read", {"file_path": path}, cwd, TASKDIR)


def decide(call: ToolCall, links: dict[str, str | None], policy: Policy = BUILT_IN) -> Decision:
    """Decide with some of the paths leading elsewhere than they are written; None: nobody knows where."""
    return policy.decide(call, {path: links.get(path, plain) for path, plain in as_written(call).items()})


@pytest.mark.parametrize("call", [read("link"), bash("cat link"), bash("cat < link"), bash("git status; cat ./a link")])
def test_a_symbolic_link_out_of_the_directory_is_judged_by_where_it_leads(call: ToolCall) -> None:
    assert f"{CWD}/link" in named_paths(call)
    assert decide(call, {}).verdict == "allow"
    leads_out = decide(call, {f"{CWD}/link": "/etc/shadow"})
    assert leads_out.verdict == "ask"
    assert "link] -> /etc/shadow" in leads_out.reason
    assert decide(call, {f"{CWD}/link": f"{TASKDIR}/run/1/env"}).verdict == "deny"


@pytest.mark.parametrize("call", [read("a"), bash("cat a"), bash("cat < a"), bash("grep x a b")])
def test_a_path_that_could_not_be_resolved_is_not_allowed(call: ToolCall) -> None:
    assert decide(call, {f"{CWD}/a": None}).verdict == "ask"
    assert BUILT_IN.decide(call, {}).verdict == "ask"
    resolved = as_written(call)
    del resolved[f"{CWD}/a"]
    assert BUILT_IN.decide(call, resolved).verdict == "ask"
    assert decide(call, {f"{CWD}/a": "relative"}).verdict == "ask"


@pytest.mark.parametrize("tool", ["Read", "Write"])
def test_no_rule_allows_a_file_that_could_not_be_resolved(tool: str) -> None:
    call = ToolCall(tool, {"file_path": "a"}, CWD, TASKDIR)
    assert decide(call, {}, ALL_COMMANDS).verdict == "allow"
    assert decide(call, {f"{CWD}/a": None}, ALL_COMMANDS).verdict == "ask"
    assert decide(bash("ls > a"), {f"{CWD}/a": None}, ALL_COMMANDS).verdict == "ask"


def test_a_rule_that_does_not_look_at_paths_allows_a_command_whose_arguments_are_none() -> None:
    call = bash("pytest -k 'a and b ' 'two\nlines'")
    policy = Policy.loads('version = 1\n[[rule]]\ncommand = "pytest **"\ndecision = "allow"\n')
    assert decide(call, {}, policy).verdict == "allow"
    assert policy.decide(call, {}).verdict == "allow"


def test_what_is_denied_is_denied_as_it_is_written_and_as_it_is_resolved() -> None:
    policy = Policy.loads('version = 1\n[[rule]]\npath = "/etc/**"\ndecision = "deny"\n')
    assert decide(read("/etc/x"), {"/etc/x": "/srv/x"}, policy).verdict == "deny"
    assert decide(read("/srv/x"), {"/srv/x": "/etc/x"}, policy).verdict == "deny"
    assert decide(bash("sudo cat /srv/x"), {"/srv/x": "/etc/x"}, policy).verdict == "deny"


def test_a_working_directory_that_is_reached_by_a_link_is_the_one_that_it_leads_to() -> None:
    links: dict[str, str | None] = {CWD: "/data/project", f"{CWD}/a": "/data/project/a"}
    assert decide(read("a"), links).verdict == "allow"
    assert decide(read("/data/project/a"), links).verdict == "allow"
    assert decide(read("a"), {CWD: "/data/project"}).verdict == "ask"
    assert decide(read("a"), {CWD: None}).verdict == "ask"


def test_the_directory_of_the_session_is_denied_by_each_of_its_names() -> None:
    links: dict[str, str | None] = {TASKDIR: "/data/session"}
    for path in (f"{TASKDIR}/run/1/env", "/data/session/run/1/env"):
        assert decide(read(path), links).verdict == "deny"
        assert decide(bash(f"cat {path}"), links).verdict == "deny"
        assert decide(bash(f"python3 -c 'open(\"{path}\")'"), links).verdict == "deny"


@pytest.mark.parametrize("cwd", ["", "project", "./x"])
def test_nothing_is_inside_a_working_directory_that_is_no_absolute_path(cwd: str) -> None:
    for call in (read("/etc/passwd", cwd), read("a", cwd), bash("cat /etc/passwd", cwd), bash("cat a", cwd)):
        assert decide(call, {}).verdict == "ask"


@pytest.mark.parametrize("taskdir", ["", "session"])
def test_a_session_without_a_directory_has_nothing_denied(taskdir: str) -> None:
    call = ToolCall("Read", {"file_path": "a"}, CWD, taskdir)
    assert decide(call, {}).verdict == "allow"


def test_the_directory_of_the_session_is_found_behind_any_number_of_other_paths() -> None:
    for command in (f"echo {'a/' * 300},x{TASKDIR}/run/1/env", f"echo '{'/a ' * 300}' {TASKDIR}/run"):
        assert decide(bash(command), {}).verdict == "deny"


ABOVE = "/home/user"
"""A working directory that the session's directory is in, as of a session that was started at home."""


@pytest.mark.parametrize(
    "command",
    [
        "grep -r KEY .", "grep -r KEY", "grep -r KEY .local", "grep --recursive KEY", "ls -R",
        "ls -aR .local", "find . -name env", "tree -a", "rg --hidden KEY", "rg KEY .local", "du -a",
    ],
)  # fmt: skip
def test_no_search_is_allowed_that_comes_through_the_directory_of_the_session(command: str) -> None:
    assert decide(bash(command), {}).verdict == "allow"
    found = decide(bash(command, ABOVE), {})
    assert (found.verdict, "the session's own is in" in found.reason) == ("ask", True)


@pytest.mark.parametrize("command", ["ls", "ls -la src", "cat a", "grep KEY a", "git status", "cat a | grep KEY"])
def test_what_looks_at_one_place_is_allowed_above_the_directory_of_the_session(command: str) -> None:
    assert decide(bash(command, ABOVE), {}).verdict == "allow"


@pytest.mark.parametrize("tool", ["Glob", "Grep", "LS"])
@pytest.mark.parametrize("where", [{}, {"path": ".local"}, {"path": "/home/user"}])
def test_no_search_by_a_tool_is_allowed_there_either(tool: str, where: dict[str, str]) -> None:
    searches = ToolCall(tool, {"pattern": "x", **where}, ABOVE, TASKDIR)
    assert decide(searches, {}).verdict == "ask"
    elsewhere = ToolCall(tool, {"pattern": "x", "path": "src"}, ABOVE, TASKDIR)
    assert decide(elsewhere, {}).verdict == "allow"


def test_a_copy_into_a_directory_is_judged_by_where_a_link_of_its_name_leads() -> None:
    policy = Policy.loads(
        'version = 1\n[[rule]]\ncommand = "cp * *"\noptions = ""\npath = "{cwd}/**"\nto = "{cwd}/build/**"\n'
        'decision = "allow"\n[[rule]]\npath = "/etc/**"\ndecision = "deny"\n'
    )
    call = bash("cp src/a build")
    assert f"{CWD}/build/a" in named_paths(call)
    assert decide(call, {}, policy).verdict == "allow"
    assert decide(bash("cp src/a build/b"), {}, policy).verdict == "allow"
    assert decide(call, {f"{CWD}/build/a": "/home/user/.profile"}, policy).verdict == "ask"
    assert decide(call, {f"{CWD}/build/a": "/etc/x"}, policy).verdict == "deny"
    assert decide(call, {f"{CWD}/build/a": None}, policy).verdict == "ask"


@pytest.mark.parametrize(
    "command",
    ["jobs -x rm a", "setarch -R rm a", "prlimit rm a", "ssh-agent rm a", "split --filter='rm a' b", "npx rm a"],
)
def test_a_denied_command_is_found_behind_those_that_run_others(command: str) -> None:
    policy = Policy.loads(
        'version = 1\n[[rule]]\ntool = "*"\ndecision = "allow"\n[[rule]]\ncommand = "rm **"\ndecision = "deny"\n'
    )
    assert decide(bash(command), {}, policy).verdict == "deny"


def test_a_line_of_base64_is_no_list_of_long_paths() -> None:
    line = "abc/def+" * 50_000
    call = ToolCall("Write", {"file_path": "a", "content": f'{{"image/png": "{line}"}}'}, CWD, TASKDIR)
    assert all(len(each) <= LONGEST + len(CWD) + 1 for each in named_paths(call))
    assert decide(call, {}).verdict == "ask"
    assert (
        decide(
            ToolCall("Write", {"file_path": "a", "content": f"{line} {TASKDIR}/run/1/env"}, CWD, TASKDIR), {}
        ).verdict
        == "deny"
    )


def test_every_path_that_a_call_names_is_to_be_resolved_dot_segments_and_all() -> None:
    call = bash("cat a/../b --file=c x=/d > e 2>>f < g; /bin/h -I../i 'see /j/k'")
    expected = ["a/../b", "c", "e", "f", "g"]
    named = named_paths(call)
    assert {CWD, TASKDIR, "/d", "/bin/h", f"{CWD}/../i", "/j/k", *(f"{CWD}/{each}" for each in expected)} <= set(named)
    assert all(each.startswith("/") for each in named)


NAMES = st.lists(st.sampled_from(["a", "b c", "..", ".", "", "x*"]), min_size=1, max_size=5)


@settings(max_examples=settings().max_examples // 3)
@given(names=NAMES, root=st.booleans())
def test_no_way_of_writing_a_path_makes_one_outside_allowed(names: list[str], root: bool) -> None:
    path = "/" * root + "/".join(names)
    inside = posixpath.normpath(posixpath.join(CWD, path))
    expected = inside == CWD or inside.startswith(f"{CWD}/")
    call = read(path)
    allowed = decide(call, {}).verdict == "allow"
    assert not allowed or expected
    quoted = decide(bash(f"cat '{path}'"), {}).verdict == "allow"
    assert not quoted or expected


# Without "..": a path may begin in the session and lead out of it.
TEXTS = st.text(alphabet="/.~ ='\"(,:-ab", max_size=12).filter(lambda text: ".." not in text)


@given(text=TEXTS, before=st.text(alphabet="-=:,('\" x", max_size=3))
def test_a_path_into_the_session_is_found_wherever_in_a_word_it_begins(text: str, before: str) -> None:
    word = f"{before}{TASKDIR}/run/{text}"
    assert any(plainly(each).startswith(TASKDIR) for each in mentioned(word, CWD, (TASKDIR,)))
    relative = f"{before}../.local/state/optio/session/run/x"
    assert f"{CWD}/../.local/state/optio/session/run/x" in mentioned(relative, CWD, ())


@pytest.mark.parametrize("path", ["", "~", "~/x", " x", "x ", "a\nb", "a\x00b", "a\u202eb", "a\u00a0b"])
def test_a_path_that_a_program_may_take_for_another_is_none(path: str) -> None:
    assert absolute(path, CWD) is None


def test_a_rule_for_a_working_directory_is_for_no_other_and_allows_nothing_where_that_is_not_known() -> None:
    rules = 'version = 1\n[[rule]]\ncommand = "make"\ncwd = ["/srv/*", "!/srv/live"]\ndecision = "{}"\n'
    allows, denies = Policy.loads(rules.format("allow")), Policy.loads(rules.format("deny"))

    def said(policy: Policy, leads_to: str | None) -> str:
        make = ToolCall("Bash", {"command": "make"}, "/home/user/link", TASKDIR)
        return policy.decide(make, {**as_written(make), "/home/user/link": leads_to}).verdict

    assert [said(allows, each) for each in ("/srv/app", "/srv/live", "/srv/app/x", "/srv", None)] == [
        "allow", "ask", "ask", "ask", "ask",
    ]  # fmt: skip
    assert [said(denies, each) for each in ("/srv/app", "/srv/live", None)] == ["deny", "ask", "deny"]
    for pattern in ("src", "{cwd}", "**", "."):
        with pytest.raises(PolicyError, match=r"it is what .cwd. stands for"):
            Policy.loads(rules.format("allow").replace("/srv/*", pattern))
