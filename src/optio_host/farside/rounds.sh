# One look at many runs at once: only what is not as it was known is told. Stands behind processes.sh and act.sh.

# rounds: of each line on stdin, "NUMBER DIR ID OWNER MAIN SUPERVISOR" parted by tabs, say what has changed: the owner
# file ("lost-by NUMBER OWNER"), or anything else ("other NUMBER"). MAIN is "PID START", SUPERVISOR likewise or empty.
#
# All in one process: a thousand runs are looked at every few seconds.
rounds() {
    read_boot
    _proc=''
    [ -r /proc/self/stat ] && _proc=y
    _list=$(cat)
    {
        stats $(printf '%s\n' "$_list" | LC_ALL=C awk -F '\t' '
            { for (at = 5; at <= 6; at++) if (split($at, word, " ") > 1) print "/proc/" word[1] "/stat" }')
        printf '%s\n' "$_list"
    } | _boot=$_boot _proc=$_proc LC_ALL=C awk -F '\t' "$_awk_stats"'
        function first(file, text) {
            text = ""
            if ((getline text < file) <= 0) text = ""
            close(file)
            return text
        }
        function runs(known, word) {
            split(known, word, " ")
            return known == "" || look_at(word[1]) && part[20] == word[2]
        }
        {
            looked++
            owner = first($2 "/owner")
            if (ENVIRON["_proc"] == "" || first($2 "/id") != $3 || owner == "") print "optio-job other", $1
            else if ($4 != "" && owner != $4) print "optio-job lost-by", $1, owner
            else if (!runs($5) || !runs($6)) print "optio-job other", $1
        }
        END { print "optio-job looked", looked + 0 }'
}
