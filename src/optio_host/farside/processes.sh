# Which processes belong to a run, whether one is the one it was, and how to signal them all. Functions only.
#
# They read: _id (the run), _dir (its directory), and what `read_main` found of its main process.
# Plain sh: dash, bash and busybox give the same answers. Names begin with _ because the login may export others.

# _boot: which boot of this machine this is.
read_boot() {
    if [ -r /proc/sys/kernel/random/boot_id ]; then
        read -r _boot </proc/sys/kernel/random/boot_id
    else
        _boot=$(sysctl -n kern.bootsessionuuid 2>/dev/null || sysctl -n kern.boottime 2>/dev/null | tr -d ' ')
    fi
}

# look_at PID: _state _parent _group _session _start _called of a process; false when it is gone or only a zombie.
look_at() {
    _state='' _parent='' _group='' _session='' _start='' _called=''
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    if [ -r /proc/self/stat ]; then
        _stat=''
        # A process may put a line end or ") " into its name: read everything, and strip through the last ") ".
        { while IFS= read -r _line; do _stat="$_stat$_line "; done </proc/"$1"/stat; } 2>/dev/null || return 1
        _called=${_stat#*\(}
        _called=${_called%\)*}
        set -- ${_stat##*") "}
        [ $# -ge 20 ] || return 1
        _state=$1 _parent=$2 _group=$3 _session=$4 _start=${20}
    else
        set -- $(LC_ALL=C TZ=UTC0 ps -o stat= -o ppid= -o pgid= -o lstart= -o comm= -p "$1" 2>/dev/null)
        [ $# -ge 8 ] || return 1
        _state=$1 _parent=$2 _group=$3 _start=$4_$5_$6_$7_$8 _called=${9-}
    fi
    case $_state in Z* | X* | x*) return 1 ;; esac # kill -0 succeeds on these
}

# stats FILE...: what the kernel says of processes, each line behind "FILE:"; FILE is /proc/PID/stat. The status is grep's,
# 0 to 2 when it came to its end.
#
# By grep: it goes on when a process ends while it reads. mawk ends itself there, and finds nothing in what it has not read.
stats() {
    LC_ALL=C grep -a '' /dev/null "$@" 2>/dev/null
}

# For awk, which keeps the lines of `stats`: look_at(pid), once all have come, is 0 when the process is gone or only a
# zombie, else called is its name, and part[] what stands behind the last ")", by proc_pid_stat(5): 1 the state, 2 the
# parent, 3 the group, 4 the session, 12 and 13 ticks of the processor, 20 the start.
_awk_stats='
    function look_at(pid, text) {
        if (!(pid in stat)) return 0
        called = text = stat[pid]
        sub(/^[^(]*[(]/, "", called)
        sub(/[)][^)]*$/, "", called)
        sub(/^.*[)] /, "", text)
        return split(text, part, " ") >= 20 && part[1] !~ /^[ZXx]/
    }
    /^\/proc\/[0-9]+\/stat:/ { # a name with line ends in it comes as several lines
        at = index($0, ":"); pid = substr($0, 7, at - 12)
        stat[pid] = stat[pid] substr($0, at + 1) " "
        next
    }'

# alive PID START BOOT: this very process runs now.
alive() {
    read_boot
    [ -n "$1" ] && [ "$3" = "$_boot" ] && look_at "$1" && [ "$_start" = "$2" ]
}

# read_main: _main _main_group _main_start _main_boot from the pid file in the current directory; empty without one.
read_main() {
    _main='' _main_group='' _main_start='' _main_boot=''
    [ -r pid ] && read -r _main _main_group _main_start _main_boot <pid
}

# signal_process SIGNAL PID START: unless it has ended; others may have its number then.
signal_process() {
    look_at "$2" && [ "$_start" = "$3" ] && kill "-$1" "$2" 2>/dev/null
}

# environments NAME [FILE...]: the files /proc/PID/environ of processes that were started with the run in NAME of their
# environment; of all, or of these. Runs may be nested: then NAME lists them, outermost first, joined by ":". The status
# is grep's.
environments() {
    _tag=$1
    shift
    [ $# -gt 0 ] || set -- /proc/[0-9]*/environ
    LC_ALL=C grep -lzxE "$_tag=(.*:)?$_id(:.*)?" "$@" 2>/dev/null
}

# carriers NAME: the ids of those processes.
carriers() {
    [ -n "$_id" ] || return 0
    environments "$1" | sed 's,^/proc/,,; s,/environ$,,'
}

# search: "pid start group name" of each living process of the run, one a line, not of its supervisor; then "searched".
# Without that line it did not come to its end, and what it has not found may be there.
#
# A process belongs to the run when it is in the group of the main process, carries the run's tag in its environment,
# holds the run's poke FIFO or a spool open for writing (a reader of a spool, such as a driver, must not be hit), or is
# a child of one that does.
search() {
    read_boot
    # Once the directory is gone another run may have its place: then only deleted spools are those of this run.
    _holder='' _deleted=' (deleted)'
    [ ! -r "$_dir/id" ] || read -r _holder <"$_dir/id"
    [ "$_holder" != "$_id" ] || _deleted=''
    _parts=1
    [ ! -r /proc/self/stat ] || _parts=4
    {
        if [ -r /proc/self/stat ]; then
            stats /proc/[0-9]*/stat; echo "part $?"
            echo mine; environments OPTIO_RUN; echo "part $?"
            echo spare; environments OPTIO_SUPERVISES; echo "part $?"
            { LC_ALL=C QUOTING_STYLE=literal ls -l /proc/[0-9]*/fd 2>/dev/null; echo "part $?"; } | sed 's/^/fd /'
        else
            { LC_ALL=C TZ=UTC0 ps -A -o pid= -o stat= -o ppid= -o pgid= -o lstart= -o comm=; echo "part $?"; } |
                sed 's/^/ps /'
        fi
    } | _main=$_main _main_group=$_main_group _main_start=$_main_start _same_boot=$([ "$_main_boot" = "$_boot" ] && echo y) \
        _poke="/poke-$_id" _dir=$_dir _deleted=$_deleted _parts=$_parts LC_ALL=C awk "$_awk_stats"'
        function seen(pid, up, group_of, session_of, start, called) {
            live[pid] = start; parent[pid] = up; group[pid] = group_of; session[pid] = session_of
            gsub(/[^!-~]/, "?", called); name[pid] = called == "" ? "?" : called
        }
        # grep and ls fail with 1 or 2 where a process has ended meanwhile; with more when they did not run to their end.
        $1 == "part" || ($1 == "fd" || $1 == "ps") && $2 == "part" { parts += $NF <= 2; next }
        $1 == "ps" && $3 !~ /^[ZXx]/ { seen($2, $4, $5, "", $6 "_" $7 "_" $8 "_" $9 "_" $10, $11) }
        $1 == "mine" || $1 == "spare" { kind = $1 }
        /^\/proc\/[0-9]+\/environ$/ { split($0, path, "/"); if (kind == "mine") run[path[3]] = 1; else spare[path[3]] = 1 }
        $1 == "fd" && $2 ~ /^\/proc\/[0-9]+\/fd:$/ { split($2, path, "/"); holder = path[3] }
        $1 == "fd" && $2 ~ /^l-wx/ {
            target = substr($0, index($0, " -> ") + 4)
            if (target == ENVIRON["_dir"] "/stdout" ENVIRON["_deleted"]) run[holder] = 1
            if (target == ENVIRON["_dir"] "/stderr" ENVIRON["_deleted"]) run[holder] = 1
            if (index(target, ENVIRON["_poke"])) run[holder] = 1
        }
        END {
            for (pid in stat) if (look_at(pid)) seen(pid, part[2], part[3], part[4], part[20], called)
            main = ENVIRON["_main"]; main_group = ENVIRON["_main_group"]
            # A pid that now starts at another time was reused: then nothing is left of the old group.
            reused = (main in live) && live[main] != ENVIRON["_main_start"]
            if (main != "" && main == main_group && ENVIRON["_same_boot"] == "y" && !reused)
                for (pid in live)
                    if (group[pid] == main_group && ((main in live) || session[pid] == main_group)) run[pid] = 1
            do {
                more = 0
                for (pid in live)
                    if (!(pid in run) && !(pid in spare) && (parent[pid] in run) && !(parent[pid] in spare)) {
                        run[pid] = 1; more = 1
                    }
            } while (more)
            # The main process first: it should hear of an end before it sees its children die of it.
            if ((main in run) && (main in live)) print main, live[main], group[main], name[main]
            for (pid in run)
                if ((pid in live) && !(pid in spare) && pid != main) print pid, live[pid], group[pid], name[pid]
            if (parts == ENVIRON["_parts"]) print "searched"
        }'
}

# processes: the living processes of the run, as `search` says them. False when no search came to its end: nobody may
# take that for proof that nothing is left.
processes() {
    [ -n "$_id" ] || return 0 # a start that broke off before it had a name; an empty one would match every run
    for _pause in '' 0.1 0.5 1; do
        [ -z "$_pause" ] || sleep "$_pause"
        _all=$(search)
        case $_all in
            searched) return 0 ;;
            *'
searched') printf '%s\n' "${_all%?searched}"; return 0 ;;
        esac
    done
    echo "the processes of this machine could not be searched" >&2
    return 1
}

# signal_processes SIGNAL: send it once to each process of the run, and print those processes. False as with `processes`.
signal_processes() {
    _found=$(processes) || return 1
    [ -n "$_found" ] || return 0
    printf '%s\n' "$_found"
    printf '%s\n' "$_found" | while read -r _each _began _rest; do
        # Each one by itself, the group not besides: a second TERM means "at once" to many programs.
        signal_process "$1" "$_each" "$_began" || continue
        case $1 in TERM | HUP) kill -CONT "$_each" 2>/dev/null ;; esac # a stopped process would not see it
    done
    return 0
}

# signal_supervisors SIGNAL: send it to the processes that hold the run, but to the one that calls this.
signal_supervisors() {
    for _each in $(carriers OPTIO_SUPERVISES); do
        # Looked at once more: while all were, it may have ended, and its number may be another's.
        [ "$_each" = $$ ] || [ -z "$(environments OPTIO_SUPERVISES "/proc/$_each/environ")" ] || kill "-$1" "$_each" 2>/dev/null
    done
}

# nothing_found COMMAND...: whether `processes` or `signal_processes SIGNAL` has searched everywhere, and found nothing.
nothing_found() {
    _found=$("$@") && [ -z "$_found" ]
}

# in_own_session COMMAND...: become COMMAND, leading a session and a group of its own. The caller is no group leader.
in_own_session() {
    if command -v setsid >/dev/null 2>&1; then
        exec setsid "$@"
    elif perl -MPOSIX=setsid -e 1 2>/dev/null; then
        exec perl -MPOSIX=setsid -e 'setsid() or exit 125; exec { $ARGV[0] } @ARGV; exit 125' "$@"
    elif python3 -c 'import os' 2>/dev/null; then
        exec python3 -c 'import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@"
    fi
    echo "a run needs a session of its own, and this host has neither setsid nor perl nor python3" >&2
    exit 125
}

# detach COMMAND...: start COMMAND in a session of its own and do not wait for it.
#
# Never with "&": a shell makes what it puts into the background ignore INT, for ever, and the program would inherit it.
detach() {
    if command -v setsid >/dev/null 2>&1; then
        setsid setsid "$@" # the second one is a group leader, so it forks and returns
    elif perl -MPOSIX=setsid -e 1 2>/dev/null; then
        perl -MPOSIX=setsid -e 'my $pid = fork; defined $pid or exit 125; exit 0 if $pid;
            setsid() or exit 125; exec { $ARGV[0] } @ARGV; exit 125' "$@"
    elif python3 -c 'import os' 2>/dev/null; then
        python3 -c 'import os, sys
if os.fork() == 0:
    os.setsid()
    os.execvp(sys.argv[1], sys.argv[1:])' "$@"
    else
        echo "failed session a run needs a session of its own, and this host has neither setsid nor perl nor python3"
    fi
}
