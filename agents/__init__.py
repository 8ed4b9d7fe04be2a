"""The control plane: decides and acts. It never imports the work plane, numba, numpy, pandas or optuna."""
