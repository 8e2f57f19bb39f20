"""User-defined loss functions."""

import torch


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
            In the first call, if the loss or its gradient is not finite, or if the loss does not
            depend on the outputs. The gradient may be zero for a whole batch, for example that of
            a hinge loss. If it is zero, it is also computed for other outputs, and an error is
            raised only if it is zero for all of them.
        """
        losses, gradient = self._differentiate(outputs, y)
        if not self._checked:
            self._check_finite(outputs, y, losses, gradient)
            self._check_dependence(outputs, y, gradient)
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
        for name, numbers in (("value", losses[:, None]), ("gradient", gradient)):
            wrong = (~numbers.isfinite()).any(dim=1).nonzero().flatten().tolist()
            if wrong:
                first = wrong[0]
                raise ValueError(
                    f"The {name} of loss={self.function!r} is not finite for {len(wrong)} of "
                    f"{len(losses)} samples of the first batch: {numbers[first].tolist()} for raw "
                    f"outputs {outputs[first].tolist()} and targets {y[first].tolist()}. Check "
                    "the loss for divisions by zero and for logarithms and roots of invalid "
                    "values, and scale y if it is large."
                )

    def _check_dependence(self, outputs, y, gradient):
        if gradient.any():
            return
        pattern = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype, device=outputs.device)
        shift = pattern.view_as(outputs) * (1 + y.abs().max())
        for scale in (1e-2, 1.0, 1e2, 1e4):
            for sign in (-scale, scale):
                if self._differentiate(outputs + sign * shift, y)[1].any():
                    return
        raise ValueError(
            f"loss={self.function!r} does not depend on the raw outputs: its gradient is zero for "
            f"all samples of the first batch, and for other outputs. It gets raw outputs of shape "
            f"{tuple(outputs.shape)} and targets of shape {tuple(y.shape)}. Check which columns "
            "it uses, and that its functions have a non-zero derivative."
        )
