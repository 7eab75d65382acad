"""Places where attempts run. Each keeps the promises of `ports.Executor`, and decides nothing."""
