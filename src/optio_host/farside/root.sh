# A directory on the host that is only its user's: made, or looked at. Stands behind act.sh.
#
# The rules are those of `paths.ensure_private_dir`, for the far side.

# private_root ROOT: make ROOT and what is missing on the way, or see that nobody else could exchange it.
#
# "": the directory where sessions stand when none is chosen; that one is set to 0700, a chosen one keeps its mode.
private_root() {
    _root=$1 _user=$(id -u)
    if [ -z "$_root" ]; then
        case ${XDG_STATE_HOME-} in
            /*) _root=$XDG_STATE_HOME/optio ;;
            *) _root=${HOME-}/.local/state/optio ;;
        esac
        case $_root in /.local/*) refuse broken "$(hex '~')" "the login has no home directory (HOME is not set)" ;; esac
    fi
    walk "${_root%/*}"
    _root=$_at/${_root##*/}
    make "$_root"
    see "$_root"
    case $_mode in d*) ;; *) not_ours "$_root" "must be a directory of this user and is something else; move it away" ;; esac
    [ "$_uid" = "$_user" ] || not_ours "$_root" "belongs to user $_uid, not to this one; choose another place"
    others_may_write && not_ours "$_root" "can be written by others, who may have put things there; look, then chmod 700 it"
    case $1:$_mode in :????------*) ;; :*) chmod 700 "$_root" ;; esac
    answer root "$(hex "$_root")"
}

not_ours() {
    refuse refused "$(hex "$1")" "$2"
}

# walk DIRECTORY: check every directory on the way, make what is missing, and resolve the links: _at.
walk() {
    _rest=$1/ _at='' _links=0
    see /
    check_above /
    while [ -n "$_rest" ]; do
        _segment=${_rest%%/*} _rest=${_rest#*/}
        case $_segment in
            '' | .) continue ;;
            ..) _at=${_at%/*}; continue ;;
        esac
        _entered=$_at/$_segment
        make "$_entered"
        see "$_entered"
        check_above "$_entered"
        if [ ! -h "$_entered" ]; then
            _at=$_entered
            continue
        fi
        _links=$((_links + 1))
        # The limit of Linux, path_resolution(7).
        [ "$_links" -le 40 ] || not_ours "$1" "its symbolic links lead in a circle"
        _target=$(readlink "$_entered" && echo .)
        _target=${_target%?.}
        _rest=$_target/$_rest
        case $_target in /*) _at='' ;; esac
    done
}

check_above() {
    case $_uid in
        0 | "$_user") ;;
        *) not_ours "$1" "belongs to user $_uid, who could exchange what is below; choose another place" ;;
    esac
    case $_mode in
        l* | d????????[tT]*) return ;;
        d*) ;;
        *) not_ours "$1" "is no directory, and one is needed here; move it away or choose another place" ;;
    esac
    others_may_write && not_ours "$1" "can be written by others, who could exchange what is below; chmod go-w it"
}

make() {
    [ -e "$1" ] || [ -h "$1" ] || _said=$(mkdir -m 700 "$1" 2>&1) || [ -e "$1" ] || refuse broken "$(hex "$1")" "${_said##*: }"
}

# see PATH: _mode, _uid and _gid of what stands there, no link followed.
see() {
    set -f
    set -- $(LC_ALL=C ls -ldn "$1" 2>/dev/null)
    set +f
    _mode=${1-} _uid=${3-} _gid=${4-}
}

others_may_write() {
    case $_mode in
        ????????w*) return 0 ;;
        ?????w*) ! is_private_group ;;
        *) return 1 ;;
    esac
}

# is_private_group: whether the group _gid is the user's alone: many systems give each user one, and a umask that lets it write.
is_private_group() {
    [ "$_gid" != 0 ] || return 0
    [ "$(id -g)" = "$_gid" ] && [ "$(id -gn)" = "$(id -un)" ] || return 1
    { getent group "$_gid" 2>/dev/null || cat /etc/group; } | awk -F: -v group="$_gid" -v user="$(id -un)" '
        $3 == group { found = 1; if ($4 != "" && $4 != user) found = 2 }
        END { exit found != 1 }'
}
