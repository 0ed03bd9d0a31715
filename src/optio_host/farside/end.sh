# Ending a command with all that it started. Stands behind processes.sh.

# end_tree TAG PAUSES PID GROUP START: TERM, looks after each of PAUSES seconds (none: at once), then KILL and looks
# until nothing is left. Prints the pids that are left after some 5 s, then "optio-end". PID is empty when the command
# was not seen to begin.
end_tree() {
    _id=$1 _dir=/nonexistent _main=$3 _main_group=$4 _main_start=$5
    read_boot
    _main_boot=$_boot
    if [ -n "$2" ] && ! nothing_found signal_processes TERM; then
        for _pause in $2; do
            sleep "$_pause"
            ! nothing_found processes || break
        done
    fi
    for _pause in 0.02 0.05 0.1 0.2 0.5 0.5 0.5 1 1 1; do
        ! nothing_found signal_processes KILL || { echo optio-end; return; }
        sleep "$_pause"
    done
    _left=$(processes) || return 1
    printf '%s\n' "$_left" | sed 's/ .*//'
    echo optio-end
}
