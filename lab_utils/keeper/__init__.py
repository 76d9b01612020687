"""The keeper: one small process beside each embedded server, which ends and cleans up after it."""
