# Whether sessions still move: several signs of each, for many at once. Stands behind processes.sh and act.sh.

# signs: of each line on stdin, "NUMBER DIRECTORY RUN" parted by tabs, the sizes of log and output ("log NUMBER SIZE" and
# so on), and the processor time that the program's group has used, in ticks ("cpu NUMBER TICKS").
signs() {
    _list=$(cat)
    printf '%s\n' "$_list" | LC_ALL=C awk -F '\t' '
        # One ls for many files: names are given to it in quotes, and come back behind the blank that ends the time.
        function look(command, line, field) {
            while ((command | getline line) > 0) {
                split(line, field, " ")
                for (at = index(line, " /"); at > 0 && !(substr(line, at + 1) in number); ) {
                    more = index(substr(line, at + 1), " /")
                    if (more == 0) break
                    at += more
                }
                path = substr(line, at + 1)
                if (path in number) print "optio-job " kind[path], number[path], field[5]
            }
            close(command)
        }
        function add(path, what) {
            number[path] = $1; kind[path] = what
            gsub(/\047/, "\047\\\047\047", path)
            words = words " \047" path "\047"
        }
        function look_at_them() {
            if (words != "") look("LC_ALL=C QUOTING_STYLE=literal ls -ln --" words " 2>/dev/null")
            words = ""
        }
        { add($2 "/optio.log", "log"); add($3 "/stdout", "stdout"); add($3 "/stderr", "stderr") }
        length(words) > 60000 { look_at_them() } # an argument of sh has at most 131072 bytes
        END { look_at_them() }'
    if [ -r /proc/self/stat ]; then
        { stats /proc/[0-9]*/stat; printf '%s\n' "$_list"; } | LC_ALL=C awk -F '\t' "$_awk_stats"'
        {
            file = $3 "/pid"; line = ""
            if ((getline line < file) > 0) { split(line, word, " "); run[word[1]] = $1 }
            close(file)
        }
        END {
            for (pid in stat) if (look_at(pid) && (part[3] in run)) used[part[3]] += part[12] + part[13]
            for (group in run) print "optio-job cpu", run[group], used[group] + 0
        }'
    fi
    answer looked
}
