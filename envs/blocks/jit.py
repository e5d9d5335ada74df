"""Numba, imported and woken up quickly. Import `njit` from here.

Numba fills tables of a few hundred thousand objects when it is imported and in its first call. None of them is ever
garbage, but Python's collector looks through all of them again and again: without it a second start to the first
frame takes about two thirds of the time.
"""

from __future__ import annotations

import gc

_collects = gc.isenabled()
gc.disable()
try:
    from numba import njit

    @njit(cache=True)
    def _first_call() -> int:
        return 0

    _first_call()
finally:
    if _collects:
        gc.enable()

__all__ = ["njit"]
