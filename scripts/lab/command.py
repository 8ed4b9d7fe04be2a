"""The command line of scripts/bench: find the named bench, which is a module with its own flags."""

from collections.abc import Sequence
from importlib import import_module

from config.errors import Misused
from state.host import ending

# Name of the bench → its module, which is imported when it is named, and its line in the help.
BENCHES = {
    "prescreen": (
        "scripts.lab.prescreen",
        "measure how fast a prescreen is, beside the engines that people would use otherwise",
    ),
    "search": ("scripts.lab.search", "measure trials per second of one study, with 1, 2 and 4 processes"),
    "control-plane": ("scripts.lab.control_plane", "measure what agents, sessions and questions cost"),
    "validity": ("scripts.lab.validity.command", "measure how often the promotion gate takes luck for skill"),
    "faults": ("scripts.lab.faults.command", "break a private swarm and measure how it heals"),
    "gpu": ("scripts.lab.gpu", "predict without a GPU, by a model, how long the compiled kernels take on one"),
}
USUAL = "prescreen"
# Each bench was once a flag, which may stand anywhere. (`--gpu-model` is a flag of prescreen.)
FLAGS = {f"--{name}": name for name in ("control-plane", "search", "validity", "faults")}

_LINES = "\n".join(f"  {name:<14} {line}" for name, (_, line) in BENCHES.items())
HELP = f"""\
usage: scripts/bench [{" | ".join(BENCHES)}] [options]

Measure this machine. Without a name, the bench is {USUAL}.

{_LINES}

Each bench has its own --help (scripts/bench search --help). All of them but gpu take --json.

examples:
  scripts/bench prescreen --data-path ~/data --symbol SOL
  scripts/bench search --trials 600 --processes 1,2,4
  scripts/bench faults --minutes 5 --every 30 --only worker-killed,agent-killed --verify

exit codes: 0 done, 1 refused, or a figure misses its limit, 2 usage, 130 stopped by Ctrl-C
"""


def main(arguments: Sequence[str]) -> int:
    """Run the named bench."""
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
    """Return the name of the bench, known or not, and the remaining words."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], list(arguments[1:])
    for flag, name in FLAGS.items():
        if flag in arguments:
            return name, [word for word in arguments if word != flag]
    return USUAL, list(arguments)
