# What a driver may ask of a run, each one command that checks who asks and then acts. Stands behind processes.sh.
#
# _dir is the run directory, _run the id of the run or empty. Every answer is a line "optio-job KEY VALUE"; all else on stdout is noise of the login.

umask 077

answer() {
    printf 'optio-job %s\n' "$*"
}

# hex TEXT: a path may hold anything, also line ends.
hex() {
    printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'
}

refuse() {
    answer "$@"
    exit 0
}

# stand: be in the run directory; false when it is gone, or another run's (_run, where given, says which is meant).
stand() {
    cd -- "$_dir" 2>/dev/null && [ -d claim ] || return 1
    read_id
    [ -z "$_run" ] || [ "$_id" = "$_run" ]
}

enter() {
    stand || refuse gone
}

# read_id: _id of the run in the current directory.
read_id() {
    _id=''
    [ ! -r id ] || read -r _id <id
    case $_id in *[!0-9a-f]*) _id='' ;; esac # it becomes part of a pattern, and the program can write the file
}

# lock: only one such command at a time acts on this run. The lock belongs to fd 7 and goes with this shell.
lock() {
    exec 7>>lock
    if command -v flock >/dev/null 2>&1; then
        flock 7
    elif perl -e 1 2>/dev/null; then
        perl -e 'open(my $lock, ">>&=", 7) && flock($lock, 2) or exit 1'
    elif python3 -c 'import fcntl' 2>/dev/null; then
        python3 -c 'import fcntl; fcntl.flock(7, 2)'
    fi || exit 1
}

# enter_as STORE SESSION GENERATION: enter and lock, as the owner; refuse everyone else.
enter_as() {
    enter
    lock
    _owner=''
    [ -r owner ] && IFS= read -r _owner <owner
    [ "$_owner" = "$1 $2 $3" ] || refuse lost "$_owner"
    : >seen # a driver was here
}

# poke: tell the feeder that there is more. Opened both ways it never waits for a reader; a lost poke does no harm.
poke() {
    exec 7>&-
    [ ! -p "poke-$_id" ] || echo 1<>"poke-$_id"
}

# sizes FILE FILE: _first and _size in bytes. By ls: busybox's wc would read them. The names are in sorted order.
sizes() {
    set -- $(LC_ALL=C ls -ln -- "$1" "$2")
    [ $# -eq 18 ] || exit 1
    _first=$5 _size=${14}
}

# append STORE SESSION GENERATION OFFSET SIZE SPOOL: put stdin at that offset of a file that only the owner writes.
#
# The same bytes at the same offset may come again: what is there is compared, what is missing is completed.
append() {
    enter
    # Taken whole before anything is locked or written: a link that is cut in the middle changes nothing.
    _new='!append'.$$ # sorted before the name of every spool, as `sizes` wants it
    trap 'rm -f "$_new" "$_new.old" "$_new.want"' EXIT
    cat >"$_new"
    enter_as "$1" "$2" "$3"
    sizes "$_new" "$6"
    [ "$_first" -eq "$5" ] || refuse short "$_first"
    [ "$_size" -ge "$4" ] || refuse conflict "$_size $4"
    _have=$((_size - $4))
    [ "$_have" -le "$5" ] || _have=$5
    if [ "$_have" -gt 0 ]; then
        tail -c "+$(($4 + 1))" "$6" | head -c "$_have" >"$_new.old"
        head -c "$_have" "$_new" >"$_new.want"
        cmp -s "$_new.old" "$_new.want"
        case $? in 0) ;; 1) refuse conflict "$_size $4" ;; *) exit 1 ;; esac
    fi
    if [ "$_have" -lt "$5" ]; then
        [ "$6" != stdin ] || [ ! -e stdin.eof ] || refuse closed
        # Written at its place, never in append mode: late bytes of an older connection land on the same bytes.
        exec 6<>"$6"
        [ "$_size" -eq 0 ] || dd bs=1 skip="$_size" count=0 <&6 2>/dev/null || exit 1
        tail -c "+$((_have + 1))" "$_new" >&6 || refuse unwritten
        exec 6>&-
    fi
    [ "$6" != stdin ] || poke
    answer appended $(($4 + $5))
}

close_input() {
    enter_as "$@"
    : >stdin.eof
    poke
    answer closed
}

touch_seen() {
    enter_as "$@"
    answer seen
}

# adopt STORE SESSION GENERATION: become the owner, with a higher generation or once more with one's own.
adopt() {
    enter
    lock
    _owner='' _generation=0
    [ -r owner ] && IFS= read -r _owner <owner
    _generation=${_owner##* }
    case $_generation in '' | *[!0-9]*) _generation=0 ;; esac
    if [ "$_owner" != "$1 $2 $3" ]; then
        [ "$3" -gt "$_generation" ] || refuse lost "$_owner"
        { echo "$1 $2 $3" >owner.new && mv -f owner.new owner; } || exit 1
    fi
    : >seen
    poke # the last driver may have died between its append and its poke
    look
}

# send STORE SESSION GENERATION SIGNAL: signal the tree; NONE only looks. Works with the directory gone, too.
send() {
    _main='' _main_group='' _main_start='' _main_boot=''
    if stand; then
        enter_as "$1" "$2" "$3"
        case $4 in
            TERM | KILL) # a start that broke off before it ran the program must not run it any more
                if mkdir go 2>/dev/null; then
                    rm -f env
                    { echo 'void 0' >exit.new && mv -f exit.new exit; } || exit 1
                fi
                ;;
        esac
        read_main
    else
        _id=$_run
    fi
    if [ "$4" = NONE ]; then _sent=$(processes); else _sent=$(signal_processes "$4"); fi || exit 1
    [ -z "$_sent" ] || printf '%s\n' "$_sent" | sed 's/^/optio-job process /'
    [ -r /proc/self/stat ] && answer looked everywhere
    answer sent "$4"
}

# end_supervisor STORE SESSION GENERATION: the last step of a stop, when nothing is left that could be supervised.
end_supervisor() {
    if stand; then enter_as "$1" "$2" "$3"; else _id=$_run; fi
    signal_supervisors KILL
    answer ended
}

# look: everything a run's files and processes say, for job_state.py.
look() {
    stand || { answer gone; return; }
    answer dir "$(hex "$_dir")"
    for _name in owner pid supervisor; do
        _line=''
        [ -r $_name ] && IFS= read -r _line <$_name && answer "$_name $_line"
    done
    answer id "$_id"
    [ -r settings ] && while IFS='=' read -r _name _line; do
        [ "$_name" != _no_driver ] || answer no-driver "$_line"
    done <settings
    read_boot
    answer boot "$_boot"
    read_main
    look_at "$_main" && answer main-start "$_start"
    _line=''
    [ -r supervisor ] && read -r _line _rest <supervisor
    look_at "$_line" && answer supervisor-start "$_start"
    [ -d go ] && answer go
    [ -e stdin.eof ] && answer eof
    set -- $(ls -ln stdin 2>/dev/null)
    answer stdin "${5:-0}"
    # Read last: a program that was found dead above may have had its end written since.
    # The supervisor makes one file of the other, by renaming: beside its room an exit file is not from it. The room is
    # looked for first, since the renaming may come between the two.
    if [ -e exit.room ]; then
        [ ! -e exit ] || answer forged
    elif [ -r exit ]; then
        head -n 24 exit | sed -n 's/^[a-z]/optio-job exit &/p'
    fi
}
