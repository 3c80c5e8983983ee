from __future__ import annotations

import numpy as np

from stages.connector.bootstrap import Resampler

RANDOM = np.random.default_rng(0)


def test_interval_of_independent_values_is_the_textbook_one() -> None:
    """For a mean of independent values the interval is about 1.96 standard errors to each side."""
    values = RANDOM.normal(3, 2, 400)
    estimate = Resampler([str(number) for number in range(400)], 4000, 0).mean(values)
    assert estimate["value"] == values.mean()
    expected = 1.96 * values.std() / 20
    assert np.isclose(estimate["high"] - estimate["value"], expected, rtol=0.1)
    assert np.isclose(estimate["value"] - estimate["low"], expected, rtol=0.1)


def test_answers_about_one_sample_count_once() -> None:
    """Repeating each sample's value ten times narrows nothing: the samples are what was drawn."""
    values, samples = RANDOM.normal(size=50), [str(number) for number in range(50)]
    single = Resampler(samples, 1000, 0).mean(values)
    repeated = Resampler(np.repeat(samples, 10).tolist(), 1000, 0).mean(np.repeat(values, 10))
    assert np.allclose(list(single.values()), list(repeated.values()))


def test_weights_make_a_ratio_of_sums() -> None:
    """Losses summed over answers, weighted by their tokens, give the loss per token."""
    estimate = Resampler(["a", "b"], 10, 0).mean(np.array([2.0, 12.0]), np.array([1.0, 3.0]))
    assert estimate["value"] == 14 / 4
    assert 2 <= estimate["low"] <= estimate["high"] <= 4
