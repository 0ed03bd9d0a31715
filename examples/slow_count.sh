#!/bin/sh
# Counts to 60, a number a second: something to interrupt. It knows nothing of Optio; it appends lines to a file.
#
#   examples/slow_count.sh [LAST [SECONDS]]     count to LAST, with a pause of so many seconds behind each number
set -eu
last=${1:-60}
pause=${2:-1}
log=${OPTIO_LOG:-/dev/stdout}
directory=${OPTIO_DELIVERABLES:-.}

number=0
while [ "$number" -lt "$last" ]; do
    number=$((number + 1))
    echo "STATUS: $((100 * number / last))% $number" >>"$log"
    echo "$number $(date)" >>"$directory/count.txt"
    sleep "$pause"
done
if [ -n "${OPTIO_DELIVERABLES-}" ]; then
    echo "DELIVERABLE: $directory/count.txt" >>"$log"
fi
echo "DONE: counted to $last" >>"$log"
