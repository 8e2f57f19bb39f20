"""The list of the fitted attributes that both estimators have."""

import copy

from torchmlp.training.progress import Progress

# Field of `Progress` -> fitted attribute.
_PROGRESS = {
    "loss_curve": "loss_curve_",
    "loss": "loss_",
    "best_loss": "best_loss_",
    "validation_loss_curve": "validation_loss_curve_",
    "validation_scores": "validation_scores_",
    "best_validation_score": "best_validation_score_",
    "n_iter": "n_iter_",
    "t": "t_",
    "no_improvement_count": "_no_improvement_count",
    "history": "_history",
}
# Attributes that scikit-learn does not set for ``solver="lbfgs"``.
UNDEFINED_FOR_LBFGS = ("best_loss_", "validation_scores_", "best_validation_score_")


def fitted_attributes(coefs, intercepts, out_activation, device, encoder, progress):
    """Return the fitted attributes of an estimator as a dict.

    `n_features_in_`, `feature_names_in_` and `classes_` are not included, because they are set when
    X and y are validated.

    Parameters
    ----------
    coefs, intercepts : list of ndarray
    out_activation : str
    device : torch.device or str
    encoder : ClassEncoder or ValueEncoder
    progress : Progress

    Returns
    -------
    dict of str to object
    """
    return {
        "coefs_": coefs,
        "intercepts_": intercepts,
        "n_layers_": len(coefs) + 1,
        "n_outputs_": coefs[-1].shape[1],
        "out_activation_": out_activation,
        "n_parameters_": sum(array.size for array in coefs + intercepts),
        "device_": str(device),
        "_encoder": encoder,
        **{attribute: getattr(progress, name) for name, attribute in _PROGRESS.items()},
        "_history": list(progress.history),  # not skorch's class, which is slow to import
    }


def progress_of(estimator):
    """Return the `Progress` of a fitted estimator, with copies of its lists."""
    known = {
        name: copy.copy(getattr(estimator, attribute))
        for name, attribute in _PROGRESS.items()
        if hasattr(estimator, attribute)
    }
    return Progress(**known)
