# One look at many runs at once: only what is not as it was known is told. Stands behind act.sh.

# rounds: of each line on stdin, "NUMBER DIR ID OWNER MAIN SUPERVISOR" parted by tabs, say what has changed: the owner
# file ("lost-by NUMBER OWNER"), or anything else ("other NUMBER"). MAIN is "PID START", SUPERVISOR likewise or empty.
#
# All in one process: a thousand runs are looked at every few seconds.
rounds() {
    read_boot
    _proc=''
    [ -r /proc/self/stat ] && _proc=y
    _boot=$_boot _proc=$_proc LC_ALL=C awk -F '\t' '
        function first(file, text) {
            text = ""
            if ((getline text < file) <= 0) text = ""
            close(file)
            return text
        }
        function started(pid, file, text, each, part) { # as look_at in processes.sh: "" when it is gone or a zombie
            if (pid !~ /^[0-9]+$/) return ""
            file = "/proc/" pid "/stat"; text = ""
            while ((getline each < file) > 0) text = text each " "
            close(file)
            sub(/^.*\) /, "", text)
            split(text, part, " ")
            return part[1] ~ /^[ZXx]/ ? "" : part[20]
        }
        function runs(known, word) {
            split(known, word, " ")
            return known == "" || started(word[1]) == word[2]
        }
        {
            owner = first($2 "/owner")
            if (ENVIRON["_proc"] == "" || first($2 "/id") != $3) print "optio-job other", $1
            else if ($4 != "" && owner != $4) print "optio-job lost-by", $1, owner
            else if (!runs($5) || !runs($6)) print "optio-job other", $1
        }
        END { print "optio-job looked", NR }'
}
