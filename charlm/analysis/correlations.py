"""Correlate many units with many features from running sums, on each half of a text by itself."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from charlm.analysis.features import Feature
from charlm.errors import DivergenceError


class HalfSums:
    """Sums of activations, features and their products, for each half of a text."""

    def __init__(self, half: int, features: tuple[Feature, ...]) -> None:
        self._half = half
        self._features = np.stack(features, axis=1)
        self._of_features = [self._features[:half], self._features[half:]]
        self._sums: list[list[Any]] = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        self._offset: Any = None
        """About the mean of each unit: the squares of what a saturated unit adds to it are tiny."""

    def add(
        self,
        places: Int64[np.ndarray, " characters"],
        states: Float32[np.ndarray, "characters units"],
    ) -> None:
        """Add the states after some thousand characters, whose sums of products fit a float32."""
        if self._offset is None and len(states):
            self._offset = states.mean(axis=0)
        for number, is_here in enumerate((places < self._half, places >= self._half)):
            of_half, sums = states[is_here] - self._offset, self._sums[number]
            sums[0] += of_half.sum(axis=0, dtype=np.float64)
            sums[1] += np.einsum("ij,ij->j", of_half, of_half)
            sums[2] += of_half.T @ self._features[places[is_here]]

    def correlations(self, name: str) -> Float64[np.ndarray, "halves units features"]:
        """Return Pearson's correlations; NaN where something does not vary."""
        halves = []
        for features, (total, squares, products) in zip(self._of_features, self._sums, strict=True):
            size = len(features)
            if not np.isfinite(squares).all():
                raise DivergenceError(
                    f"{name}: a state of the model is not finite; use another checkpoint, or train "
                    "at a lower training.learning_rate"
                )
            mean, feature_mean = total / size, features.mean(axis=0, dtype=np.float64)
            deviation = np.sqrt(np.maximum(0, squares / size - mean**2))
            feature_deviation = features.std(axis=0, dtype=np.float64)
            covariance = products / size - np.outer(mean, feature_mean)
            scale = np.outer(deviation, feature_deviation)
            least = 1e-6 * (1 + np.abs(self._offset))  # a float32 has no more digits
            is_varying = np.outer(deviation > least, feature_deviation > 0)
            halves.append(
                np.divide(covariance, scale, out=np.full_like(scale, np.nan), where=is_varying)
            )
        return np.stack(halves)
