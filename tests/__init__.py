"""The tests, and ``harness``: real brokers and processes for tests, benchmarks and the demo alike."""
