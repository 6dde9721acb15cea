"""What of our answers reaches the model, when real coding agents stand between: `python -m benchmarks.agents NODE_MODULES`."""
