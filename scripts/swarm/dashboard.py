"""`dashboard`: look at a search in optuna-dashboard, always on a copy, from this machine alone."""

import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from types import FrameType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from config.errors import Refused
from scripts.infra import environment
from scripts.swarm import cli
from state.files.layout import CHECKOUT, Roots
from state.files.run_folders import RunFolder
from state.host import command
from state.host.clock import SystemClock, stamp
from state.records import runs

HOST = "127.0.0.1"
PORT = 8080
_EPILOG = """\
examples:
  scripts/backtest-optimize dashboard                      the newest search
  scripts/backtest-optimize dashboard SOL/aggressive       the newest of this symbol and mode
  scripts/backtest-optimize dashboard bt-20260131_120000Z --port 8081

What you see is a copy as of its start: the search goes on untouched; type it again for a newer one. Trials at -1000
never traded: drag over the others in the history to see them. Only this machine can open the page; from
elsewhere: ssh -L 8080:127.0.0.1:8080 HOST. Ctrl-C ends it and removes the copy. The first use installs
optuna-dashboard into the product's environment.

exit codes: 0 ended by Ctrl-C, 1 refused, 2 usage
"""


def main(argv: list[str]) -> int:
    """The command."""
    parser = command.Parser(
        prog="backtest-optimize dashboard",
        description="Look at a search's trials in optuna-dashboard: history, importances, slices.",
        epilog=_EPILOG,
    )
    parser.add_argument("search", nargs="?", metavar="RUN|SYMBOL/MODE", help="which search (default: the newest)")
    parser.add_argument("--port", type=int, default=PORT, metavar="P", help=f"default: {PORT}; 0: any that is free")
    parser.add_argument("--json", action="store_true", help="print the address as one JSON object, then serve")
    asked = parser.parse_args(argv)
    if not 0 <= asked.port <= 65_535:
        parser.error(f"--port is {asked.port}: 0 to 65535")
    folder = chosen(Roots.from_environment(), asked.search)
    environment.require(CHECKOUT, "dashboard")
    with tempfile.TemporaryDirectory(prefix="backtest-optimize-dashboard-") as copy:
        _serve(folder, Path(copy), asked.port, asked.json)
    return 0


def chosen(roots: Roots, wish: str | None) -> RunFolder:
    """The newest search that `wish` names.

    Raises:
        Refused: there is none; the message names those that there are.
    """
    searches = list(_searches(roots))
    known = ", ".join(dict.fromkeys(f"{symbol}/{mode}" for _, symbol, mode, _ in searches))
    if wish is None:
        found = searches
    elif "/" in wish:
        found = [one for one in searches if wish == f"{one[1]}/{one[2]}"]
    else:
        found = [one for one in searches if one[0] == wish]
        if len({one[1:3] for one in found}) > 1:
            names = ", ".join(dict.fromkeys(f"{symbol}/{mode}" for _, symbol, mode, _ in found))
            raise Refused(f"{wish} has several searches: {names}", "type one of these instead of the run")
    if not found:
        way_out = cli.on_file("searches on file", [known] if known else [])
        raise Refused(f"there is no search {wish}" if wish else "there is no search yet", way_out)
    return found[-1][3]


def _searches(roots: Roots) -> Iterator[tuple[str, str, str, RunFolder]]:
    """Run, symbol, mode and folder of every search on file, oldest first."""
    for folder in roots.runs():
        if folder.search.is_file():
            run = runs.read(folder)
            if run is not None:
                yield run.run_id, run.symbol, run.mode, folder
        for path in sorted(folder.path.glob("round-*/*/*/search.json")):
            yield folder.path.name, path.parent.parent.name, path.parent.name, RunFolder(path.parent)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal for every picture."""


def _serve(folder: RunFolder, copy: Path, port: int, as_json: bool) -> None:
    import optuna
    from optuna_dashboard import wsgi

    from WORKFLOW.search.copies import copied

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = copied(folder, copy)
    trials = sum(len(storage.get_all_trials(one._study_id, deepcopy=False)) for one in storage.get_all_studies())
    if not trials:
        raise Refused("this search has no finished trial yet", "scripts/backtest-optimize status says how far it is")
    try:
        server = make_server(HOST, port, only_here(wsgi(storage)), server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise Refused(
            f"port {port} of {HOST} cannot be used: {error.strerror}", "--port 0 takes any free one"
        ) from error
    signal.signal(signal.SIGTERM, _interrupt)  # so that the copy is removed
    with server:
        try:
            _announce(folder, f"http://{HOST}:{server.server_port}/", trials, as_json)
            server.serve_forever()
        except KeyboardInterrupt:  # which may come as soon as the announcement is read
            print("\nended, and the copy is gone", file=sys.stderr)


def _announce(folder: RunFolder, url: str, trials: int, as_json: bool) -> None:
    if as_json:
        cli.say({"url": url, "search": str(folder.path), "trials": trials, "as_of": stamp(SystemClock().now())})
        sys.stdout.flush()
    else:
        print(f"{trials:,} trials of {folder.path}\n\n  {url}\n\nCtrl-C ends it", flush=True)


def only_here(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """`app` for browsers that were pointed at this machine: a web page elsewhere can give its own name our address.

    And for its own pages: another's page can send a form to our address, and its browser says whose it is.
    """

    def guarded(request: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        named = str(request.get("HTTP_HOST", ""))
        is_ours = request.get("HTTP_ORIGIN", f"http://{named}") == f"http://{named}"
        if named.rpartition(":")[0] in (HOST, "localhost") and is_ours:
            return app(request, respond)
        respond("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"this page is for this machine alone\n"]

    return guarded


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
