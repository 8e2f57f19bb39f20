"""A fit with a Checkpoint, of which one process ends in the first attempt as if it was killed."""

import os
import pickle
import sys
from pathlib import Path

from cases import _classifier, data
from launch import MAX_SECONDS
from skorch.callbacks import Callback

from torchmlp.callbacks import Checkpoint
from torchmlp.distributed import data_parallel

folder = Path(sys.argv[1])
rank, attempt = (int(os.environ[name]) for name in ("RANK", "TORCHELASTIC_RESTART_COUNT"))


class Fails(Callback):
    """Ends process 1 in the first attempt. Records the epochs that are trained."""

    def on_epoch_begin(self, net, **kwargs):
        epochs.append(len(net.history))
        if (attempt, rank, epochs[-1]) == (0, 1, 4):
            os._exit(9)


epochs: list[int] = []
X, y, _, weights = data()
# Only process 0 needs the folder.
path = folder / "fit.ckpt" if rank == 0 else Path("/no/such/folder/fit.ckpt")
model = _classifier(max_iter=10, dropout=0.2, early_stopping=True, random_state=None)
with data_parallel(timeout=MAX_SECONDS):
    model.set_params(callbacks=[Checkpoint(path, every_seconds=0), Fails()]).fit(X, y, weights)
result = [attempt, epochs[0], model.set_params(callbacks=None)]
(folder / f"{rank}.pickle").write_bytes(pickle.dumps(result))
