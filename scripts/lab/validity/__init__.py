"""Whether the promotion gate tells skill from luck, tried on markets without a rule and with a known rule."""
