# What holds one run of a program on a host: starts it once, feeds it, keeps its limits, writes down how it ended.
#
#   sh supervise.sh supervise DIR   in a session of its own; lives as long as the program, and does not need its starter
#   sh supervise.sh agent           the last step before the program: it writes the pid file and becomes the program
#
# It stands in the run directory behind the functions of processes.sh. `settings` there gives _id _shell _cwd
# _no_driver _spool_limit _free_floor _check _grace _umask.

umask 077

# feed: hand the stdin spool to the program as it grows; one byte in the poke FIFO says that it has grown.
#
# The program holds the only lasting write end of poke, so this ends with it, also when both were killed.
feed() {
    exec 3<stdin 4<"poke-$_id" >in 8>&-
    while cat <&3; do # every cat goes on at the offset of fd 3
        if [ -e stdin.eof ]; then
            cat <&3 # what came between the last read and the end
            break
        fi
        read -r _ <&4 || break
    done
}

# nap SECONDS: wait, and let a TERM end the wait.
nap() {
    sleep "$1" 8>&- &
    _nap=$!
    wait "$_nap"
    _nap='' # from here on the number may be another process's
}

# broken_limit: set _verdict to the exit code that names the first broken limit, 0 when all hold.
broken_limit() {
    _verdict=0
    if [ "$_no_driver" -gt 0 ]; then
        # Counted in looks, not in clock time: a clock that jumps or a machine that slept ends nothing.
        if rm seen 2>/dev/null; then _quiet=0; else _quiet=$((_quiet + _check)); fi
        [ "$_quiet" -lt "$_no_driver" ] || _verdict=81
    fi
    if [ "$_spool_limit" -gt 0 ]; then
        _size=$(ls -ln stdout stderr 2>/dev/null | awk '{ sum += $5 } END { printf "%.0f", sum }')
        [ "$_size" -lt "$_spool_limit" ] || _verdict=82
    fi
    if [ "$_free_floor" -gt 0 ]; then
        _free=$(df -Pk . 2>/dev/null | awk 'END { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+%$/) { print $(i - 1); exit } }')
        [ -z "$_free" ] || [ "$_free" -ge $((_free_floor / 1024)) ] || _verdict=83
    fi
}

# watch: look at the limits now and then; stop the program for a broken one, and end with the code that names it.
watch() {
    _verdict=0 _quiet=0 _nap='' _main=''
    trap '[ -z "$_nap" ] || kill "$_nap" 2>/dev/null; exit "$_verdict"' TERM
    while nap "$_check"; [ ! -e exit ]; do
        if [ -z "$_main" ]; then # read once: the directory may be removed while the program runs
            read_main
            [ -n "$_main" ] || { kill -0 $$ 2>/dev/null && continue; }
        fi
        alive "$_main" "$_main_start" "$_main_boot" || exit 0 # its supervisor may have been killed
        broken_limit
        [ "$_verdict" -ne 0 ] || continue
        signal_processes TERM >/dev/null
        nap "$_grace"
        until nothing_found signal_processes KILL; do nap 1; done
        exit "$_verdict"
    done
}

# record_end KIND NUMBER REASON: write the end in one step. The room for it was taken at the start: the disk may be full.
record_end() {
    {
        echo "$1 $2"
        echo "reason $3"
        printf '%s\n' "$_left" | head -n 20 | sed -n 's/^[0-9]/left &/p'
        echo end
    } 1<>exit.room && mv -f exit.room exit
}

# stop_left: end what the program left behind when it ended.
stop_left() {
    ! nothing_found signal_processes TERM || return 0
    _patience=$_grace
    while [ "$_patience" -gt 0 ] && ! nothing_found processes; do
        sleep 1
        _patience=$((_patience - 1))
    done
    _patience=5
    while [ "$_patience" -gt 0 ] && ! nothing_found signal_processes KILL; do
        sleep 1
        _patience=$((_patience - 1))
    done
}

supervise() {
    exec 8>&1 >/dev/null 2>>supervisor.err # 8: the starter listens there until the program runs
    trap : HUP INT TERM # a machine that shuts down asks everyone to end: the end of the program is still to be written
    _left='' _watcher=''
    mkdir go || { echo void >&8; return; }
    read_boot
    look_at $$
    { echo "$$ $_start $_boot" >supervisor.new && mv -f supervisor.new supervisor &&
        mkfifo -m 600 in "poke-$_id" && printf '%4095s\n' '' >exit.room && printf '%4095s\n' '' >signal; } || { echo "failed write $_dir" >&8; return; }

    feed &
    _feeder=$!
    look_at "$_feeder"
    _feeder_start=$_start
    if [ "$_no_driver$_spool_limit$_free_floor" != 000 ]; then
        watch &
        _watcher=$!
        look_at "$_watcher"
        _watcher_start=$_start
    fi

    # In the foreground, with stderr on a file: the shell says there that a signal ended it, and 143 stays a status.
    # Over the blanks that take up the room for it: on a full disk it would be lost, and 143 taken for a status.
    exec 2<>signal
    ( in_own_session $_shell ./supervise.sh agent ) 9>"poke-$_id" <in >>stdout 2>>stderr
    _status=$?
    exec 2>>supervisor.err

    _verdict=0
    if [ -n "$_watcher" ]; then
        signal_process TERM "$_watcher" "$_watcher_start"
        wait "$_watcher"
        _verdict=$?
    fi
    case $_verdict in
        81) _reason=no-driver ;; 82) _reason=spool-limit ;; 83) _reason=free-space ;; *) _reason=none ;;
    esac
    read_main
    _left=$(processes)
    read -r _said <signal
    if [ -n "$_said" ] && [ "$_status" -gt 128 ]; then
        set -- signalled $((_status - 128))
    elif [ -z "$_main" ]; then
        set -- unstarted "$_status"
    else
        set -- exited "$_status" # 130 and 141 may have been SIGINT and SIGPIPE: no shell says so
    fi
    until record_end "$1" "$2" "$_reason"; do
        [ -d claim ] || break # the directory was removed
        sleep 5
    done
    rm -f env
    stop_left
    # A process that escaped may still hold the input open, and the feeder would wait for it.
    signal_process TERM "$_feeder" "$_feeder_start"
    signal_supervisors TERM
    rm -f in "poke-$_id" signal
}

agent() {
    read_boot
    look_at $$
    if [ "$_group" != $$ ]; then
        echo "a run needs a process group of its own: setsid did not give one" >&2
        exit 125
    fi
    ( cd -- "$_cwd" ) || exit 125
    # On disk before the program runs: whoever finds no pid knows that it never ran.
    { echo "$$ $_group $_start $_boot" >pid.new && mv -f pid.new pid; } || exit 125
    _environment=$(cat env) && rm -f env || exit 125
    cd -- "$_cwd" || exit 125
    ( echo started >&8 ) 2>/dev/null # in a subshell: the starter may be gone, and SIGPIPE would be the end
    unset OPTIO_SUPERVISES
    OPTIO_RUN=$_id
    export OPTIO_RUN
    set -- "$_command"
    umask "$_umask" # the login's own: the program's files are not ours to hide
    eval "$_environment"
    exec /bin/sh -c "$1" 8>&-
}

case $1 in
    supervise)
        _dir=$2
        cd -- "$_dir" || exit 1
        . ./settings
        supervise
        ;;
    agent)
        . ./settings
        _command=$(cat command)
        agent
        ;;
esac
