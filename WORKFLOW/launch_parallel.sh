#!/usr/bin/env bash
# The work plane alone: symbols × modes × lanes. By default this starts the swarm, which does the work. With
# SWARM_ENABLED=false, or without tmux, every symbol and mode runs here, one after the other, each on all cores.
set -euo pipefail
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
command="$here/../scripts/backtest-optimize"

usage() {
    cat <<'HELP'
usage: launch_parallel.sh [--symbols A,B] [--modes A,B] [--data-path D] [--date-format F] [--timezone Z]
                          [--prescreen N] [--trials N] [--paths N] [--seed S] …

With the swarm: scripts/backtest-optimize --parallel with the same options.
With SWARM_ENABLED=false, or without tmux: every symbol × mode in the foreground, one round.

example:
  SWARM_ENABLED=false WORKFLOW/launch_parallel.sh --symbols SOL,BTC --modes aggressive,balanced --data-path ~/data

exit codes: 0 done or launched, 1 something failed, 2 usage
HELP
}

symbols="" modes="" with_data=false rest=()
original=("$@")
words=()
for word in "$@"; do
    case "$word" in
        --*=*) words+=("${word%%=*}" "${word#*=}") ;;
        *) words+=("$word") ;;
    esac
done
set -- ${words[@]+"${words[@]}"}
while [ $# -gt 0 ]; do
    case "$1" in
        --help | -h) usage; exit 0 ;;
        --symbols | --modes | --data-path | --rounds)
            [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; }
            case "$1" in
                --symbols) symbols="$2" ;;
                --modes) modes="$2" ;;
                --data-path) with_data=true; rest+=("$1" "$2") ;;
            esac
            shift 2 ;;
        --wait | --detach | --demo) shift ;;
        *) rest+=("$1"); shift ;;
    esac
done

if [ "${SWARM_ENABLED:-true}" != false ]; then
    if command -v tmux >/dev/null; then
        exec "$command" --parallel ${original[@]+"${original[@]}"}
    fi
    echo "tmux is missing: working without the swarm" >&2
fi
# The variable BACKTEST_OPTIMIZE_DATA counts if symbols are named; without a symbol, this is the demo.
if [ -n "$symbols" ] && [ "$symbols" != SYNTHETIC ] && [ -n "${BACKTEST_OPTIMIZE_DATA:-}" ]; then
    with_data=true
fi
$with_data || rest+=(--demo)
failed=0
if $with_data && [ -z "$symbols" ]; then
    echo "error: --symbols is missing; with --data-path it names what to work on, for example --symbols SOL,BTC" >&2
    exit 1
fi
IFS=, read -ra symbol_list <<<"${symbols// /}"
IFS=, read -ra mode_list <<<"${modes// /}"
for symbol in "${symbol_list[@]:-}"; do
    for mode in "${mode_list[@]:-}"; do
        "$command" --single ${symbol:+--symbol "$symbol"} ${mode:+--mode "$mode"} ${rest[@]+"${rest[@]}"} || {
            code=$?
            [ $code -eq 130 ] && exit 130
            failed=1
        }
    done
done
exit $failed
