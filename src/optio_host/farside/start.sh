# Starting a run, exactly once. Stands behind processes.sh, act.sh and index.sh.

# start: make the run directory and start the program, once: who makes `claim` does, a repeated start only looks.
#
# From the variables _umask _id _owner _shell _cwd _settings _command _environment _supervise, all of them from stdin, so that
# no secret stands in a list of processes. Files are written with here-documents: printf is a program in some shells.
start() {
    [ -d "$_cwd" ] || refuse failed "the working directory $_cwd is not there"
    find_jobs
    mkdir -p -- "$_dir" "$_jobs" || refuse failed "the directory $_dir or $_jobs cannot be made"
    [ -d "$_dir" ] && [ ! -L "$_dir" ] && [ -O "$_dir" ] || refuse failed "$_dir is not a directory of this user"
    _dir=$(cd -P -- "$_dir" && pwd -P && echo .)
    _dir=${_dir%?.}
    chmod 700 "$_dir" && cd -- "$_dir" || refuse failed "$_dir cannot be entered"
    if mkdir claim 2>/dev/null; then
        prepare 2>/dev/null || refuse failed "the files of the run cannot be written to $_dir: is the disk full?"
        launch
    else
        _line=''
        [ -r owner ] && IFS= read -r _line <owner
        [ -z "$_line" ] || [ "$_line" = "$_owner" ] || refuse lost "$_line"
    fi
    look
}

prepare() {
    cat >owner <<EOF || return
$_owner
EOF
    echo "$_id" >id || return
    cat >"$_jobs/.$_id" <<EOF && mv -f "$_jobs/.$_id" "$_jobs/$_id" || return
$_dir
EOF
    cat >settings <<EOF || return
$_settings
_umask=$_umask
EOF
    cat >command <<EOF || return
$_command
EOF
    cat >supervise.sh <<EOF || return
$_supervise
EOF
    cat >env <<EOF || return
$_environment
EOF
    : >stdin && : >stdout && : >stderr && : >seen
}

launch() {
    unset OPTIO_RUN # this run is one of its own, also when the driver itself runs below another one
    OPTIO_SUPERVISES=$_id
    export OPTIO_SUPERVISES
    # The starter waits for one word, not for the end of the pipe: the supervisor keeps its end open.
    detach $_shell ./supervise.sh supervise "$_dir" </dev/null 2>/dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 9>&- | {
        _word='' _rest=''
        read -r _word _rest
        case $_word in
            started) ;;
            failed) answer failed "${_rest#* }" ;;
            *) answer failed "the program was not started: $(cat stderr supervisor.err 2>/dev/null | head -c 1000 | tr '\n' ' ')" ;;
        esac
    }
}
