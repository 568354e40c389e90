"""Risk, coverage and AUROC against brute force and scikit-learn."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sbn_deploy.evaluate.ranking import area_under_risk_coverage, auroc, risk_coverage

# Few different values, so that ties are common.
SCORES = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=6)


@given(SCORES)
def test_risk_coverage(answers: list[tuple[int, bool]]) -> None:
    confidence = np.array([score / 4 for score, _ in answers])
    correct = np.array([right for _, right in answers])
    coverage, risk = risk_coverage(confidence, correct)
    thresholds = sorted(set(confidence), reverse=True)
    assert len(coverage) == len(risk) == len(thresholds)
    for threshold, covered, wrong in zip(thresholds, coverage, risk, strict=True):
        answered = confidence >= threshold
        assert covered == pytest.approx(answered.mean())
        assert wrong == pytest.approx((~correct[answered]).mean())
    assert coverage[-1] == 1


@given(SCORES)
def test_area_is_the_mean_over_all_orders_of_ties(answers: list[tuple[int, bool]]) -> None:
    confidence = np.array([score / 4 for score, _ in answers])
    correct = np.array([right for _, right in answers])
    areas = []
    for order in permutations(range(len(answers))):
        if all(confidence[a] >= confidence[b] for a, b in pairwise(order)):
            errors = np.cumsum(~correct[list(order)])
            areas.append((errors / np.arange(1, len(order) + 1)).mean())
    assert area_under_risk_coverage(confidence, correct) == pytest.approx(np.mean(areas))


def test_known_areas() -> None:
    correct = np.array([True, True, True, False])
    assert area_under_risk_coverage(np.array([4, 3, 2, 1.0]), correct) == pytest.approx(1 / 16)
    assert area_under_risk_coverage(np.array([1, 2, 3, 4.0]), correct) == pytest.approx(
        (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    )


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
)
def test_auroc(ood: list[int], own: list[int]) -> None:
    found = auroc(np.array(ood, float), np.array(own, float))
    truth = [1] * len(ood) + [0] * len(own)
    assert found == pytest.approx(roc_auc_score(truth, ood + own))
    pairs = [(f > o) + (f == o) / 2 for f in ood for o in own]
    assert found == pytest.approx(np.mean(pairs))
