#!/usr/bin/env bash
# Bring the swarm back by itself after a reboot or the death of tmux; --uninstall removes all of it. See --help.
set -euo pipefail
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backtest-optimize" keeper "$@"
