"""TorchMLPRegressor: scikit-learn's MLPRegressor, trained by torch."""

from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from torchmlp._sklearn_compat import fit_context
from torchmlp.base import BaseTorchMLP
from torchmlp.constraints import REGRESSOR_CONSTRAINTS
from torchmlp.encoding import ValueEncoder
from torchmlp.prediction import ScoreMixin
from torchmlp.training.losses import regressor_loss


class TorchMLPRegressor(ScoreMixin, RegressorMixin, BaseTorchMLP):
    """Multilayer perceptron regressor.

    Minimises half the squared error or another `loss`. With several targets, `loss_curve_` holds
    the average of the squared error over them, while the stochastic solvers follow the gradient
    of its sum: as in scikit-learn.
    Parameters, attributes and, in float64, numbers are those of
    :class:`sklearn.neural_network.MLPRegressor`; `quantile` and what follows it are added.

    Parameters
    ----------
    loss : str or callable, default='squared_error'
        What training minimises, for a target y and a prediction p. With several targets the
        squared error is averaged over them, as in scikit-learn, and the others are summed.

        - 'squared_error', (y - p)² / 2
        - 'absolute_error', abs(y - p); predicts the median
        - 'huber', (y - p)² / 2 where abs(y - p) < 1, else abs(y - p) - 1/2
        - 'quantile', q (y - p) where y > p, else (1 - q) (p - y), with q = `quantile` [3]_
        - 'poisson', y log(y / p) - y + p, for y >= 0; the output is exponentiated (log-link)
        - 'gamma', y / p - log(y / p) - 1, for y > 0, with the same link
        - a callable takes the raw outputs and the targets, tensors of shape
          (n_samples, n_outputs), and returns a tensor of shape (n_samples,); torch's autograd
          differentiates it. In the first batch its value and gradient must be finite, and it must
          depend on the raw outputs; a gradient of zero is allowed where other outputs have one
          that is not zero, as for a hinge loss

    hidden_layer_sizes : array-like of shape (n_layers - 2,) or int, default=(100,)
        Number of units in each hidden layer. ``()`` is a linear model; an int is one layer.

    activation : str, callable, or list of them, default='relu'
        Activation function of the hidden layers, or a list with one for each.

        - 'identity', f(x) = x
        - 'logistic', f(x) = 1 / (1 + exp(-x))
        - 'tanh', f(x) = tanh(x)
        - 'relu', f(x) = max(0, x)
        - 'leaky_relu', 'elu', 'selu', 'silu', 'gelu', 'softplus', 'mish', those of
          `torch.nn.functional` with its defaults
        - a callable takes a tensor and returns one of the same shape; torch's autograd
          differentiates it. A torch module must not have trainable parameters

    solver : {'lbfgs', 'sgd', 'adam', 'adamw'} or callable, default='adam'
        How the weights are found.

        - 'lbfgs', scipy's L-BFGS-B on all samples at once; good for small data. It ignores
          `dropout`, `max_grad_norm` and planned rates, with a warning; `callbacks` are an error
        - 'sgd', stochastic gradient descent, with momentum
        - 'adam', Kingma and Ba's stochastic optimiser [1]_
        - 'adamw', the same with decoupled decay: each step first shrinks `coefs_` (not
          `intercepts_`) by ``learning_rate * alpha``, and the loss has no penalty [2]_
        - a class of `torch.optim`, a `functools.partial` of one with its options, or a function
          ``(params, lr)`` that returns an optimizer or a list of them. `params` has the shapes
          and the order of ``to_torch().parameters()``. The ``lr`` of every parameter group
          follows `learning_rate`; `alpha` stays in the loss; `momentum` and `beta_1` are not
          passed on. `torch.optim.Muon` needs such a function, since it takes matrices only;
          `torch.optim.LBFGS` and `torch.optim.SparseAdam` are not supported

    alpha : float, default=0.0001
        Strength of the L2 penalty on `coefs_` (not on `intercepts_`). The loss of a batch is the
        mean over its samples plus ``alpha / 2 * sum(w ** 2) / n``, where n is the number of
        samples of the batch, or the sum of their weights.

    batch_size : int or 'auto', default='auto'
        Samples per step of the stochastic solvers. 'auto' is ``min(200, n_samples)``.

    learning_rate : {'constant', 'invscaling', 'adaptive', 'cosine', 'one_cycle'}, \
            default='constant'
        Schedule of the learning rate. The second and third are for ``solver='sgd'`` only, and
        ignored by the others, as in scikit-learn; the last two are for every stochastic solver.
        These are planned for `max_iter` epochs and followed to the end: `tol` and
        `n_iter_no_change` do not stop the fit, and early stopping only keeps the best weights.

        - 'constant', `learning_rate_init` throughout
        - 'invscaling', ``learning_rate_init / (t + 1) ** power_t`` after t samples
        - 'adaptive', a fifth of the rate each time the training loss (or the validation score)
          fails to improve by `tol` for `n_iter_no_change` epochs
        - 'cosine', from `learning_rate_init` to 0 in `max_iter` epochs, along half a cosine
        - 'one_cycle', from ``learning_rate_init / 25`` up to `learning_rate_init` in 30 % of
          `max_iter` epochs and down again to a 250000th of it, along half cosines

    learning_rate_init : float, default=0.001
        The initial learning rate of the stochastic solvers.

    power_t : float, default=0.5
        Exponent of 'invscaling'.

    max_iter : int, default=200
        Most epochs (passes over the data) of a stochastic solver, or iterations of 'lbfgs'.

    shuffle : bool, default=True
        Whether to shuffle the samples before each epoch of a stochastic solver.

    random_state : int, RandomState instance or None, default=None
        Draws the initial weights, the split for early stopping and the order of the samples. An
        int gives the same result at each call, and the one that scikit-learn gives. None draws
        from NumPy's global generator, as everywhere in scikit-learn.

    tol : float, default=1e-4
        Least improvement of the loss, or of the validation score, that counts. For 'lbfgs' also
        the largest component of the gradient at which to stop.

    verbose : bool, int or 'bar', default=False
        Whether to print the loss of each epoch. 'bar' shows a progress bar instead, with loss,
        score and the time that is left: in a notebook or a terminal, but not in a file or pipe.

    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last call, rather than starting anew.

    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.

    nesterovs_momentum : bool, default=True
        Whether 'sgd' uses Nesterov's momentum.

    early_stopping : bool, default=False
        Whether to keep a `validation_fraction` of the samples from training, to stop when their
        R² has not risen by `tol` for `n_iter_no_change` epochs, and to keep the weights with the
        best score. Without it, training stops when the training loss no longer falls.

    validation_fraction : float, default=0.1
        Share of the samples that early stopping keeps from training, between 0 and 1.

    beta_1 : float, default=0.9
        Decay rate of the first moment in 'adam', in [0, 1).

    beta_2 : float, default=0.999
        Decay rate of the second moment in 'adam', in [0, 1).

    epsilon : float, default=1e-8
        What keeps 'adam' from dividing by zero.

    n_iter_no_change : int or inf, default=10
        Epochs without improvement after which training stops; 'lbfgs' counts its iterations,
        with early stopping only.

    max_fun : int, default=15000
        Most evaluations of the loss by 'lbfgs'.

    quantile : float, default=0.5
        Which quantile ``loss='quantile'`` predicts, in (0, 1). Other losses ignore it, with a
        warning.

    dropout : float or list of float, default=0.0
        Share of the units of each hidden layer that each batch drops while training, in [0, 1);
        the others are scaled up to make up for them. Predictions use all units.

    init : {'glorot', 'torch', 'zeros'}, default='glorot'
        Initial weights: scikit-learn's, uniform within sqrt(6 / (fan_in + fan_out)); those of
        torch's ``nn.Linear``, uniform within 1 / sqrt(fan_in); or all 0, for linear models
        only, as hidden units that begin alike stay alike.

    max_grad_norm : float or None, default=None
        A gradient of larger Euclidean norm is scaled down to it before the step.

    scoring : str, callable or None, default=None
        What early stopping watches; ignored without it, with a warning. None is what `score`
        computes, 'loss' the validation loss (negated); else a scorer's name, or a callable
        ``(estimator, X, y) -> float``, which gets `sample_weight` if it takes it.

    time_limit : float or None, default=None
        Seconds after which `fit` ends, with a ConvergenceWarning: after a block of batches, or
        before another evaluation of the loss by 'lbfgs'. An epoch cut short is recorded and
        validated as any other, with the loss of the samples that it has seen; an iteration of
        'lbfgs' cut short is dropped.

    callbacks : list of skorch.callbacks.Callback or None, default=None
        Called while a stochastic solver trains, as in skorch: those that work by epoch, such as
        `EpochScoring`, `LRScheduler`, `Checkpoint`, `EarlyStopping` and our `Snapshots`, and
        `ProgressBar` and `GradientNormClipping`. Weights that they change in ``net.module_`` are
        the model's. For scikit-learn's callbacks, and for 'lbfgs', see `set_callbacks`.

    device : str or torch.device, default='auto'
        Where to train and predict: 'cpu', 'cuda', 'cuda:1', 'mps'. 'auto' is the CPU, also where
        there is a GPU. Where the device is missing, predictions are made on the CPU.

    dtype : {'auto', 'float64', 'float32', 'bfloat16'}, default='auto'
        Type of weights and arithmetic. 'auto' is that of X on the CPU and float32 elsewhere.
        'bfloat16' keeps weights and sums in float32 and rounds the operands of products where
        that saves time: on a CPU in large steps only, and with instructions for it.

    Attributes
    ----------
    loss_, best_loss_ : float or None
        Loss of the last epoch, penalty included, and the smallest of any epoch. The second is
        None with ``early_stopping=True``, and not there for 'lbfgs' without early stopping.

    loss_curve_ : list of float
        Loss of each epoch, or of each iteration of 'lbfgs'.

    validation_loss_curve_ : list of float or None
        Loss of the validation data after each epoch, without the penalty; None without any.

    validation_scores_, best_validation_score_ : list of float or None, float or None
        Score of the validation samples after each epoch, and the largest of them, with
        ``early_stopping=True``. Not for 'lbfgs' without early stopping.

    t_ : int
        Samples that training has seen, counted once per epoch.

    coefs_ : list of ndarrays of shape (fan_in, fan_out)
        Weight matrix of each layer. They are the model: assigning or changing one changes the
        next prediction.

    intercepts_ : list of ndarrays of shape (fan_out,)
        Bias vector of each layer.

    history_ : skorch.history.History
        What was recorded of each epoch.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X has names that are all strings.

    n_iter_ : int
        Epochs, or iterations of 'lbfgs', of the last fit.

    n_layers_, n_outputs_, n_parameters_ : int
        Number of layers, input and output included; of outputs; of weights and biases.

    out_activation_ : str
        Output activation: 'exp' for 'poisson' and 'gamma', else 'identity'.

    device_ : str
        Where the fit ran.

    See Also
    --------
    TorchMLPClassifier : The same for classes.
    sklearn.neural_network.MLPRegressor : The original.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014.
       :arxiv:`1412.6980`
    .. [2] Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
       :arxiv:`1711.05101`
    .. [3] Koenker and Bassett, "Regression Quantiles", Econometrica 46, 1978.

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

    What scikit-learn's class does not have: other losses, such as that of a quantile, and planned
    rates,

    >>> upper = TorchMLPRegressor(
    ...     "quantile", quantile=0.9, activation="silu", learning_rate="cosine",
    ...     learning_rate_init=0.02, max_iter=200, device="cpu", random_state=1,
    ... ).fit(X_train, y_train)
    >>> bool((y_test < upper.predict(X_test)).mean() > 0.6)
    True

    one of your own, on the raw outputs, with any optimizer of torch,

    >>> import torch
    >>> def log_cosh(raw, y):
    ...     return torch.log(torch.cosh((raw - y) / 100)).sum(dim=1)
    >>> regressor = TorchMLPRegressor(
    ...     log_cosh, solver=torch.optim.RMSprop, init="torch", max_grad_norm=10.0,
    ...     learning_rate_init=0.05, learning_rate="cosine", dtype="float64", random_state=1,
    ... ).fit(X_train, y_train)
    >>> round(regressor.score(X_test, y_test), 1)
    1.0

    dropout, and early stopping by any score,

    >>> regressor = TorchMLPRegressor(
    ...     hidden_layer_sizes=(100, 50), dropout=0.1, solver="adamw", early_stopping=True,
    ...     time_limit=60, scoring="neg_max_error", learning_rate_init=0.01, random_state=1,
    ... ).fit(X_train, y_train)
    >>> regressor.best_validation_score_ == max(regressor.validation_scores_)
    True

    and callbacks, of skorch and of scikit-learn.

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
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        quantile=0.5,
        dropout=0.0,
        init="glorot",
        max_grad_norm=None,
        scoring=None,
        time_limit=None,
        callbacks=None,
        device="auto",
        dtype="auto",
    ):
        self._store(locals())

    def _target_encoder(self, y, incremental, classes):
        return ValueEncoder(self._loss(None))

    def _loss(self, encoder):
        return regressor_loss(self.loss, float(self.quantile))

    @available_if(lambda self: self._check_solver())
    @fit_context
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch, from where the last call stopped.

        Without the bar, the time limit and the callbacks of scikit-learn, which are for `fit`.

        n calls on the same data end in the same weights, to the bit, as one `fit` with
        ``max_iter=n`` that does not stop before.

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
            With ``solver='lbfgs'``, which has no such method.
        ValueError
            As in `fit`. The estimator is then as it was before.
        """
        return self._fit(X, y, sample_weight, incremental=True)
