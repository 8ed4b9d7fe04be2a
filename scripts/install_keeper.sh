#!/usr/bin/env bash
# Install a keeper, which restarts the swarm after a reboot or the death of tmux; --uninstall removes it. See --help.
set -euo pipefail
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backtest-optimize" keeper "$@"
