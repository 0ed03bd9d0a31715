# What the file commands have in common. Names and paths come as variables or arguments and are never evaluated.
#
# Every answer is a line "optio-file KEY VALUE"; the reasons that programs give stay on stderr, for people.

LC_ALL=C
export LC_ALL
unset CDPATH

answer() {
    printf 'optio-file %s\n' "$*"
}

refuse() {
    answer "$@"
    exit 0
}

# mode_of FILE, size_of FILE, state_of FILE: of what it leads to. The state changes when the file or its content does.
if stat -c %a / >/dev/null 2>&1; then
    mode_of() { stat -L -c %a -- "$1"; }
    size_of() { stat -L -c %s -- "$1"; }
    state_of() { stat -L -c '%d:%i:%s:%y' -- "$1"; }
else
    mode_of() { stat -L -f %Lp -- "$1"; }
    size_of() { stat -L -f %z -- "$1"; }
    state_of() { stat -L -f '%d:%i:%z:%Fm' -- "$1"; }
fi

# sha256: of stdin. openssl uses the processor's instructions for it and is four times as fast as sha256sum.
sha256() {
    if command -v openssl >/dev/null 2>&1; then
        openssl dgst -sha256 -r
    elif command -v sha256sum >/dev/null 2>&1; then
        sha256sum
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256
    elif command -v python3 >/dev/null 2>&1; then
        python3 -c 'import hashlib, sys; print(hashlib.file_digest(sys.stdin.buffer, "sha256").hexdigest())'
    else
        echo none
    fi
}

# sum_of FILE: sets _sum.
sum_of() {
    _sum=$(sha256 <"$1") || exit 1
    _sum=${_sum%% *}
    [ "$_sum" != none ] || refuse no-sha256
}

# room BYTES: is there room here for so many? Some file systems do not tell.
room() {
    _free=$(df -Pk . 2>/dev/null | sed -n '$s/.* \([0-9][0-9]*\)  *[0-9-]*%.*/\1/p')
    [ -z "$_free" ] || [ $((_free * 1024)) -ge "$1" ] || refuse full $((_free * 1024))
}

# resolve PATH: sets _at to where it leads, symbolic links followed; what does not exist is taken as it stands.
# False when links lead in a circle or a directory on the way may not be entered (_why).
resolve() {
    _at='' _rest=$1 _links=0
    while [ -n "$_rest" ]; do
        _segment=${_rest%%/*}
        case $_rest in */*) _rest=${_rest#*/} ;; *) _rest='' ;; esac
        case $_segment in
            '' | .) continue ;;
            ..) _at=${_at%/*}; continue ;;
        esac
        if [ -d "$_at/" ] && [ ! -x "$_at/" ]; then _why=unreadable; return 1; fi
        if [ -L "$_at/$_segment" ]; then
            _links=$((_links + 1))
            [ "$_links" -le 40 ] || { _why=circle; return 1; }
            # The mark keeps line ends at the end of the target.
            _target=$(readlink "$_at/$_segment" && echo /) || { _why=unreadable; return 1; }
            _target=${_target%?/}
            case $_target in /*) _at='' ;; esac
            _rest=$_target/$_rest
        else
            _at=$_at/$_segment
        fi
    done
    : "${_at:=/}"
}
