# The runs that this user has on the host. Stands behind processes.sh and act.sh.

# find_jobs: _jobs, where this user keeps one small file for each run of this host. It is written before the start.
find_jobs() {
    [ -n "${XDG_STATE_HOME-}${HOME-}" ] || refuse failed "neither HOME nor XDG_STATE_HOME is set"
    _jobs=${XDG_STATE_HOME:-$HOME/.local/state}/optio/jobs
}

# read_job ID: _dir of a run in the index.
read_job() {
    _dir=$(cat "$_jobs/$1" && echo .)
    _dir=${_dir%?.}
}

# list_jobs: what `look` says of each run in the index; the processes of those whose directory is gone.
list_jobs() {
    find_jobs
    for _entry in "$_jobs"/*; do
        [ -f "$_entry" ] || continue
        _listed=${_entry##*/}
        read_job "$_listed"
        answer job "$_listed $(hex "$_dir")"
        _run=$_listed
        ( look )
        ( stand ) && continue
        _id=$_listed _main='' _main_group='' _main_start='' _main_boot=''
        _left=$(processes) || exit 1
        [ -z "$_left" ] || printf '%s\n' "$_left" | sed 's/^/optio-job process /'
    done
    answer listed
}

# forget ID [all]: take an ended run out of the index; `all`: remove its directory too.
forget() {
    find_jobs
    [ -f "$_jobs/$1" ] || { answer forgotten; return; }
    read_job "$1"
    _main='' _main_group='' _main_start='' _main_boot='' _run=$1 _there=''
    if stand; then
        [ "${2-}" = all ] || refuse kept "its directory is still there"
        read_main
        _there=y
    fi
    _id=$1
    nothing_found processes && [ -z "$(carriers OPTIO_SUPERVISES)" ] || refuse kept "it has processes that are still running"
    cd /
    [ -z "$_there" ] || rm -rf -- "$_dir" || refuse kept "its directory cannot be removed"
    rm -f "$_jobs/$1"
    answer forgotten
}
