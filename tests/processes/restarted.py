"""A fit with a Checkpoint, of which one process is killed in the first attempt."""

import os
import pickle
import signal
import sys
from pathlib import Path

from cases import _classifier, data
from skorch.callbacks import Callback

from torchmlp.callbacks import Checkpoint
from torchmlp.distributed import data_parallel

folder = Path(sys.argv[1])
rank, attempt = (int(os.environ[name]) for name in ("RANK", "TORCHELASTIC_RESTART_COUNT"))


class Fails(Callback):
    """Kills process 1 in the first attempt."""

    def on_epoch_begin(self, net, **kwargs):
        if (attempt, rank, len(net.history)) == (0, 1, 4):
            os.kill(os.getpid(), signal.SIGKILL)


X, y, _, weights = data()
# Only process 0 needs the folder.
path = folder / "fit.ckpt" if rank == 0 else Path("/no/such/folder/fit.ckpt")
model = _classifier(max_iter=10, dropout=0.2, early_stopping=True, random_state=None)
with data_parallel(timeout=60):
    model.set_params(callbacks=[Checkpoint(path, every_seconds=0), Fails()]).fit(X, y, weights)
(folder / f"{rank}.pickle").write_bytes(pickle.dumps([attempt, model.set_params(callbacks=None)]))
