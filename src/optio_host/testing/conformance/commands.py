"""Promises about `run_command`."""

import anyio

from ...host import RunResult
from ...outcome import Exited, Signalled, TimedOut
from .ground import Ground, fails
from .trees import SECRET, STUBBORN, begun, nothing_lives, pids_in, secret_is_in_no_process_list


async def a_command_returns_both_streams_apart_and_its_exit_code(ground: Ground) -> None:
    """And never raises for a code that is not zero: also 255, a command that is not there, and no shell script."""
    run = ground.machine.run_command
    done = await run("echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 3)
    assert (await run("exit 255")).exit_code == 255
    assert (await run(":")) == await run("exit 0")
    missing = await run("no-such-command-anywhere")
    assert (missing.exit_code, missing.stdout) == (127, "")
    assert missing.stderr
    assert (await run("if then (")).exit_code not in (0, 127)


async def a_death_by_signal_is_told_from_an_exit(ground: Ground) -> None:
    """The negative number of the signal, while an exit code of 143 or 137 is just that."""
    run = ground.machine.run_command
    for number in (15, 9):
        killed, exited = await run(f"kill -{number} $$"), await run(f"exit {128 + number}")
        assert (killed.exit_code, exited.exit_code) == (-number, 128 + number)
        assert killed.outcome in (None, Signalled(number))
        assert exited.outcome in (None, Exited(128 + number))


async def bytes_that_are_not_utf8_do_not_empty_the_output(ground: Ground) -> None:
    """Each becomes U+FFFD; NUL, CR and a missing last line end are kept as they are."""
    done = await ground.machine.run_command(r"printf 'a\377b\0c\r\nend'; printf '\303' >&2")
    assert (done.stdout, done.stderr) == ("a\ufffdb\0c\r\nend", "\ufffd")


async def a_long_line_comes_whole(ground: Ground) -> None:
    """3 MB without a line end, more than the window of an SSH channel."""
    done = await ground.machine.run_command("head -c 3000000 /dev/zero | tr '\\0' x")
    assert done.stdout == "x" * 3_000_000, f"{len(done.stdout)} characters came"


async def characters_are_not_broken_where_the_output_was_cut(ground: Ground) -> None:
    """600 kB of three-byte characters, begun at an odd offset."""
    done = await ground.machine.run_command("printf x; yes '€€€€€€€€€€' | head -n 20000 | tr -d '\\n'")
    assert done.stdout == "x" + "€" * 200_000


async def a_command_means_what_it_says_to_the_shell(ground: Ground) -> None:
    """Quotes, dollars, backslashes, line ends, a here-document, a comment at the end: none needs more quoting."""
    command = """
word='a "quoted" $word'; printf '%s|' "$word" 'it'\\''s' "back\\\\slash" `echo old` $((1 + 1))
cat <<'END'
$word and 'quotes' and \\
END
echo über # a comment, and no line end"""
    done = await ground.machine.run_command(command)
    assert (done.stdout, done.stderr) == (
        "a \"quoted\" $word|it's|back\\slash|old|2|$word and 'quotes' and \\\nüber\n",
        "",
    )
    long = "x" * 90_000
    assert (await ground.machine.run_command(f"echo {long}")).stdout == f"{long}\n"


async def an_exit_ends_its_own_command_only(ground: Ground) -> None:
    """Neither that nor a cd, a variable, a trap or a closed stream of one command reaches the next."""
    run = ground.machine.run_command
    before = await run("pwd; echo ${left-nothing}")
    await run(
        "exec >/dev/null 2>&1 <&-; cd /; left=something; export left; trap 'echo trapped' EXIT; set -e; exit 1; x"
    )
    assert await run("pwd; echo ${left-nothing}") == before


async def a_command_runs_in_the_workdir_unless_told_otherwise(ground: Ground) -> None:
    """A relative directory is below the workdir; one that is not there is FileNotFoundError, and nothing is run."""
    host = ground.machine
    await ground.far.mkdir(ground.path("-sub dir's"))
    assert (await host.run_command("pwd")).stdout == f"{host.workdir}\n"
    assert (await host.run_command("pwd", cwd="-sub dir's")).stdout == f"{host.workdir}/-sub dir's\n"
    assert (await host.run_command("pwd", cwd="/")).stdout == "/\n"
    for missing in ("missing", "/no/such/directory"):
        await fails(FileNotFoundError, host.run_command(f"touch {ground.path('touched')!r}", cwd=missing))
    assert await ground.far.names(host.workdir) == ["-sub dir's"]


async def a_command_without_input_finds_its_end_at_once(ground: Ground) -> None:
    """It neither waits for a person nor reads what was meant for something else."""
    assert (await ground.machine.run_command("cat; read x || echo end")).stdout == "end\n"


async def a_child_that_holds_the_streams_does_not_hold_up_the_command(ground: Ground) -> None:
    """The command's own end counts; a process that it leaves in the background goes on."""
    with anyio.fail_after(15):
        done = await ground.machine.run_command("sleep 300 & echo $!; exit 4")
    pid = int(done.stdout)
    there = await ground.alive(pid)
    await ground.machine.run_command(f"kill -9 {pid}")
    assert (done.exit_code, there) == (4, [pid])


async def additions_to_the_environment_arrive_as_they_are(ground: Ground) -> None:
    """Any text but NUL; they win over what is there, and the rest is what a command without additions sees."""
    run = ground.machine.run_command
    values = {"ODD": "a 'b' \"c\" $d\n`e` \\ ü = ;", "HOME": "/elsewhere", "EMPTY": "", "_x1": "-n"}
    show = "; ".join(f"printf '%s\\0' \"${name}\"" for name in values)
    done = await run(f"{show}; printf %s ${{PATH:+is-set}}", env=values)
    assert done.stdout == "\0".join([*values.values(), "is-set"])
    assert (await run("echo ${ODD-unset} $PATH")).stdout == f"unset {(await run('echo $PATH', env=values)).stdout}"


async def additions_to_the_environment_are_in_no_process_list(ground: Ground) -> None:
    """Anybody on the host can read the arguments of every process."""
    host = ground.machine

    async def run() -> None:
        await host.run_command('printf %s "$SECRET" >seen; echo $$ >begun; sleep 300', env={"SECRET": SECRET})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await begun(ground, "begun")
        await secret_is_in_no_process_list(ground)
        assert await ground.far.read(ground.path("seen")) == SECRET.encode()
        tasks.cancel_scope.cancel()


async def many_commands_at_once_get_their_own_answers(ground: Ground) -> None:
    """More than the ten that an OpenSSH server lets run on one connection."""
    host, answers = ground.machine, dict[int, RunResult]()

    async def ask(number: int) -> None:
        answers[number] = await host.run_command(f"echo {number}; exit {number}")

    async with anyio.create_task_group() as tasks:
        for number in range(24):
            tasks.start_soon(ask, number)
    seen = [(answers[number].stdout, answers[number].exit_code) for number in range(24)]
    assert seen == [(f"{number}\n", number) for number in range(24)]


async def a_cancelled_command_is_ended_with_its_grandchildren(ground: Ground) -> None:
    """Also those that left its session, lost their parent or ignore TERM; and the cancellation goes on."""
    host = ground.machine
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.run_command, f"{{ {STUBBORN} }} >pids; while [ $(wc -l <pids) -lt 4 ]; do :; done; "
                             "mv pids begun; wait; sleep 300")  # fmt: skip
            await begun(ground, "begun")
            scope.cancel()
    assert scope.cancelled_caught
    await nothing_lives(ground, pids_in((await ground.far.read(ground.path("begun"))).decode()))


async def a_command_that_takes_too_long_is_ended_with_its_grandchildren(ground: Ground) -> None:
    """The outcome is `TimedOut`, the code 124, and what was written until then is there."""
    done = await ground.runner.run_command(f"{STUBBORN}\nwait; sleep 300", timeout=1.0)
    assert (done.outcome, done.exit_code) == (TimedOut(1.0), 124)
    await nothing_lives(ground, pids_in(done.stdout))


async def input_arrives_whole_and_need_not_be_read(ground: Ground) -> None:
    """Any bytes, more than a pipe holds; what a command leaves unread is no error."""
    data = bytes(range(256)) * 4096
    run = ground.runner.run_command
    assert (await run("cat >copy; wc -c <copy", input=data)).stdout.split() == ["1048576"]
    assert await ground.host.fetch_bytes_from_host(ground.path("copy")) == data
    assert (await run("exec <&-; exit 7", input=data)).exit_code == 7
    assert (await run("wc -c", input=b"")).stdout.split() == ["0"]


async def endless_output_keeps_head_and_tail_and_counts_the_rest(ground: Ground) -> None:
    """Memory is bounded, and a person is told what is missing."""
    done = await ground.runner.run_command("seq 1 100000; seq 1 100000 >&2", output_limit=100)
    for text, dropped in ((done.stdout, done.stdout_dropped), (done.stderr, done.stderr_dropped)):
        assert text.startswith("1\n2\n3\n")
        assert text.endswith("99999\n100000\n")
        assert f"{dropped} bytes left out" in text
        assert dropped == 588_895 - 100


PROMISES = (
    a_command_returns_both_streams_apart_and_its_exit_code,
    a_death_by_signal_is_told_from_an_exit,
    bytes_that_are_not_utf8_do_not_empty_the_output,
    a_long_line_comes_whole,
    characters_are_not_broken_where_the_output_was_cut,
    a_command_means_what_it_says_to_the_shell,
    an_exit_ends_its_own_command_only,
    a_command_runs_in_the_workdir_unless_told_otherwise,
    a_command_without_input_finds_its_end_at_once,
    a_child_that_holds_the_streams_does_not_hold_up_the_command,
    additions_to_the_environment_arrive_as_they_are,
    additions_to_the_environment_are_in_no_process_list,
    many_commands_at_once_get_their_own_answers,
    a_cancelled_command_is_ended_with_its_grandchildren,
    a_command_that_takes_too_long_is_ended_with_its_grandchildren,
    input_arrives_whole_and_need_not_be_read,
    endless_output_keeps_head_and_tail_and_counts_the_rest,
)
