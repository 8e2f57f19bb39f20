"""Networks that share their weights, trained as one stack.

The members of an ensemble have the same hidden layers, except that each of them multiplies the
inputs by signs of its own. The output layers are separate. In the stack, each member has a copy of
the shared weights. The copies stay equal, because all members train on the same rows and the
gradients of their shared weights are averaged before each step. The coefficients of the first layer
contain the signs: if W is the shared matrix, those of member m are ``diag(signs[m]) @ W``. This
relation is preserved by the solvers, which update each weight separately: if a weight and its
gradient change sign, so does the update.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from torchmlp.training.activations import per_layer
from torchmlp.training.parameters import Parameters, initial_weights
from torchmlp.training.solver_factory import make_solver


def share_weights(inputs, state, n_members):
    """Return the inputs and the state of an ensemble, given those of its first member.

    The signs and the output layers of the other members are drawn. The first member has no negative
    signs. This does not restrict the ensemble, because the initial weights have a symmetric
    distribution.

    Parameters
    ----------
    inputs : FitInputs
        The network has at least one hidden layer.
    state : FitState
        The state before the first epoch.
    n_members : int

    Returns
    -------
    inputs : FitInputs
        Those of a stack.
    state : FitState
        Weights, gradient and solver are those of a stack. Everything else is common to all members
        and shared with the given state. The members draw their dropout masks in turn from the same
        generator.
    """
    settings, layout, random_state = inputs.settings, inputs.layout, state.random_state
    signs = np.ones((n_members, layout.layer_units[0], 1))
    signs[1:] -= 2 * random_state.randint(2, size=signs[1:].shape)
    coefs, intercepts = state.weights.to_numpy()
    activations = per_layer(settings.activation, len(coefs) - 1)[-1:]
    draw = partial(initial_weights, settings.init, layout.layer_units[-2:], activations)
    weights = Parameters(layout.layer_units, layout.dtype, layout.device, stack=(n_members,))
    for member in range(n_members):
        if member:
            (coefs[-1],), (intercepts[-1],) = draw(random_state, coefs[0].dtype)
        weights.assign([signs[member] * coefs[0], *coefs[1:]], intercepts, member)
    gradient = weights.like()
    solver = make_solver(settings, weights, gradient)
    on_device = torch.from_numpy(signs).to(layout.device, layout.dtype)
    return (
        replace(inputs, layout=layout.stacked(n_members), signs=on_device),
        replace(state, weights=weights, gradient=gradient, solver=solver),
    )


def member_states(state):
    """Return the state of each member of an ensemble, as that of a single network.

    Parameters
    ----------
    state : FitState
        The state of a stack.

    Returns
    -------
    list of FitState
        With copies of the weights and of the progress of the ensemble. The solver is not copied.
    """
    stack, states = state.weights, []
    for member in range(*stack.stack):
        weights = Parameters(stack.layer_units, stack.flat.dtype, stack.flat.device)
        weights.assign(*stack.to_numpy(member))
        states.append(replace(state, weights=weights, solver=None, progress=state.progress.copy()))
    return states


def bind_shared_gradient(gradient, signs):
    """Bind the averages over the members of the gradients of all layers but the last.

    Parameters
    ----------
    gradient : Parameters
        The gradient of a stack, changed in place by the calls.
    signs : tensor of shape (n_members, n_features, 1)

    Returns
    -------
    list of Call
    """
    multiply_by_signs = partial(gradient.coefs[0].mul_, signs)
    calls = [multiply_by_signs]  # the gradient of the matrix that the members share
    for view in [*gradient.coefs[:-1], *gradient.intercepts[:-1]]:
        mean = torch.empty_like(view[:1])
        calls += [partial(torch.mean, view, 0, keepdim=True, out=mean), partial(view.copy_, mean)]
    return [*calls, multiply_by_signs]
