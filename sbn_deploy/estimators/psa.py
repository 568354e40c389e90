"""The path sample-analytic estimator."""

from __future__ import annotations

from .base import TrajectoryEstimator, output_gradient
from .moments import Gradient
from .network import Problem, Trajectories


class PathSampleAnalytic(TrajectoryEstimator):
    """PSA: sums out the flip of every unit analytically, layer by layer.

    Shekhovtsov, Yanush and Flach, "Path Sample-Analytic Gradient Estimators for
    Stochastic Binary Networks", arXiv 2006.03143. For a sampled trajectory let q_j be
    what flipping unit j of a layer changes in the loss, L(x) - L(x with -x_j).
    In the last hidden layer it is evaluated. Below it is chained through the
    probabilities of the units it feeds,

        q_i = sum_j q_j (P(x_j | a_j) - P(x_j | a_j - 2 w_ji x_i)),

    and the gradient with respect to a_i is q_i x_i p(a_i). Straight-through follows
    by linearising both differences. Exact in expectation for one hidden layer, for
    the last hidden layer with any loss, and for two hidden layers with a linear loss.
    Costs a nonlinearity for every weight of the hidden layers.
    """

    name = "psa"
    source = "Shekhovtsov, Yanush and Flach, arXiv 2006.03143"
    extra_cost = "a nonlinearity for every weight of the hidden layers"
    no_training = (
        "it needs the sums of each layer under the flip of every unit below, weight by weight;"
        " convolutions, batch-norms and pools do not give them"
    )

    def gradient(self, problem: Problem, trajectories: Trajectories) -> Gradient:
        network, inputs = problem.network, trajectories.inputs
        last = inputs[-1]
        outputs = network.affine(-1, last)
        flipped = outputs.unsqueeze(1) - 2 * last.unsqueeze(2) * network.weights[-1].T
        q = problem.loss(outputs, problem.y).unsqueeze(1) - problem.loss(flipped, problem.y)
        layers = [(output_gradient(problem, last), last)]
        for layer in range(len(network.hidden) - 1, -1, -1):
            a, x, below = trajectories.preactivations[layer], inputs[layer + 1], inputs[layer]
            layers.append((q * x * network.noise.density(a), below))
            if layer:
                moved = a.unsqueeze(2) - 2 * network.weights[layer] * below.unsqueeze(1)
                # P(x | a) = (1 + x m(a)) / 2
                change = network.noise.mean(a).unsqueeze(2) - network.noise.mean(moved)
                q = (0.5 * (q * x).unsqueeze(2) * change).sum(1)
        return layers[::-1]
