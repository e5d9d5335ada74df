"""From a run on disk to one folder of static HTML."""
