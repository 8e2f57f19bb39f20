"""User-defined loss functions."""

import torch

MAX_PAIRED_ROWS = 256  # number of rows of the first batch for `_check_pairing`


class CallableLoss:
    """A user-defined loss function, with its gradient by autograd.

    The loss and its gradient are checked in the first batch; see `gradient`.

    Parameters
    ----------
    function : callable (raw_outputs, y) -> tensor of shape (n_rows,)
    """

    def __init__(self, function):
        self.function = function
        self._checked = False

    def per_sample(self, outputs, y):
        """Return the loss of each row.

        Raises
        ------
        ValueError
            If the function fails, or does not return one value per row.
        """
        try:
            with torch.inference_mode(False):  # the function may keep tensors, or use autograd
                result = self.function(outputs.clone(), y.clone())
        except Exception as error:
            raise ValueError(
                f"loss={self.function!r} could not be computed: {str(error).rstrip('.')}. It is "
                "called with two tensors, the raw outputs and the targets. Use functions of torch, "
                "not of NumPy, and pass a function, not a module class."
            ) from error
        if not isinstance(result, torch.Tensor) or result.shape != outputs.shape[:1]:
            got = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
            raise ValueError(
                f"loss={self.function!r} must return one loss per sample, a tensor of shape "
                f"({len(outputs)},), got {got}. Sum or average over the outputs, dim=1, "
                "but not over the samples; losses of torch.nn.functional need reduction='none'."
            )
        return result

    def gradient(self, outputs, y, out):
        """Write the gradient with respect to the raw outputs to `out`.

        Raises
        ------
        ValueError
            In the first call, if the loss or its gradient is not finite, if the loss does not
            depend on the outputs, or if it compares each output with all targets. The gradient may
            be zero for a whole batch, for example that of a hinge loss. If it is zero, it is also
            computed for other outputs, and an error is raised only if it is zero for all of them.
        """
        losses, gradient = self._differentiate(outputs, y)
        if not self._checked:
            self._check_finite(outputs, y, losses, gradient)
            self._check_dependence(outputs, y, gradient)
            self._check_pairing(outputs, y)
            self._checked = True
        out.copy_(gradient)

    def _differentiate(self, outputs, y):
        with torch.inference_mode(False), torch.enable_grad():
            # Copies: autograd does not accept tensors that were created in inference mode.
            outputs, y = outputs.clone().requires_grad_(), y.clone()
            losses = self.per_sample(outputs, y)
            try:
                (gradient,) = torch.autograd.grad(losses.sum(), outputs)
            except RuntimeError as error:
                raise ValueError(
                    f"loss={self.function!r} could not be differentiated with respect to the raw "
                    f"outputs: {str(error).rstrip('.')}. Compute it from the raw outputs, with "
                    "torch's differentiable functions and without detach()."
                ) from error
        return losses.detach(), gradient

    def _check_finite(self, outputs, y, losses, gradient):
        message = self._not_finite(outputs, y, losses, gradient, "samples of the first batch")
        if message:
            raise ValueError(message)

    def describe_not_finite(self, outputs, y):
        """Describe the rows for which the loss or its gradient is not finite.

        Returns
        -------
        str
            An empty string if there are none.
        """
        losses, gradient = self._differentiate(outputs, y)
        return self._not_finite(outputs, y, losses, gradient, "finite raw outputs")

    def _not_finite(self, outputs, y, losses, gradient, rows):
        """Return the message for rows that are not finite, or an empty string."""
        for name, numbers in (("value", losses[:, None]), ("gradient", gradient)):
            wrong = (~numbers.isfinite()).any(dim=1).nonzero().flatten().tolist()
            if wrong:
                first = wrong[0]
                return (
                    f"The {name} of loss={self.function!r} is not finite for {len(wrong)} of "
                    f"{len(losses)} {rows}: {numbers[first].tolist()} for raw outputs "
                    f"{outputs[first].tolist()} and targets {y[first].tolist()}. Check the loss "
                    "for divisions by zero and for logarithms and roots of invalid values, and "
                    "set normalize_y=True if y has large values."
                )
        return ""

    def _check_dependence(self, outputs, y, gradient):
        if gradient.any():
            return
        shift = _shift(outputs, y)
        for scale in (1e-2, 1.0, 1e2, 1e4):
            for sign in (-scale, scale):
                if self._differentiate(outputs + sign * shift, y)[1].any():
                    return
        shapes = f"shape {tuple(outputs.shape)} and targets of shape {tuple(y.shape)}"
        if outputs.shape[1] == 1 and ((y == 0) | (y == 1)).all():
            remedy = (
                f"With two classes, it gets raw outputs of {shapes}. The softmax of a single "
                "column is constant: use binary_cross_entropy_with_logits instead of cross_entropy."
            )
        else:
            remedy = (
                f"It gets raw outputs of {shapes}. Check which columns it uses, and that its "
                "functions have a non-zero derivative."
            )
        raise ValueError(
            f"loss={self.function!r} does not depend on the raw outputs: its gradient is zero for "
            f"all samples of the first batch. {remedy}"
        )

    def _check_pairing(self, outputs, y):
        """Raise an error if the loss compares each output with the targets of all samples.

        This happens if a tensor of shape (n_rows,) is broadcast with one of shape (n_rows, 1), and
        the result is reduced. The loss of a row then depends on the other rows, but it does not
        change if either the outputs or the targets are permuted. The loss may depend on the other
        rows on purpose, as a ranking loss does, but then it changes.
        """
        if self._pairs_all_rows(outputs[:MAX_PAIRED_ROWS], y[:MAX_PAIRED_ROWS]):
            n_rows = len(y)
            raise ValueError(
                f"loss={self.function!r} compares the output of each sample with the targets of "
                f"all samples of the batch. The raw outputs have shape {tuple(outputs.shape)} and "
                f"y has shape {tuple(y.shape)}. A column of shape ({n_rows}, 1) and a tensor of "
                f"shape ({n_rows},) broadcast to shape ({n_rows}, {n_rows}). Use the same shape "
                "for both, for example raw_outputs[:, 0] and y[:, 0]."
            )

    def _pairs_all_rows(self, outputs, y):
        half = len(y) // 2
        if half < 2:
            return False
        try:
            outputs = outputs.double()
            y = y.double() if y.is_floating_point() else y  # class codes remain integers
            outputs = outputs + _shift(outputs, y)  # all rows differ, also for zero weights
            losses = self.per_sample(outputs, y)
            if _equal(self.per_sample(outputs[:half], y[:half]), losses[:half]):
                return False
            if not _equal(self.per_sample(outputs, y), losses):  # the loss is random
                return False
            permuted = [self.per_sample(outputs.roll(1, 0), y)]
            # Permuted targets have no effect if they are all equal, or if the loss ignores them.
            if not _equal(self.per_sample(outputs, y[:1].expand_as(y)), losses):
                permuted.append(self.per_sample(outputs, y.roll(1, 0)))
        except (ValueError, TypeError):
            # The loss does not support float64, other outputs, or another number of rows.
            return False
        finite = bool(losses.isfinite().all())
        return finite and any(_equal(other, losses) for other in permuted)


def _shift(outputs, y):
    """Return a different number for each output, in the range of the targets."""
    pattern = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype, device=outputs.device)
    return pattern.view_as(outputs) * (1 + y.abs().max())


def _equal(losses, others):
    """Return whether losses are equal up to rounding in float64."""
    return torch.allclose(losses, others, rtol=1e-10, atol=0)
