"""What a classifier tells of a text: one label, several, or a number. NumPy only."""

from kzoo.problems.multi_label import MULTI_LABEL, MultiLabelScores
from kzoo.problems.problem import Predictions, Problem, named_scores
from kzoo.problems.regression import REGRESSION, RegressionScores
from kzoo.problems.single_label import SINGLE_LABEL, Scores

PROBLEMS = {each.name: each for each in (SINGLE_LABEL, MULTI_LABEL, REGRESSION)}
# By the kind of their logits, as the exporter calls it.
BY_KIND = {each.output_kind: each for each in PROBLEMS.values()}

__all__ = [
    "BY_KIND",
    "PROBLEMS",
    "MultiLabelScores",
    "Predictions",
    "Problem",
    "RegressionScores",
    "Scores",
    "named_scores",
]
