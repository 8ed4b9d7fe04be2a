"""The names of the files of a result, which users read below `Roots.artifacts`."""

PHASE0 = "phase0_top500.json"
ALL_TRIALS = "all_trials.json"
SEARCH = "search.json"
PARETO = "pareto_front.json"  # written, as its picture is, only when a search has several objectives
PARETO_SVG = "pareto_front.svg"
MANIFEST = "run_manifest.json"
TEARSHEET = "tearsheet.html"
WINDOWS = "windows.json"  # for each best strategy the trades in its windows
BESTS = ("best_sharpe", "best_returns", "lowest_drawdown", "best_winrate")
