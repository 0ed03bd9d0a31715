# What a host has: one line "optio-job KEY VALUE" for each fact. Stands behind act.sh; _login_umask is taken before it.

fact() {
    answer "$@"
}

# room KEY PATH: free kilobytes where PATH is, or would be.
room() {
    _there=$2
    until [ -d "$_there" ]; do _there=${_there%/*}; [ -n "$_there" ] || _there=/; done
    _kept=no
    if _probe=$(mktemp -d "$_there/.optio-XXXXXX" 2>/dev/null); then
        rmdir "$_probe"
        _kept=yes
    fi
    fact "$1" "$_kept $(df -Pk "$_there" 2>/dev/null | awk 'NR == 2 { print $4 }') $_there"
}

checkup() {
    fact system "$(uname -srm)"
    fact clock "$(date +%s)"
    fact user "$(id -un) $(id -u)"
    fact umask "$_login_umask"
    fact shell "$(readlink -f /bin/sh 2>/dev/null || echo /bin/sh)"
    for _tool in setsid flock ps tar openssl sha256sum shasum stat find od mktemp; do
        fact tool "$_tool $(command -v "$_tool" 2>/dev/null)"
    done
    fact tool "perl $(perl -MPOSIX=setsid -e 'print $^X' 2>/dev/null)"
    fact tool "python3 $(python3 -c 'import sys; print(sys.executable)' 2>/dev/null)"
    fact python "$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)"
    [ ! -r /proc/self/stat ] || fact proc yes
    for _limit in instances watches; do
        _file=/proc/sys/fs/inotify/max_user_$_limit
        [ ! -r "$_file" ] || fact "inotify-$_limit" "$(cat "$_file")"
    done
    fact inotify-used "$(ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c inotify)"
    room state "${XDG_STATE_HOME:-${HOME:-/nonexistent}/.local/state}/optio"
    room temporary "${TMPDIR:-/tmp}"
}
