"""The mathematics of the metrics as pure functions of arrays."""
