"""Inference: the cache, the sampler, and worlds that go on for ever."""
