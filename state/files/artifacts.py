"""What the files of a result are called, which users read below `Roots.artifacts`."""

PHASE0 = "phase0_top500.json"
ALL_TRIALS = "all_trials.json"
SEARCH = "search.json"
PARETO = "pareto_front.json"  # and its picture: only where a search has several objectives
PARETO_SVG = "pareto_front.svg"
MANIFEST = "run_manifest.json"
TEARSHEET = "tearsheet.html"
WINDOWS = "windows.json"  # of each best: what its windows traded
BESTS = ("best_sharpe", "best_returns", "lowest_drawdown", "best_winrate")
