"""The rule for exponential moving averages (EMA) that the CPU and the GPU must share."""

# The seed of an EMA, which is the first close, still weighs e^-6 = 0.25 % after 3 × period buckets. That is negligible.
WARM_UP_PERIODS = 3
