"""The command line of scripts/bench: which bench is meant; each is a module with flags of its own."""

from collections.abc import Sequence
from importlib import import_module

from config.errors import Misused
from state.host import ending

# Name → its module, imported when it is named, and its line in the help.
BENCHES = {
    "prescreen": ("scripts.lab.prescreen", "how fast a prescreen is, beside the engines people would use otherwise"),
    "search": ("scripts.lab.search", "trials a second of one study, with 1, 2 and 4 processes"),
    "control-plane": ("scripts.lab.control_plane", "what agents, sessions and questions cost"),
    "validity": ("scripts.lab.validity.command", "how often the promotion gate takes luck for skill"),
    "faults": ("scripts.lab.faults.command", "break a private swarm, and time how it heals"),
    "gpu": ("scripts.lab.gpu", "without a GPU: what the compiled kernels should take on one, a model"),
}
USUAL = "prescreen"
# Each bench was once a flag, which may stand anywhere. (`--gpu-model` is one of prescreen's own.)
FLAGS = {f"--{name}": name for name in ("control-plane", "search", "validity", "faults")}

_LINES = "\n".join(f"  {name:<14} {line}" for name, (_, line) in BENCHES.items())
HELP = f"""\
usage: scripts/bench [{" | ".join(BENCHES)}] [options]

Measure this machine; without a name: {USUAL}.

{_LINES}

Each has a --help of its own (scripts/bench search --help) and takes --json, but for gpu.

examples:
  scripts/bench prescreen --data-path ~/data --symbol SOL
  scripts/bench search --trials 600 --processes 1,2,4
  scripts/bench faults --minutes 5 --every 30 --only worker-killed,agent-killed --verify

exit codes: 0 done, 1 refused, or what was measured is not as it must be, 2 usage, 130 stopped by Ctrl-C
"""


def main(arguments: Sequence[str]) -> int:
    """Run the bench that is named."""
    return ending.ended(lambda: _run(arguments), "--json" in arguments)


def _run(arguments: Sequence[str]) -> int:
    if arguments[:1] in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    name, rest = named(arguments)
    if name not in BENCHES:
        raise Misused(f"unknown bench {name!r}; known: {', '.join(BENCHES)}", "scripts/bench --help")
    return int(import_module(BENCHES[name][0]).main(rest))


def named(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The bench, known or not, and the words that are for it."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], list(arguments[1:])
    for flag, name in FLAGS.items():
        if flag in arguments:
            return name, [word for word in arguments if word != flag]
    return USUAL, list(arguments)
