# Follows files on the far side for one driver where there is no python3. ssh/frames.py describes what is read and said.
# For a handful of files: each costs some processes at every tick, and the driver ticks five times a second. It opens a
# file anew at each look, so of a file that is replaced, what was appended since the last tick is not read; and a FIFO that
# is put there between its being looked at and its being opened stops it, until the driver replaces it.

# state_of PATH: prints "DEVICE:INODE SIZE MTIME".
if stat -Lc %d / >/dev/null 2>&1; then
    state_of() { stat -Lc '%d:%i %s %Y' "$1" 2>/dev/null; }
elif stat -Lf %d / >/dev/null 2>&1; then
    state_of() { stat -Lf '%d:%i %z %m' "$1" 2>/dev/null; }
else
    state_of() { ls -dniL "$1" 2>/dev/null | { read -r inode _ _ _ _ size _ && echo "0:$inode $size 0"; }; }
fi

# refuse ID EPOCH REASON
refuse() {
    echo "refused $*"
    forget "$1"
}

# forget ID
forget() {
    left=
    for each in $ids; do
        [ "$each" = "$1" ] || left="$left $each"
    done
    ids=$left
}

# look ID: sends what is new; fails when nothing is.
look() {
    eval "path=\$path_$1 epoch=\$epoch_$1 offset=\$offset_$1 credit=\$credit_$1 seen=\$seen_$1"
    [ "$credit" -gt 0 ] && [ -e "$path" ] || return 1
    if [ ! -f "$path" ]; then
        refuse "$1" "$epoch" "it is no regular file, so it cannot be followed; remove it"
        return 1
    elif [ ! -r "$path" ]; then
        refuse "$1" "$epoch" "it cannot be read: Permission denied"
        return 1
    fi
    now=$(state_of "$path") && [ "$now" != "$seen" ] || return 1
    file=${now%% *} size=${now#* } checked=64 hex=
    size=${size%% *}
    [ "$offset" -ge 64 ] || checked=$offset
    from=$((offset - checked))
    if [ "$size" -ge "$offset" ]; then
        # dd reaches the place by seeking; od, because no variable holds a NUL.
        hex=$(dd if="$path" bs=32768 skip=$((from / 32768)) count=2 2>/dev/null |
            tail -c +$((from % 32768 + 1)) | od -An -v -tx1 | tr -d ' \t\n')
        again=$(state_of "$path")
        [ "${again%% *}" = "$file" ] || return 1
    fi
    length=$((${#hex} / 2))
    [ "$checked" -le "$length" ] || checked=$length
    length=$((length - checked))
    echo "hexlook $1 $epoch $file $size $offset $checked $length"
    printf %s "$hex"
    # 256: LOOK_COST. A file that is not read to its end is looked at again at once.
    offset=$((offset + length)) credit=$((credit - length - 256))
    [ "$offset" -ge "$size" ] || [ "$length" -eq 0 ] || now=
    eval "offset_$1=\$offset credit_$1=\$credit seen_$1=\$now"
}

# read_on ID
read_on() {
    while look "$1"; do :; done
    eval "[ \$sync_$1 -eq 1 ] && [ \$credit_$1 -gt 0 ]" || return 0
    eval "sync_$1=0; echo \"synced $1 \$epoch_$1\""
}

follow_files() {
    LC_ALL=C
    export LC_ALL
    ids=
    echo 'alive sh'
    while read -r word id more offset credit path; do
        case $word in
        follow)
            # The dot keeps line ends at the end of a name.
            path=$(printf '%b.' "$path")
            path=${path%.}
            eval "path_$id=\$path epoch_$id=\$more offset_$id=\$offset credit_$id=\$credit seen_$id= sync_$id=0"
            forget "$id"
            ids="$ids $id"
            read_on "$id"
            ;;
        tick)
            for each_id in $ids; do
                read_on "$each_id"
            done
            echo 'alive sh'
            ;;
        unfollow) forget "$id" ;;
        quit) return ;;
        *)
            case " $ids " in
            *" $id "*)
                [ "$word" = sync ] && eval "sync_$id=1" || eval "credit_$id=\$((credit_$id + more))"
                read_on "$id"
                ;;
            esac
            ;;
        esac
    done
}
