# Directories and what is in them. Stands behind files.sh.

# make_directories PATH...: each with mode 0700.
make_directories() {
    for _each in "$@"; do
        mkdir -p -m 700 -- "$_each" && chmod 700 "$_each" || refuse failed
    done
    answer done
}

# make_workdir PATH: where an archive is restored: never through a link.
make_workdir() {
    [ ! -L "$1" ] || refuse link
    [ -d "$1" ] || make_directories "$1"
    answer done
}

remove_file() {
    if [ -d "$1" ] && [ ! -L "$1" ]; then refuse directory; fi
    rm -f -- "$1"
    if [ -e "$1" ] || [ -L "$1" ]; then refuse failed; fi
    answer done
}

# remove PATH: a tree, directories that forbid it (Go's module cache is 0555) included.
remove() {
    rm -rf -- "$1" 2>/dev/null && return
    [ -L "$1" ] || find "$1" -type d -exec chmod u+rwx {} \;
    rm -rf -- "$1"
}

remove_tree() {
    remove "$1" || refuse failed
    answer done
}

# place WORKDIR PATH: where a path below a directory leads; the answer is in hexadecimal, since it may hold anything.
place() {
    resolve "$1" || refuse "$_why"
    _directory=${_at%/}
    resolve "$1/$2" || refuse "$_why"
    case $_at in "$_directory"/*) ;; *) refuse outside ;; esac
    answer at "$(printf '%s' "$_at" | od -An -v -tx1 | tr -d ' \n')"
}

# list DIRECTORY: an entry for each path below, begun by _nonce: kind and mode, size, time of last change, path; for each
# symbolic link its target too.
list() {
    [ -d "$1" ] || refuse missing
    cd -P -- "$1" || refuse unreadable
    answer listing
    if find . -prune -printf '' 2>/dev/null; then
        find . ! -name . -printf "$_nonce"' find %y%m %s %T@ %p\0%l\0'
    else
        case $(stat -c %a / 2>/dev/null) in
            '') find . ! -name . -exec stat -f "$_nonce stat %Xp %z %m %N" {} + ;;
            *) find . ! -name . -exec stat -c "$_nonce stat %f %s %Y %n" {} + ;;
        esac && find . -type l -exec sh -c 'for l do printf "%s link %s\0" "$0" "$l"; readlink "$l"; done' "$_nonce" {} +
    fi
    printf '\noptio-file %s %s\n' "$_nonce" $?
}

# pack DIRECTORY: the files named on stdin, each name ended by NUL, as tar archives one behind the other.
pack() {
    cd -P -- "$1" || refuse missing
    answer archive
    xargs -0 tar -cf -
    printf '\noptio-file %s %s\n' "$_nonce" $?
}

# sums DIRECTORY: SHA-256 of the files named on stdin likewise.
sums() {
    cd -P -- "$1" || refuse missing
    answer sums
    if command -v openssl >/dev/null 2>&1; then xargs -0 openssl dgst -sha256 -r; else xargs -0 sha256sum; fi
    printf '\noptio-file %s %s\n' "$_nonce" $?
}

# unpack DIRECTORY STAGING COMMIT BYTES: stdin, a tar archive with BYTES in its files, into the new directory STAGING/new;
# its last member is the file COMMIT, without which only a part of it came. What is not moved on goes when this ends.
unpack() {
    mkdir -p -- "$1" && cd -P -- "$1" || refuse failed
    room "$4"
    _staging=./$2
    mkdir -m 700 "$_staging" && mkdir -m 700 "$_staging/new" "$_staging/old" || refuse failed
    trap clear_staging EXIT
    trap 'exit 1' TERM HUP INT PIPE
    answer ready
    (cd "$_staging/new" && tar -xpof - && cat >/dev/null) || refuse failed
    [ -f "$_staging/new/$3" ] || refuse cut
    rm -f "$_staging/new/$3"
}

# clear_staging: all but old content that could not be put back, which is the only copy there is.
clear_staging() {
    if [ -d "$_staging/old" ] && ! rmdir "$_staging/old"; then return; fi
    remove "$_staging"
}

# move_in DIRECTORY NAME...: from the staging directory to the same place below this one.
move_in() {
    _into=./$1
    shift
    if [ -L "$_into" ] || [ ! -d "$_into" ]; then refuse exchanged; fi
    for _each do
        shift
        set -- "$@" "$_staging/new/$_into/$_each"
    done
    mv -f -- "$@" "$_into/" || refuse failed
}

# exchange: the content of this directory for that of the staging directory.
exchange() {
    trap '' TERM HUP INT PIPE # begun, it is carried through: half of it would be the old content, and half the new
    if ! move_all . "$_staging/old"; then
        move_all "$_staging/old" . || refuse stuck
        refuse failed
    fi
    if ! move_all "$_staging/new" .; then
        { move_all . "$_staging/new" && move_all "$_staging/old" .; } || refuse stuck
        refuse failed
    fi
    remove "$_staging/old" || refuse failed
}

# move_all FROM TO: every entry but the staging directory.
move_all() {
    for _each in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -e "$_each" ] || [ -L "$_each" ]; then
            [ "$_each" = "$_staging" ] || move "$_each" "$2" || return 1
        fi
    done
}

# move FILE DIRECTORY: a directory that changes its parent is written to (its "..").
move() {
    _locked=''
    if [ -d "$1" ] && [ ! -L "$1" ]; then
        _locked=$(mode_of "$1")
        chmod u+rwx "$1" || return 1
    fi
    mv -f -- "$1" "$2/" || return 1
    [ -z "$_locked" ] || chmod "$_locked" "$2/${1##*/}"
}

# remove_each PATH...: files, links and directories that are empty by then.
remove_each() {
    for _each do
        if [ -d "$_each" ] && [ ! -L "$_each" ]; then
            rmdir "$_each" 2>/dev/null || [ -n "$(ls -A "$_each")" ] || return 1
        else
            rm -f -- "$_each" || return 1
        fi
    done
}
