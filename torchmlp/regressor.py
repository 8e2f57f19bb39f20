"""Multilayer perceptron regressor with the API of scikit-learn, trained with PyTorch."""

from typing import Self

from sklearn.base import RegressorMixin

from torchmlp import _typing as t
from torchmlp._sklearn_compat import available_if, fit_context
from torchmlp.base import BaseTorchMLP, FitCall, supports_partial_fit
from torchmlp.constraints import REGRESSOR_CONSTRAINTS
from torchmlp.distribution_encoding import quantile_levels, value_encoder
from torchmlp.prediction import ScoreMixin, StdMixin
from torchmlp.training.losses import regressor_loss
from torchmlp.validation import naming


class TorchMLPRegressor(ScoreMixin, StdMixin, RegressorMixin, BaseTorchMLP):
    """Multilayer perceptron regressor.

    This model minimizes half the squared error or another `loss`. With several targets,
    `loss_curve_` contains the squared error averaged over the targets, but the stochastic solvers
    use the gradient of its sum, as in scikit-learn. The parameters up to `max_fun` are those of
    :class:`sklearn.neural_network.MLPRegressor`. In float64 on the CPU, the results of both classes
    agree up to rounding, with a few exceptions.

    Parameters
    ----------
    loss : str or callable, default='squared_error'
        The loss function, for a target y and a prediction p. With several targets, the squared
        error is averaged over the targets, as in scikit-learn; the other losses are summed.

        - 'squared_error', (y - p)² / 2
        - 'absolute_error', abs(y - p), which predicts the median
        - 'huber', (y - p)² / 2 where abs(y - p) < 1, else abs(y - p) - 1/2. With
          ``normalize_y=True``, the threshold is one standard deviation of y
        - 'quantile', the pinball loss: q (y - p) where y > p, else (1 - q) (p - y), with q =
          `quantile` [4]_. It is averaged over the quantiles if `quantile` is a list
        - 'gaussian', the negative log-likelihood of a normal distribution, (log(2 π) + log(v) +
          (y - m)² / v) / 2, for two outputs per target: the mean m and log(v), the logarithm of
          the variance [6]_. ``predict(X, return_std=True)`` also returns the standard deviations.
          See Notes
        - 'poisson', half the deviance y log(y / p) - y + p, for y >= 0; the output activation is
          exp
        - 'gamma', half the deviance y / p - log(y / p) - 1, for y > 0; the output activation is exp
        - a callable that takes two tensors of shape (n_samples, n_outputs), the raw outputs and the
          targets, and returns a tensor of shape (n_samples,). It is differentiated by autograd. In
          the first batch, its values and gradient must be finite, and it must depend on the raw
          outputs. The gradient may be zero for a batch, as for a hinge loss, but not for all
          outputs. An error is raised if the loss compares each output with the targets of all
          samples, because shapes (n_samples,) and (n_samples, 1) were broadcast. With
          ``normalize_y=True``, both tensors are in standard deviations from the mean of y, so the
          raw outputs should be predictions of y

    hidden_layer_sizes : array-like of shape (n_layers - 2,) or int, default=(100,)
        Number of units in each hidden layer. ``()`` gives a linear model, an int one hidden layer.

    activation : str, callable, or list of them, default='relu'
        Activation function of the hidden layers, or a list with one per hidden layer.

        - 'identity', f(x) = x
        - 'logistic', f(x) = 1 / (1 + exp(-x))
        - 'tanh', f(x) = tanh(x)
        - 'relu', f(x) = max(0, x)
        - 'leaky_relu', 'elu', 'selu', 'silu', 'gelu', 'softplus', 'mish', the functions of
          `torch.nn.functional` with default arguments
        - a callable that takes a tensor and returns a tensor of the same shape. It is
          differentiated by autograd. A torch module must not have trainable parameters

    solver : {'lbfgs', 'sgd', 'adam', 'adamw'} or callable, default='adam'
        The solver for weight optimization.

        - 'lbfgs', SciPy's L-BFGS-B on all samples at once; suited to small data. It does not
          support `callbacks`, and ignores `dropout`, `max_grad_norm`, `average`, 'cosine' and
          'one_cycle' with a warning
        - 'sgd', stochastic gradient descent with momentum
        - 'adam', the stochastic optimizer of Kingma and Ba [1]_
        - 'adamw', Adam with decoupled weight decay [2]_: each step multiplies `coefs_`, but not
          `intercepts_`, by ``1 - lr * alpha`` for the learning rate lr. The loss has no L2 term
        - a class of `torch.optim`, a `functools.partial` of it, or a function ``(params, lr)`` that
          returns an optimizer or a list of them. `params` has the shapes and the order of
          ``to_torch().parameters()``. `learning_rate` sets the ``lr`` of every parameter group,
          `alpha` is part of the loss, and `momentum` and `beta_1` are ignored. `torch.optim.Muon`
          accepts matrices only and needs such a function. `torch.optim.LBFGS` and
          `torch.optim.SparseAdam` are not supported

    alpha : float, default=0.0001
        Strength of the L2 regularization term. It applies to `coefs_`, but not to `intercepts_`.
        The loss of a batch is the mean loss of its samples plus ``alpha / 2 * sum(w ** 2) / n``,
        where n is the number of samples in the batch, or the sum of their sample weights.

    batch_size : int or 'auto', default='auto'
        Size of the mini-batches of the stochastic solvers. 'auto' means ``min(200, n_samples)``.

    learning_rate : {'constant', 'invscaling', 'adaptive', 'cosine', 'one_cycle'}, \
            default='constant'
        Learning rate schedule. 'invscaling' and 'adaptive' only have an effect with
        ``solver='sgd'``, as in scikit-learn. 'cosine' and 'one_cycle' work with every stochastic
        solver, span `max_iter` epochs and are followed to the end: `tol` and `n_iter_no_change` do
        not stop the fit, and early stopping only restores the best weights.

        - 'constant', a constant learning rate of `learning_rate_init`
        - 'invscaling', ``learning_rate_init / (t + 1) ** power_t`` after t samples
        - 'adaptive', divided by 5 each time the training loss (or the validation score) has not
          improved by `tol` for `n_iter_no_change` epochs, until it is at most 1e-6
        - 'cosine', cosine annealing from `learning_rate_init` to 0 in `max_iter` epochs
        - 'one_cycle', cosine annealing from ``learning_rate_init / 25`` up to `learning_rate_init`
          in the first 30 % of `max_iter` epochs, then down to ``learning_rate_init / 250000``

    learning_rate_init : float, default=0.001
        The initial learning rate of the stochastic solvers.

    power_t : float, default=0.5
        Exponent of the learning rate schedule 'invscaling'.

    max_iter : int, default=200
        Maximum number of epochs of a stochastic solver, or of iterations of 'lbfgs'.

    shuffle : bool, default=True
        Whether to shuffle the samples before each epoch of a stochastic solver.

    random_state : int, RandomState instance or None, default=None
        Determines random number generation for the initial weights, the validation split, the order
        of the samples and dropout. Pass an int for reproducible results across calls, equal to
        those of scikit-learn. None uses the global random state of NumPy.

    tol : float, default=1e-4
        Minimum improvement of the training loss or the validation score that counts. For 'lbfgs',
        also the largest absolute component of the gradient at which to stop.

    verbose : bool, int or 'bar', default=False
        Whether to print progress messages. 'bar' shows a progress bar with the loss, the score and
        the remaining time instead; it only appears in a notebook or a terminal. Messages that are
        not printed are logged with level DEBUG to the logger 'torchmlp' of :mod:`logging`. With
        level INFO, one message at the start and one at the end of `fit` are logged.

    warm_start : bool, default=False
        Whether `fit` continues from the weights of the previous call instead of new ones.

    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.

    nesterovs_momentum : bool, default=True
        Whether 'sgd' uses Nesterov's momentum.

    early_stopping : bool, default=False
        Whether to set aside `validation_fraction` of the samples (or to use X_val), to stop when
        the validation score has not improved by `tol` for `n_iter_no_change` epochs, and to restore
        the weights with the best score. By default, the score is R² for all losses (for several
        quantiles, see `score`). ``scoring="loss"`` suits the losses 'quantile', 'poisson', 'gamma'
        and 'gaussian'. If False, the training loss must improve instead.

    validation_fraction : float, default=0.1
        Fraction of the training data to set aside for early stopping, between 0 and 1.

    beta_1 : float, default=0.9
        Exponential decay rate of the first moment estimate in 'adam' and 'adamw', in [0, 1).

    beta_2 : float, default=0.999
        Exponential decay rate of the second moment estimate in 'adam' and 'adamw', in [0, 1).

    epsilon : float, default=1e-8
        Value for numerical stability in 'adam' and 'adamw'.

    n_iter_no_change : int, inf or 'auto', default=10
        Maximum number of epochs without an improvement by `tol`. 'auto' means at least 16 epochs
        and at least 1000 steps, so that small data, whose epochs have few steps, are trained long
        enough. 'lbfgs' uses it only with early stopping, and counts iterations; 'auto' means 16.

    max_fun : int, default=15000
        Maximum number of loss function evaluations of 'lbfgs'.

    quantile : float or list of float, default=0.5
        The quantile to predict with ``loss='quantile'``, in (0, 1). With a list or an array of
        different quantiles, the network has one output per quantile of a single target, and
        predictions have one column per quantile, in the same order. The raw outputs of each sample
        are sorted, so that quantiles never cross [5]_. Other losses ignore it, with a warning if it
        is not 0.5.

    normalize_y : bool, default=False
        Whether to standardize the targets for training. Set it to True if y has values far from 1,
        such as prices. Each output is centered to mean 0 and scaled to standard deviation 1, with
        the weighted mean and deviation of the training rows, without those that `early_stopping`
        sets aside. With the losses 'poisson' and 'gamma', y is divided by its mean. y_val is scaled
        with the same numbers. A constant output is only centered. After training, the scale is
        folded into the last layer: predictions, `coefs_` and `intercepts_` are in the units of y.
        `alpha` and `tol`, the losses and their gradients refer to the scaled targets. `partial_fit`
        and a warm start keep the scale of the first call, which should therefore have a
        representative sample. See Notes.

    dropout : float or list of float, default=0.0
        Probability of dropping a unit of each hidden layer in training, in [0, 1). The other units
        are scaled by ``1 / (1 - dropout)``. Predictions use all units.

    init : {'glorot', 'torch', 'zeros'}, default='glorot'
        Distribution of the initial weights. 'glorot' is uniform within sqrt(6 / (fan_in +
        fan_out)), as in scikit-learn, 'torch' within 1 / sqrt(fan_in), as in ``torch.nn.Linear``.
        'zeros' is for linear models only, because equal hidden units would stay equal.

    max_grad_norm : float or None, default=None
        Maximum Euclidean norm of the gradient of a batch. Larger gradients are clipped.

    average : bool, default=False
        Whether to use a running average of the weights as the fitted weights, instead of the last
        weights. After step t of a stochastic solver, the average becomes
        ``average + 9 / (t + 8) * (weights - average)``, so that about the last ninth of the steps
        contribute [3]_. Early stopping computes the score of the average, and restores the best
        average. `loss_curve_` is computed with the weights that are not averaged.

    scoring : str, callable or None, default=None
        Validation score for early stopping; ignored, with a warning, if ``early_stopping=False``.
        None uses the metric of `score`, 'loss' the negative validation loss. Otherwise the name of
        a scorer or a callable ``(estimator, X, y) -> float``, which is passed `sample_weight` if it
        accepts it.

    time_limit : float or None, default=None
        Maximum duration of `fit` in seconds, after which training stops with a ConvergenceWarning.
        The time is checked after each block of batches, or before each evaluation of the loss by
        'lbfgs'. An interrupted epoch is recorded with the loss of the samples seen so far, and the
        validation score is computed. An interrupted iteration of 'lbfgs' is discarded.

    callbacks : list of skorch.callbacks.Callback or None, default=None
        Callbacks of skorch for the stochastic solvers. Supported are those that work per epoch,
        such as `EpochScoring`, `LRScheduler`, `EarlyStopping` and our `Snapshots`, and
        `ProgressBar` and `GradientNormClipping`. They may change the weights of ``net.module_``.
        Our `Checkpoint` saves the state of the fit to a file, from which a killed fit continues.
        For callbacks of scikit-learn, and for 'lbfgs', use `set_callbacks`.

    device : str or torch.device, default='auto'
        Device for training and prediction: 'cpu', 'cuda', 'cuda:1', 'mps'. 'auto' is the CPU, even
        if there is a GPU. Predictions use the CPU if the device is not available.

    dtype : {'auto', 'float64', 'float32', 'bfloat16'}, default='auto'
        Dtype of the weights and the computation. 'auto' is that of X on the CPU and float32
        elsewhere. 'bfloat16' keeps weights in float32 and rounds the operands of matrix products
        where that is faster: on a CPU, only for large steps and with hardware support.

    Attributes
    ----------
    loss_, best_loss_ : float or None
        Training loss of the last epoch, with the L2 term, and the lowest one. With
        ``normalize_y=True``, all losses are those of the scaled targets. `best_loss_` is None
        with ``early_stopping=True``, and not defined for 'lbfgs' without early stopping. If no
        iteration of 'lbfgs' was completed, `loss_` is the loss of the initial weights.

    loss_curve_ : list of float
        Training loss of each epoch, or of each iteration of 'lbfgs'.

    validation_loss_curve_ : list of float or None
        Validation loss after each epoch, without the L2 term. None without validation data.

    validation_scores_, best_validation_score_ : list of float or None, float or None
        Validation score after each epoch and best validation score. None with
        ``early_stopping=False``. They are not defined for 'lbfgs' without early stopping.

    t_ : int
        Number of training samples that a stochastic solver has seen, over all epochs.

    coefs_ : list of ndarrays of shape (fan_in, fan_out)
        Weight matrix of each layer. Predictions use these arrays, so changing them changes the
        predictions. With ``loss='gaussian'``, the last one has shape (fan_in, 2 * n_targets): the
        columns for the means, then those for the logarithms of the variances.

    intercepts_ : list of ndarrays of shape (fan_out,)
        Bias vector of each layer.

    history_ : skorch.history.History
        Training history with one row per epoch.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Defined only when X has feature names that are all strings.

    n_iter_ : int
        Number of epochs, or of iterations of 'lbfgs', of the last call of `fit` or `partial_fit`.

    n_layers_, n_outputs_, n_parameters_ : int
        Number of layers, with the input and output layer; of outputs; of weights and biases.
        `n_outputs_` is the number of targets, twice that number with ``loss='gaussian'``, or the
        number of quantiles.

    out_activation_ : str
        Output activation: 'exp' for the losses 'poisson' and 'gamma', else 'identity'.

    device_ : str
        Device on which the model was trained.

    See Also
    --------
    TorchMLPClassifier : Multilayer perceptron classifier.
    sklearn.neural_network.MLPRegressor : The scikit-learn estimator with the same parameters.

    Notes
    -----
    With ``normalize_y=True``, the network is trained for the targets ``(y - m) / s``, where m and s
    are the weighted mean and standard deviation of each output. If W and b are the weights and
    intercepts of its last layer, the fitted model has ``coefs_[-1] = W * s`` and
    ``intercepts_[-1] = b * s + m``. With the losses 'poisson' and 'gamma', the network is trained
    for ``y / m``. The fitted model has ``coefs_[-1] = W`` and ``intercepts_[-1] = b + log(m)``,
    because ``m * exp(z) = exp(z + log(m))``. With 'gaussian', ``2 * log(s)`` is added to the
    intercepts of the logarithms of the variances.

    With ``loss='gaussian'``, (y - m)² is replaced by (y - m)² + f. Here f is a power of ten between
    1e-10 and 1e-9 times the variance of the target in the training data. For a constant target, the
    square of its value takes the place of the variance, or 1 if it is zero. Therefore the loss has
    a minimum even if all errors are zero, with the variance f. Training starts with means near 0
    and variances near 1: use ``normalize_y=True`` if y has another scale.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014.
       :arxiv:`1412.6980`
    .. [2] Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
       :arxiv:`1711.05101`
    .. [3] Shamir and Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", ICML 2013.
       :arxiv:`1212.1824`
    .. [4] Koenker and Bassett, "Regression Quantiles", Econometrica 46, 1978.
    .. [5] Chernozhukov, Fernandez-Val and Galichon, "Quantile and Probability Curves Without
       Crossing", Econometrica 78, 2010. :arxiv:`0704.3649`
    .. [6] Nix and Weigend, "Estimating the Mean and Variance of the Target Probability
       Distribution", IEEE International Conference on Neural Networks, 1994.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.model_selection import train_test_split
    >>> from torchmlp import TorchMLPRegressor
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
    >>> regressor = TorchMLPRegressor(random_state=1, max_iter=2000, tol=0.1)
    >>> regressor.fit(X_train, y_train)
    TorchMLPRegressor(max_iter=2000, random_state=1, tol=0.1)
    >>> regressor.predict(X_test[:2]).round()
    array([  29., -291.])
    >>> round(regressor.score(X_test, y_test), 2)
    0.98

    Several quantiles with one network, and a learning rate schedule:

    >>> reg = TorchMLPRegressor(
    ...     "quantile", quantile=[0.1, 0.5, 0.9], activation="silu", learning_rate="cosine",
    ...     learning_rate_init=0.02, max_iter=200, device="cpu", random_state=1,
    ... ).fit(X_train, y_train)
    >>> low, median, high = reg.predict(X_test).T
    >>> bool((low <= median).all() and (median <= high).all())
    True

    Targets with large values:

    >>> regressor = TorchMLPRegressor(
    ...     normalize_y=True, learning_rate="one_cycle", learning_rate_init=0.05, random_state=1
    ... ).fit(X_train, 1e6 + 1000 * y_train)
    >>> round(regressor.score(X_test, 1e6 + 1000 * y_test), 2)
    0.99
    >>> regressor.loss_ < 1e-3
    True

    Means and standard deviations:

    >>> reg = TorchMLPRegressor(
    ...     "gaussian", (20,), learning_rate="cosine", learning_rate_init=0.02, random_state=1,
    ... ).fit(X_train, y_train / 100)
    >>> mean, std = reg.predict(X_test, return_std=True)
    >>> mean.shape, std.shape
    ((50,), (50,))

    A user-defined loss and a torch optimizer:

    >>> import torch
    >>> def log_cosh(raw, y):
    ...     return torch.log(torch.cosh((raw - y) / 100)).sum(dim=1)
    >>> regressor = TorchMLPRegressor(
    ...     log_cosh, solver=torch.optim.RMSprop, init="torch", max_grad_norm=10.0, average=True,
    ...     learning_rate_init=0.05, learning_rate="cosine", dtype="float64", random_state=1,
    ... ).fit(X_train, y_train)
    >>> round(regressor.score(X_test, y_test), 1)
    1.0

    Dropout, and early stopping with a scorer:

    >>> regressor = TorchMLPRegressor(
    ...     hidden_layer_sizes=(100, 50), dropout=0.1, solver="adamw", early_stopping=True,
    ...     time_limit=60, scoring="neg_max_error", learning_rate_init=0.01, random_state=1,
    ... ).fit(X_train, y_train)
    >>> regressor.best_validation_score_ == max(regressor.validation_scores_)
    True

    Callbacks of skorch and of scikit-learn:

    >>> from sklearn.callback import ScoringMonitor
    >>> from skorch.callbacks import LRScheduler
    >>> regressor = TorchMLPRegressor(
    ...     callbacks=[LRScheduler("StepLR", step_size=10)], tol=10.0, verbose="bar"
    ... )
    >>> regressor = regressor.set_callbacks(ScoringMonitor(scoring="r2")).fit(X_train, y_train)
    >>> regressor.history_[-1, ("epoch", "event_lr")]
    (12, 0.0001)
    """

    _parameter_constraints = REGRESSOR_CONSTRAINTS

    def __init__(
        self,
        loss: t.Loss = "squared_error",
        hidden_layer_sizes: t.HiddenLayerSizes = (100,),
        activation: t.Activation = "relu",
        *,
        solver: t.Solver = "adam",
        alpha: t.Float = 0.0001,
        batch_size: t.BatchSize = "auto",
        learning_rate: str = "constant",
        learning_rate_init: t.Float = 0.001,
        power_t: t.Float = 0.5,
        max_iter: t.Int = 200,
        shuffle: bool = True,
        random_state: t.RandomState = None,
        tol: t.Float = 1e-4,
        verbose: t.Verbose = False,
        warm_start: bool = False,
        momentum: t.Float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: t.Float = 0.1,
        beta_1: t.Float = 0.9,
        beta_2: t.Float = 0.999,
        epsilon: t.Float = 1e-8,
        n_iter_no_change: t.Patience = 10,
        max_fun: t.Int = 15000,
        quantile: t.Quantile = 0.5,
        normalize_y: bool = False,
        dropout: t.Dropout = 0.0,
        init: str = "glorot",
        max_grad_norm: t.Float | None = None,
        average: bool = False,
        scoring: t.Scoring = None,
        time_limit: t.Float | None = None,
        callbacks: t.Callbacks = None,
        device: t.Device = "auto",
        dtype: str = "auto",
    ) -> None:
        self._store(locals())

    def _encode_targets(self, call):
        quantiles = quantile_levels(self.quantile)
        loss = regressor_loss(self.loss, quantiles)
        encoder = value_encoder(self.loss, quantiles, loss.out_activation)
        with naming("y"):
            return encoder, encoder.encode(call.y), loss

    def _scales_targets(self):
        return self.normalize_y

    @available_if(supports_partial_fit)
    @fit_context
    def partial_fit(self, X: t.Matrix, y: t.Matrix, sample_weight: t.Vector | None = None) -> Self:
        """Update the model with a single epoch over the given data.

        The progress bar, `time_limit` and the callbacks of scikit-learn only apply to `fit`.

        n calls with the same data give exactly the same weights as one call of `fit` with
        ``max_iter=n`` that does not stop early.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        AttributeError
            If ``solver='lbfgs'``, which does not support `partial_fit`.
        ValueError
            As in `fit`. The estimator is then left unchanged.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from torchmlp import TorchMLPRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> regressor = TorchMLPRegressor(random_state=0)
        >>> for start in range(0, len(X), 100):
        ...     regressor = regressor.partial_fit(X[start : start + 100], y[start : start + 100])
        >>> regressor.t_ == len(X)
        True
        """
        return self._fit(FitCall(X, y, sample_weight, incremental=True))
