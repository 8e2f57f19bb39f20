"""Time of a fit that JAX compiles as a whole, alone and for 80 networks at once.

For comparison with the section `searches`. JAX is not a dependency of torchmlp; install it to run::

    python -m benchmarks.jax_fits
"""

import time
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_iris, make_moons
from sklearn.preprocessing import scale

N_NETWORKS = 80
N_REPEATS = 5


def initial_weights(key, units):
    """Return a list of (coefs, intercepts) with Glorot's uniform distribution."""
    layers = []
    for fan_in, fan_out in pairwise(units):
        key, one, other = jax.random.split(key, 3)
        bound = np.sqrt(6 / (fan_in + fan_out))
        coefs = jax.random.uniform(one, (fan_in, fan_out), minval=-bound, maxval=bound)
        layers.append((coefs, jax.random.uniform(other, (fan_out,), minval=-bound, maxval=bound)))
    return layers


def batch_loss(layers, X, codes, alpha):
    """Return the cross-entropy with ReLU layers and an L2 penalty, as MLPClassifier defines it."""
    values = X
    for coefs, intercepts in layers[:-1]:
        values = jax.nn.relu(values @ coefs + intercepts)
    logits = values @ layers[-1][0] + layers[-1][1]
    losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), codes[:, None], 1)
    penalty = sum((coefs**2).sum() for coefs, _ in layers)
    return losses.mean() + alpha / 2 * penalty / len(X)


def adam_step(state, batch, alpha):
    """Make a step of Adam with the defaults of MLPClassifier."""
    layers, mean, square, t = state
    gradient = jax.grad(batch_loss)(layers, *batch, alpha)
    t = t + 1
    rate = 0.001 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    tree_map = jax.tree_util.tree_map
    mean = tree_map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
    square = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, square, gradient)
    layers = tree_map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), layers, mean, square)
    return (layers, mean, square, t), None


def make_fit(X, codes, units, batch_size, n_epochs):
    """Return a function (key, alpha) that trains a network. The rest of an epoch is left out."""
    n_steps = len(X) // batch_size

    def epoch(carry, _):
        state, key, alpha = carry
        key, shuffle = jax.random.split(key)
        order = jax.random.permutation(shuffle, len(X))[: n_steps * batch_size]
        batches = X[order].reshape(n_steps, batch_size, -1), codes[order].reshape(n_steps, -1)
        state, _ = jax.lax.scan(lambda s, batch: adam_step(s, batch, alpha), state, batches)
        return (state, key, alpha), None

    def fit(key, alpha):
        layers = initial_weights(key, units)
        zeros = jax.tree_util.tree_map(jnp.zeros_like, layers)
        carry = ((layers, zeros, zeros, 0.0), key, alpha)
        (state, _, _), _ = jax.lax.scan(epoch, carry, None, length=n_epochs)
        return state[0]

    return fit, n_steps * n_epochs


def measure(call):
    """Return the time of the first call and the median time of the others, in seconds."""
    times = []
    for _ in range(1 + N_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return times[0], float(np.median(times[1:]))


def main():
    jax.config.update("jax_enable_x64", True)
    iris = load_iris(return_X_y=True)
    moons = make_moons(1000, noise=0.2, random_state=0)
    problems = {
        "iris, batch 16": (scale(iris[0]), iris[1], (4, 10, 3), 16, 200),
        "moons, batch 32": (moons[0], moons[1], (2, 10, 10, 2), 32, 100),
    }
    for name, (X, y, units, batch_size, n_epochs) in problems.items():
        fit, n_steps = make_fit(jnp.array(X), jnp.array(y), units, batch_size, n_epochs)
        keys = jax.random.split(jax.random.key(0), N_NETWORKS)
        alphas = jnp.logspace(-5, 1, N_NETWORKS)
        alone, together = jax.jit(fit), jax.jit(jax.vmap(fit))
        for label, count, call in (
            ("one network", 1, partial(alone, keys[0], alphas[0])),
            (f"{N_NETWORKS} networks", N_NETWORKS, partial(together, keys, alphas)),
        ):
            first, later = measure(call)
            per_step = later / n_steps / count * 1e6
            compilation = first - later
            print(f"{name}, {label}: {per_step:.1f} us per step, {compilation:.1f} s to compile")


if __name__ == "__main__":
    main()
