"""What people hold of runs, tasks, schedules and backfills: it asks, and the engine decides."""
