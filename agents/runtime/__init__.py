"""The runtime turns a pure decision into an agent: it observes, carries out, records, verifies and repeats."""
