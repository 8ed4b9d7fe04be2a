"""What the CPU and the GPU must say alike of an exponential moving average (EMA)."""

# An EMA's seed (the first close) still weighs e^-6 = 0.25 % after 3 × period buckets: small enough to be believed.
WARM_UP_PERIODS = 3
