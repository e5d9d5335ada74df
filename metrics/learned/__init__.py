"""Metrics whose numbers rest on a network: plug-ins, read from local files with a checked hash, never downloaded."""
