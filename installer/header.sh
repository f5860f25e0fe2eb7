#!/bin/sh
{
# The shell text before the payload of an installer. It answers the question for help, looks at the
# machine, cuts the program that installs out of this very file, puts it where programs can be
# started, and replaces itself by it. All else is decided there, once digests are verified.
#
# One group, so that a file which is cut off here is a syntax error and nothing of it runs. What
# follows the group is never read by the shell.
set -u

# However the shell ends, also by what damage has made of a line below, its status is 1 or 2. They are
# written so that one wrong bit does not make them 0.
failed=$((4 - 3))
refused=$((5 - 3))
outcome=$failed
folder=
# shellcheck disable=SC2317 # The traps call it.
ended() {
    remove
    exit "$outcome"
}
remove() {
    if [ "$folder" ]; then
        rm -f "$folder/runtime"
        rmdir "$folder"
        folder=
    fi
}
trap ended EXIT
trap ended HUP INT TERM

name=@NAME@
version=@VERSION@
platform=@PLATFORM@
system=@SYSTEM@
machines=@MACHINES@
runtime_start=@RUNTIME_START@
runtime_blocks=@RUNTIME_BLOCKS@
runtime_cksum=@RUNTIME_CKSUM@
usage=@USAGE@

fail() {
    printf 'error: %s\n' "$1" >&2
    exit
}

refuse() {
    outcome=$refused
    fail "$1"
}

help() {
    outcome=$refused
    printf '%s\n' "$usage"
    exit
}

# Only what has to be known before the program can run: the wish for help, and the prefix, beside
# which there may be room.
prefix=
value=
for argument do
    if [ "$value" ]; then
        prefix=$argument
        value=
        continue
    fi
    case $argument in
    --) break ;;
    --help) help ;;
    --prefix) value=expected ;;
    --prefix=*) prefix=${argument#*=} ;;
    --*) ;;
    -*)
        case ${argument%%p*} in *h*) help ;; esac
        case $argument in *p*)
            prefix=${argument#*p}
            [ "$prefix" ] || value=expected
            ;;
        esac
        ;;
    esac
done

found=$(uname -s)
[ "$found" = "$system" ] ||
    refuse "$name $version is for $platform, but this machine runs $found"
found=$(uname -m)
case " $machines " in
*" $found "*) ;;
*) refuse "$name $version is for $platform, but this machine is $found" ;;
esac

for tool in dd cksum chmod mkdir rm rmdir; do
    command -v "$tool" >/dev/null || fail "the command $tool is missing"
done

# A shell looks for its script in the current folder, then in PATH, and names it as it was asked.
file=$0
case $file in
*/*) ;;
*) [ -e "$file" ] || file=$(command -v -- "$file") || file= ;;
esac
# No `-f FILE` and no `<FILE`: one wrong bit away they are `-& FILE` and `|FILE`, which start the file, and
# with it a chain of installers that start each other.
line=
[ -r "$file" ] && ! [ -p "$file" ] && ! [ -c "$file" ] &&
    line=$(dd if="$file" bs=9 count=1 2>/dev/null)
[ "$line" = '#!/bin/sh' ] ||
    fail 'the installer cannot be piped into a shell: download it first, then run: sh FILE'

# The nearest folder above the prefix that exists. A loop that would end by its own condition could
# be damaged into one that does not.
case $prefix in
'' | /*) parent=$prefix ;;
*) parent=./$prefix ;;
esac
for _ in 1 2 3 4 5 6 7 8 9; do
    [ -d "$parent/" ] || parent=${parent%/*}
done

tried=
for place in "${TMPDIR:-/tmp}" /var/tmp "${prefix:+$parent/}" "${HOME:-}"; do
    case $place in
    '') continue ;;
    /*) ;;
    *) place=./$place ;;
    esac
    new="${place%/}/.$name-$$"
    if ! (umask 077 && mkdir "$new") 2>/dev/null; then
        reason='no folder can be made there'
    elif folder=$new && ! dd if="$file" of="$new/runtime" bs=4096 \
        skip="$runtime_start" count="$runtime_blocks" 2>/dev/null; then
        reason='there is no room'
    elif found=$(cksum "$new/runtime"); [ "${found% "$new/runtime"}" != "$runtime_cksum" ]; then
        fail "$file is damaged or cut off, download it again: cksum of its program is ${found% "$new/runtime"}, expected $runtime_cksum"
    elif ! chmod 700 "$new/runtime" || ! "$new/runtime" --probe </dev/null >/dev/null 2>&1; then
        reason='programs cannot be started there'
    else
        exec "$new/runtime" --installer "$file" --copy "$new/runtime" -- "$@"
    fi
    remove
    tried="$tried
  $place: $reason"
done
fail "there is no place for the program that installs; give one with TMPDIR=FOLDER; tried were:$tried"
# shellcheck disable=SC2317 # Where a damaged line above does not end the script, this does.
exit
}
