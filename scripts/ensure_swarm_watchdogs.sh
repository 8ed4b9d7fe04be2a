#!/usr/bin/env bash
# Make sure that all loops of the swarm run. The script is made for shell start-up: silent and under 100 ms when all is
# well. It never installs or asks anything, and never restarts a swarm that was stopped on purpose.
set -u
checkout="$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")"
venv="${VENV_PATH:-$checkout/state/.venv}"
python="${venv%/bin/activate}/bin/python"
export RESULTS_ROOT="${RESULTS_ROOT:-$checkout/state/run}"
state="${STATE_ROOT:-$RESULTS_ROOT/state}"
[ -e "$state/stopped.json" ] && [ $# -eq 0 ] && exit 0
if [ ! -x "$python" ]; then
    echo "ensure_swarm_watchdogs: there is no $python; make it with: $(printf %q "$checkout/scripts/check") --help" >&2
    exit 1
fi
if ! command -v tmux >/dev/null; then
    echo "ensure_swarm_watchdogs: tmux is not installed; $(printf %q "$checkout/scripts/start_swarm_watchdogs.sh") installs it" >&2
    exit 1
fi
cd "$checkout" || exit 1
# -S and -E: without site-packages Python starts in 15 ms.
[ $# -eq 0 ] && "$python" -S -E -X utf8 -c 'import sys; from scripts.infra.quick_look import all_well; sys.exit(not all_well(sys.argv[1]))' "$state" && exit 0
exec "$python" -c 'import runpy, sys; from state.host import process; process.begin(); sys.argv[0] = "scripts/backtest-optimize"; sys.exit(runpy.run_path("scripts/backtest-optimize", run_name="command")["main"](["ensure", *sys.argv[1:]]))' "$@"
