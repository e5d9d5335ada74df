"""Training: tasks, loop, states on disk, processes."""
