#!/usr/bin/env bash
# Start all loops and monitors of the swarm. This clears an earlier stop. See --help.
set -euo pipefail
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backtest-optimize" start "$@"
