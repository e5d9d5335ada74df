"""Our simulator (in the next releases)."""
