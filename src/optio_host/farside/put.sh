# A file that arrives. Stands behind files.sh.
#
# _target is the path, _parent and _name its two parts; _part is the temporary name beside it, _keep the name under which
# a broken copy waits to be continued, or empty. The bytes on stdin end with the SHA-256 of all before it, 64 digits:
# so an end of input alone, which is all that a broken link is here, never makes a file. _nonce twice in its place says
# that the copy is given up.

# receive SIZE EXECUTABLE WANTED: SIZE in bytes, empty when unknown; EXECUTABLE: executable bits of the source, octal;
# WANTED: a SHA-256 with which the target is as it shall be, or empty.
receive() {
    [ ! -d "$_target" ] || refuse directory
    [ -L "$_target" ] || [ ! -e "$_target" ] || [ -f "$_target" ] || refuse special
    _mode=''
    if [ -f "$_target" ] && [ ! -L "$_target" ]; then
        _mode=$(mode_of "$_target") || exit 1
        _mode=$((0$_mode & 0777))
        if [ -n "$3" ] && [ "$(size_of "$_target")" = "${1:-$(size_of "$_target")}" ]; then
            sum_of "$_target"
            [ "$_sum" != "$3" ] || refuse same
        fi
    fi
    : "${_mode:=$(((0666 & ~0$(umask)) | (0$2 & (0666 & ~0$(umask)) >> 2)))}"
    mkdir -p -- "$_parent" && cd -P -- "$_parent" || refuse failed
    umask 077
    trap leave EXIT
    # Ended on purpose; a broken link gives an end of input.
    trap '_keep=""; exit 1' TERM INT
    # An answer to a link that has broken: without this a shell may end of it and not clear up.
    trap 'exit 1' PIPE HUP
    begin "$1"
    cat >>"./$_part" || { _keep=''; refuse failed; }
    _size=$(($(size_of "./$_part") - 64))
    _told=$(tail -c 64 "./$_part" | tr -cd 0-9a-f)
    [ "$_told" != "$_nonce$_nonce" ] || { _keep=''; refuse abandoned; }
    [ "$_size" -ge "${1:-0}" ] || refuse cut
    dd if=/dev/null of="./$_part" bs=1 seek="$_size" 2>/dev/null || refuse failed
    (sync -d "./$_part" 2>/dev/null || sync) &
    sum_of "./$_part"
    wait "$!"
    [ "$_sum" = "$_told" ] || { _keep=''; refuse differs "$_sum"; }
    chmod "$(printf %o "$_mode")" "./$_part" || refuse failed
    replace || refuse failed
    _part=''
    answer done "$_sum"
}

# begin SIZE: the part, empty or as an earlier copy of the same bytes left it.
begin() {
    _have=0
    if [ -n "$_keep" ]; then
        find . ! -name . -prune -type f -name '.*.optio-part' -mtime +1 -exec rm -f {} +
        # Moved first: of two copies only one has it then.
        [ -e "./$_part" ] || mv -- "./$_keep" "./$_part" 2>/dev/null
        if [ -f "./$_part" ] && [ ! -L "./$_part" ] && [ -O "./$_part" ]; then
            _have=$(size_of "./$_part")
            if [ "$_have" -gt "$1" ]; then # it was cut behind the bytes
                dd if=/dev/null of="./$_part" bs=1 seek="$1" 2>/dev/null || exit 1
                _have=$1
            fi
        fi
    fi
    room $((${1:-0} - _have))
    if [ "$_have" -gt 0 ]; then
        sum_of "./$_part"
        answer ready "$_have" "$_sum"
        read -r _from || exit 1
        [ "$_from" = "$_have" ] || make_part
    else
        make_part
        answer ready 0
    fi
}

# make_part: anew, and only if it is ours to make.
make_part() {
    rm -rf -- "./$_part"
    (set -C && : >"./$_part") || refuse failed
}

# leave: what was not put in its place waits under its other name, or goes.
leave() {
    if [ -f "./$_part" ]; then
        if [ -n "$_keep" ]; then mv -f -- "./$_part" "./$_keep"; else rm -f -- "./$_part"; fi
    fi
}

# replace: the part gets its name. A directory that came there meanwhile is not entered, where mv can be told so.
replace() {
    mv -fT -- "./$_part" "./$_name" 2>/dev/null && return
    [ ! -d "./$_name" ] && mv -f -- "./$_part" "./$_name"
}
