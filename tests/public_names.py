"""The public names of the package."""

import torchmlp
from torchmlp import (
    callbacks,
    distributed,
    ensemble,
    export,
    inspection,
    joblib_backend,
    preprocessing,
    tabular,
)

# full name -> class or function
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (
        torchmlp,
        inspection,
        callbacks,
        ensemble,
        export,
        joblib_backend,
        distributed,
        preprocessing,
        tabular,
    )
    for name in module.__all__
}
