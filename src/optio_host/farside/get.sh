# A file that leaves: opened first and judged as it is open. Stands behind files.sh.

# send PATH WITHIN LIMIT: its bytes, then a line that nobody else can know: _nonce, what became of it, its SHA-256.
send() {
    judge "$1"
    exec 6>&1
    _opened=''
    # Opened twice, for the two that read it.
    {
        _opened=1
        if [ -e /proc/self/fd/3 ]; then
            _first=/proc/self/fd/3 _second=/proc/self/fd/4
        else
            _first=$1 _second=$1
        fi
        judge "$_first"
        _state=$(state_of "$_first") || refuse kind something
        [ "$_state" = "$(state_of "$_second")" ] || refuse exchanged
        [ -z "$2" ] || inside "$2" "$1"
        _size=$(size_of "$_first")
        [ -z "$3" ] || [ "$_size" -le "$3" ] || refuse large "$_size"
        answer file "$_size" "$(mode_of "$_first")"
        _sum=$(
            sha256 <&4 &
            cat <&3 >&6 || echo unread
            wait
        )
        case $_sum in
            *unread) _end=unread ;;
            none*) _end=no-sha256 ;;
            *)
                _end=exchanged
                # The file that was open is as it was, and still has its name.
                [ "$_state" = "$(state_of "$_first" 2>/dev/null)" ] && [ "$_state" = "$(state_of "$1" 2>/dev/null)" ] && _end=whole
                ;;
        esac
        printf '\noptio-file %s %s %s\n' "$_nonce" "$_end" "${_sum%% *}"
    } 3<"$1" 4<"$1"
    [ -n "$_opened" ] || refuse unreadable
}

# judge FILE: only regular files leave.
judge() {
    if [ -f "$1" ]; then
        [ -r "$1" ] || refuse unreadable
    elif [ -d "$1" ]; then refuse kind directory
    elif [ -p "$1" ]; then refuse kind fifo
    elif [ -S "$1" ]; then refuse kind socket
    elif [ -c "$1" ]; then refuse kind character-device
    elif [ -b "$1" ]; then refuse kind block-device
    elif [ -e "$1" ]; then refuse kind something
    else
        resolve "$1" || refuse "$_why"
        refuse missing
    fi
}

# inside DIRECTORY PATH: the open file lies below the directory, both with their links followed.
inside() {
    resolve "$1" || refuse outside
    _directory=${_at%/}
    if [ "$_first" = "$2" ]; then
        resolve "$2" || refuse outside
        [ "$(state_of "$_at")" = "$_state" ] || refuse exchanged
    else
        _at=$(readlink "$_first" && echo /) || refuse outside
        _at=${_at%?/}
    fi
    case $_at in "$_directory"/*) ;; *) refuse outside ;; esac
}
