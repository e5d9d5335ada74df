"""Public checkers: the contracts of models, truths and metrics as clauses that say what broke and how to mend it."""

from worldsim.checks.metrics import check_metric
from worldsim.checks.models import check_world_model
from worldsim.checks.report import Clause, Report
from worldsim.checks.truths import check_truth_env

__all__ = ["Clause", "Report", "check_metric", "check_truth_env", "check_world_model"]
