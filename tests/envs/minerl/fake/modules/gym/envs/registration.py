class Registry:
    def __init__(self):
        self.env_specs = {}


registry = Registry()
