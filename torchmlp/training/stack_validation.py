"""Validation loss and score of all networks of a stack."""

import numpy as np
import torch

from torchmlp.training.forward import bind_forward, bind_hidden
from torchmlp.training.losses import row_losses
from torchmlp.training.products import DenseInput, as_tensor
from torchmlp.training.workspace import Workspace

BLOCK_BYTES = 1 << 22  # maximum size of the widest layer for the rows of a block


class StackValidation:
    """Evaluates the validation data of all members of a stack.

    Parameters
    ----------
    members : list of MemberLoop
        Their attribute `evaluation` receives the validation loss and the score.
    weights : Parameters
    layout : Layout
        The layout of the stack.
    """

    def __init__(self, members, weights, layout):
        self.members = members
        self.layout = layout
        self.layers = weights.layers
        sets = [member.inputs.validation for member in members]
        self.X = torch.stack([as_tensor(s.X).to(layout.device, layout.product_dtype) for s in sets])
        self.y = np.stack([s.y for s in sets])
        self.sample_weight = None
        if sets[0].sample_weight is not None:
            self.sample_weight = np.stack([s.sample_weight for s in sets])
        row_bytes = len(members) * max(layout.layer_units) * layout.dtype.itemsize
        self.blocks = [
            self._bind(rows) for rows in self.X.split(max(1, BLOCK_BYTES // row_bytes), dim=1)
        ]

    def _bind(self, rows):
        """Return the calls of the forward pass of some rows, and the tensor for their outputs."""
        n_rows = rows.shape[1]
        out = self.layout.empty_outputs(n_rows)
        workspace = Workspace(n_rows, self.layout.without_dropout())
        hidden = bind_hidden(self.layers, workspace)
        return bind_forward(self.layers, DenseInput(rows), workspace, hidden, out), out

    @torch.inference_mode()
    def evaluate(self):
        """Set the attribute `evaluation` of each member: validation loss, and score or None."""
        outputs = []
        for calls, out in self.blocks:
            for call in calls:
                call()
            outputs.append(out.cpu().clone())
        raw = torch.cat(outputs, 1).contiguous().numpy()
        n_members, n_rows, n_outputs = raw.shape
        losses = row_losses(
            self.members[0].inputs.settings.loss,
            raw.reshape(-1, n_outputs),
            self.y.reshape(n_members * n_rows, -1),
        ).reshape(n_members, n_rows)
        losses = np.average(losses, axis=1, weights=self.sample_weight)
        evaluations = zip(losses.tolist(), self._scores(raw, losses), strict=True)
        for member, evaluation in zip(self.members, evaluations, strict=True):
            member.evaluation = evaluation

    def _scores(self, raw, losses):
        score = self.members[0].inputs.score
        if score is None:
            return [None] * len(self.members)
        return score.of_stack(self.y, raw, self.sample_weight, losses).tolist()
