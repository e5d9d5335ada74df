"""From a run on disk to one folder of static HTML. Reads what scoring wrote; never scores, never steps a world."""

from worldsim.reports.page import build_report

__all__ = ["build_report"]
