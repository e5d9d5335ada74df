"""The real game through `minerl`: a client here, a worker in the Python that the user has made for MineRL."""
