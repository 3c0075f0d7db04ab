"""The worker: a loop over all that is due, and the chores beside it."""
