"""Certification: metrics prove themselves on the truth, with planted faults, before any model is believed."""
