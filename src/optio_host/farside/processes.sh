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

# The same for awk, which takes a tenth of the time where every process is looked at: look_at(pid) is 0 when it is gone or
# only a zombie, else called is its name, and part[] what stands behind the last ")" of its stat, by proc_pid_stat(5):
# 1 the state, 2 the parent, 3 the group, 4 the session, 12 and 13 ticks of the processor, 20 the start.
_awk_look_at='
    function look_at(pid, file, text, line) {
        if (pid !~ /^[0-9]+$/) return 0
        file = "/proc/" pid "/stat"; text = ""
        while ((getline line < file) > 0) text = text line " "
        close(file)
        called = text
        sub(/^[^(]*[(]/, "", called)
        sub(/[)][^)]*$/, "", called)
        sub(/^.*[)] /, "", text)
        return split(text, part, " ") >= 20 && part[1] !~ /^[ZXx]/
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

# carriers NAME: ids of the processes that were started with the run in NAME of their environment. Runs may be nested:
# then NAME lists them, outermost first, joined by ":".
carriers() {
    [ -n "$_id" ] || return 0
    LC_ALL=C grep -lzxE "$1=(.*:)?$_id(:.*)?" /proc/[0-9]*/environ 2>/dev/null | sed 's,^/proc/,,; s,/environ$,,'
}

# processes: "pid start group name" of each living process of the run, one a line; not of its supervisor.
#
# A process belongs to the run when it is in the group of the main process, carries the run's tag in its environment,
# holds the run's poke FIFO or a spool open for writing (a reader of a spool, such as a driver, must not be hit), or is
# a child of one that does.
processes() {
    [ -n "$_id" ] || return 0 # a start that broke off before it had a name; an empty one would match every run
    read_boot
    # Once the directory is gone another run may have its place: then only deleted spools are those of this run.
    _holder='' _deleted=' (deleted)'
    [ ! -r "$_dir/id" ] || read -r _holder <"$_dir/id"
    [ "$_holder" != "$_id" ] || _deleted=''
    {
        if [ -r /proc/self/stat ]; then
            printf 'there %s\n' /proc/[0-9]*
            carriers OPTIO_RUN | sed 's/^/mine /'
            carriers OPTIO_SUPERVISES | sed 's/^/spare /'
            LC_ALL=C QUOTING_STYLE=literal ls -l /proc/[0-9]*/fd 2>/dev/null | sed 's/^/fd /'
        else
            LC_ALL=C TZ=UTC0 ps -A -o pid= -o stat= -o ppid= -o pgid= -o lstart= -o comm= | sed 's/^/ps /'
        fi
    } | _main=$_main _main_group=$_main_group _main_start=$_main_start _same_boot=$([ "$_main_boot" = "$_boot" ] && echo y) \
        _poke="/poke-$_id" _dir=$_dir _deleted=$_deleted LC_ALL=C awk "$_awk_look_at"'
        function seen(pid, up, group_of, session_of, start, called) {
            live[pid] = start; parent[pid] = up; group[pid] = group_of; session[pid] = session_of
            gsub(/[^!-~]/, "?", called); name[pid] = called == "" ? "?" : called
        }
        $1 == "there" { pid = substr($2, 7); if (look_at(pid)) seen(pid, part[2], part[3], part[4], part[20], called) }
        $1 == "ps" && $3 !~ /^[ZXx]/ { seen($2, $4, $5, "", $6 "_" $7 "_" $8 "_" $9 "_" $10, $11) }
        $1 == "mine" { run[$2] = 1 }
        $1 == "spare" { spare[$2] = 1 }
        $1 == "fd" && $2 ~ /^\/proc\/[0-9]+\/fd:$/ { split($2, path, "/"); holder = path[3] }
        $1 == "fd" && $2 ~ /^l-wx/ {
            target = substr($0, index($0, " -> ") + 4)
            if (target == ENVIRON["_dir"] "/stdout" ENVIRON["_deleted"]) run[holder] = 1
            if (target == ENVIRON["_dir"] "/stderr" ENVIRON["_deleted"]) run[holder] = 1
            if (index(target, ENVIRON["_poke"])) run[holder] = 1
        }
        END {
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
        }'
}

# signal_processes SIGNAL: send it once to each process of the run, and print those processes.
signal_processes() {
    _found=$(processes)
    [ -n "$_found" ] || return 0
    printf '%s\n' "$_found"
    printf '%s\n' "$_found" | while read -r _each _rest; do
        # Each one by itself, the group not besides: a second TERM means "at once" to many programs.
        kill "-$1" "$_each" 2>/dev/null
        case $1 in TERM | HUP) kill -CONT "$_each" 2>/dev/null ;; esac # a stopped process would not see it
    done
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
