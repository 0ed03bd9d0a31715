# Where paths lead. Stands behind act.sh.

# resolve PATH: answers "path HEX", where an absolute path leads with every symbolic link on the way followed; "path"
# alone when that cannot be said. Its last segments need not exist.
resolve() {
    _at='' # what is resolved already, without a slash at its end
    _rest=$1
    _links=0
    while [ -n "$_rest" ]; do
        _part=${_rest%%/*}
        case $_rest in
            */*) _rest=${_rest#*/} ;;
            *) _rest='' ;;
        esac
        case $_part in
            '' | .) continue ;;
            ..)
                _at=${_at%/*}
                continue
                ;;
        esac
        # That is another place for each process that asks.
        case $_at/$_part in
            /proc/self | /proc/thread-self)
                answer path
                return
                ;;
        esac
        # What stands in a directory that cannot be searched may be a link.
        if [ -d "$_at/" ] && ! [ -x "$_at/" ]; then
            answer path
            return
        fi
        if ! [ -L "$_at/$_part" ]; then
            _at=$_at/$_part
            continue
        fi
        _links=$((_links + 1))
        _to=$(readlink "$_at/$_part" && echo .) || _to=''
        if [ -z "$_to" ] || [ "$_links" -gt 40 ]; then
            answer path
            return
        fi
        _rest=${_to%??}/$_rest
        case $_rest in /*) _at='' ;; esac
    done
    answer path "$(hex "${_at:-/}")"
}
