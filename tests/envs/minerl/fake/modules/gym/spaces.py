import numpy as np


class Discrete:
    def __init__(self, n):
        self.n = n

    def no_op(self):
        return 0


class Enum(Discrete):
    def __init__(self, *values, default="none"):
        super().__init__(len(values))
        self.values, self.default = np.array(sorted(values)), default
        self.value_map = {v: i for i, v in enumerate(self.values)}

    def no_op(self):
        return self.default


class Text:
    def no_op(self):
        return ""


class Box:
    def __init__(self, low, high, shape, dtype):
        self.low, self.high = np.full(shape, low, dtype), np.full(shape, high, dtype)
        self.shape, self.dtype = shape, dtype

    def no_op(self):
        return np.zeros(self.shape, self.dtype)


class Dict:
    def __init__(self, spaces):
        self.spaces = spaces

    def no_op(self):
        return {key: space.no_op() for key, space in self.spaces.items()}
