# Runs on the device as long as the connection lasts, in a POSIX shell. Creates the folder
# for everything, prints its name, and at the end removes it, with whatever still runs in
# it: standard input closes with the connection, and if the network just goes silent, the
# heartbeats on it stop.
#
# $1: where to create the folder, empty for the first writable place.
# $2, $3: it looks for a heartbeat every $2 seconds; $3 times without one mean that the
# connection is lost.

set -u
umask 077
for base in "$1" "${TMPDIR:-}" /var/tmp /tmp "${HOME:-}"; do
    [ -n "$base" ] && [ -d "$base" ] && [ -w "$base" ] && break
    if [ -n "$1" ]; then
        echo "sbn-no-folder $base"
        exit 1
    fi
done
folder=$(mktemp -d "$base/sbn.XXXXXXXX") || {
    echo "sbn-no-folder $base"
    exit 1
}

clean_up() {
    trap '' HUP INT TERM PIPE
    # A shell that was just forked may lose any other signal.
    { kill -9 "$reader" "$watchdog"; wait "$reader" "$watchdog"; } 2>/dev/null
    for try in 1 2 3 4 5; do
        for file in "$folder"/*.group; do
            [ -e "$file" ] && read -r group <"$file" && kill -9 "-$group"
        done
        rm -rf "$folder"
        [ -e "$folder" ] || break
        sleep 1  # what was just killed, or a copy just cut off, may still hold a file
    done 2>/dev/null
    [ -e "$folder" ] || echo sbn-removed
}
reader= watchdog=
trap clean_up EXIT
trap 'exit 1' HUP INT TERM PIPE

# Children started with & read from nowhere unless told otherwise.
exec 3<&0
while read -r beat <&3; do : >"$folder/beat"; done &
reader=$!
(
    missed=0
    while [ "$missed" -lt "$3" ]; do
        sleep "$2"
        if rm "$folder/beat"; then missed=0; else missed=$((missed + 1)); fi
    done
    kill -9 "$reader"
) >/dev/null 2>&1 3<&- &
watchdog=$!

load= rest=
read -r load rest </proc/loadavg
echo "sbn-folder $folder $load"
wait "$reader" 2>/dev/null
