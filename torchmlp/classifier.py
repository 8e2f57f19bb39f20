"""Multilayer perceptron classifier with the API of scikit-learn, trained with PyTorch."""

from typing import Self

from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target

from torchmlp import _typing as t
from torchmlp._sklearn_compat import available_if, fit_context, is_first_partial_fit
from torchmlp.agreement import all_labels, balanced_class_weight
from torchmlp.base import BaseTorchMLP, FitCall, supports_partial_fit
from torchmlp.constraints import CLASSIFIER_CONSTRAINTS
from torchmlp.encoding import ClassEncoder
from torchmlp.prediction import ProbabilityMixin, ScoreMixin
from torchmlp.training.inference import largest_outputs
from torchmlp.validation import check_class_weight, check_weights, naming


class TorchMLPClassifier(ScoreMixin, ProbabilityMixin, ClassifierMixin, BaseTorchMLP):
    """Multilayer perceptron classifier.

    This model minimizes the log-loss (cross-entropy) or another `loss`. With the log-loss, the
    output activation is softmax for more than two classes, else the logistic function. The
    parameters up to `max_fun` are those of :class:`sklearn.neural_network.MLPClassifier`. In
    float64 on the CPU, the results of both classes agree up to rounding, with a few exceptions.

    Parameters
    ----------
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
        Whether to set aside `validation_fraction` of the samples (or use X_val), to stop when the
        validation score, by default accuracy, has not improved by `tol` for `n_iter_no_change`
        epochs, and to restore the weights with the best score. The split is stratified, except for
        multilabel targets. If False, training stops when the training loss has not improved.

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

    loss : {'log_loss', 'hinge', 'perceptron'} or callable, default='log_loss'
        The loss function. 'log_loss' and a callable have `predict_proba`, the others have
        `decision_function`. z are the raw outputs, s = +1 or -1 encodes two classes, and t is the
        true class of more:

        - 'log_loss', the cross-entropy
        - 'hinge', max(0, 1 - s z), or max(0, 1 + max_{j != t} z_j - z_t) [4]_
        - 'perceptron', max(0, -s z), or max(0, max_{j != t} z_j - z_t); ties count as errors
        - a callable that takes two tensors, the raw outputs of shape (n_samples, n_outputs) and y,
          and returns a tensor of shape (n_samples,). It is differentiated by autograd, and its
          values are multiplied by the sample and class weights. For more than two classes, y has
          the indices of `classes_`, int64 of shape (n_samples,), as
          `torch.nn.functional.cross_entropy` takes them. For two classes (one output) and
          multilabel targets, y has values 0 and 1, of the shape and dtype of the raw outputs, as
          `torch.nn.functional.binary_cross_entropy_with_logits` takes them. The probabilities are
          the softmax or the logistic function of the raw outputs. In the first batch, the values
          and the gradient must be finite, and the loss must depend on the raw outputs

    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes, multiplied with `sample_weight`. Classes that are not in the dict
        have weight 1. 'balanced' uses the weights ``n_samples / (n_classes * np.bincount(y))``.

    label_smoothing : float, default=0.0
        Share of the uniform distribution in the targets of the log-loss, in [0, 1): the probability
        of class k is ``(1 - label_smoothing) * (y == k) + label_smoothing / n_classes`` [6]_. For
        each label of a multilabel target, `n_classes` is 2. `loss_curve_` and the validation loss
        are those of the smoothed targets.

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
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.

    loss_, best_loss_ : float or None
        Training loss of the last epoch, with the L2 term, and the lowest one. `best_loss_` is None
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
        predictions.

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

    out_activation_ : str
        Output activation: 'softmax' or 'logistic', or 'identity' for a loss without probabilities.

    device_ : str
        Device on which the model was trained.

    See Also
    --------
    TorchMLPRegressor : Multilayer perceptron regressor.
    sklearn.neural_network.MLPClassifier : The scikit-learn estimator with the same parameters.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014.
       :arxiv:`1412.6980`
    .. [2] Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
       :arxiv:`1711.05101`
    .. [3] Shamir and Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", ICML 2013.
       :arxiv:`1212.1824`
    .. [4] Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based
       Vector Machines", Journal of Machine Learning Research 2, 2001.
    .. [5] Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", ICCV 2017.
       :arxiv:`1708.02002`
    .. [6] Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture for
       Computer Vision", CVPR 2016. :arxiv:`1512.00567`

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> from torchmlp import TorchMLPClassifier
    >>> X, y = make_classification(n_samples=100, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=1)
    >>> clf = TorchMLPClassifier(random_state=1, max_iter=300).fit(X_train, y_train)
    >>> clf.predict_proba(X_test[:1]).round(2)
    array([[0.04, 0.96]])
    >>> clf.predict(X_test[:5, :])
    array([1, 0, 1, 0, 1])
    >>> clf.score(X_test, y_test)
    0.88

    Dropout, class weights, smoothed labels, one activation per layer, and a schedule:

    >>> clf = TorchMLPClassifier(
    ...     (50, 20), activation=["gelu", "tanh"], solver="adamw", learning_rate="one_cycle",
    ...     learning_rate_init=0.01, max_iter=40, class_weight="balanced", dropout=[0.2, 0.0],
    ...     max_grad_norm=1.0, average=True, label_smoothing=0.02, dtype="float32", device="cpu",
    ...     random_state=1,
    ... ).fit(X_train, y_train)
    >>> clf.score(X_test, y_test)
    0.88

    A torch optimizer, the initialization of torch, and a callback of skorch:

    >>> import torch
    >>> from skorch.callbacks import EpochScoring
    >>> clf = TorchMLPClassifier(
    ...     activation=torch.sin, solver=torch.optim.RMSprop, init="torch", time_limit=60,
    ...     callbacks=[EpochScoring("f1", on_train=True)], verbose="bar", random_state=1,
    ... ).fit(X_train, y_train)
    >>> clf.history_[-1, ("epoch", "f1")]
    (188, 1.0)

    A callback of scikit-learn, and early stopping with a scorer, for L-BFGS:

    >>> from sklearn.callback import ScoringMonitor
    >>> monitor = ScoringMonitor(scoring="roc_auc")
    >>> clf = TorchMLPClassifier(
    ...     solver="lbfgs", early_stopping=True, scoring="neg_log_loss", random_state=1
    ... ).set_callbacks(monitor).fit(X_train, y_train)
    >>> len(monitor.get_logs().data) > clf.n_iter_
    True

    Rosenblatt's perceptron:

    >>> rule = TorchMLPClassifier(
    ...     (), loss="perceptron", init="zeros", solver="sgd", learning_rate_init=1.0,
    ...     momentum=0, alpha=0, batch_size=1, random_state=1,
    ... )
    >>> rule.fit(X_train, y_train).score(X_test, y_test)
    0.92

    A user-defined loss, here the focal loss of Lin et al. [5]_ for two classes:

    >>> from torch.nn.functional import binary_cross_entropy_with_logits
    >>> def focal_loss(raw, y):
    ...     entropy = binary_cross_entropy_with_logits(raw, y, reduction="none")
    ...     return ((1 - torch.exp(-entropy)) ** 2 * entropy).sum(dim=1)
    >>> clf = TorchMLPClassifier(loss=focal_loss, random_state=1, max_iter=300)
    >>> clf.fit(X_train, y_train).predict_proba(X_test[:1]).round(2)
    array([[0.25, 0.75]])
    """

    classes_: t.Array

    _parameter_constraints = CLASSIFIER_CONSTRAINTS

    def __init__(
        self,
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
        loss: t.Loss = "log_loss",
        class_weight: t.ClassWeight = None,
        label_smoothing: t.Float = 0.0,
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
        labels = all_labels(call.processes, call.y)  # failures of other processes are not about y
        with naming("y", "classes"):
            encoder = self._class_encoder(call, labels)
            loss = encoder.loss(self.loss, float(self.label_smoothing))
            return encoder, encoder.encode(call.y), loss

    def _class_encoder(self, call, labels):
        """Return the encoder of an earlier fit after checking the labels, or a new encoder."""
        with naming("classes"):
            classes = None if call.classes is None else column_or_1d(call.classes)
            first = call.incremental and is_first_partial_fit(self, classes)  # sets `classes_`
        if first:
            multilabel = type_of_target(call.y).startswith("multilabel")
            with naming("classes"):
                encoder = _new_encoder(call.y if multilabel else classes)
        elif call.resumed:
            encoder = self._encoder
        else:
            encoder = _new_encoder(labels)
            self.classes_ = encoder.classes
            return encoder
        encoder.check(labels, same_classes=self.warm_start)
        return encoder

    def _sample_weights(self, call):
        if self.class_weight is None:
            return super()._sample_weights(call)
        if call.incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which does not see all "
                "samples at once. Pass the class weights as a dict."
            )
        class_weight = check_class_weight(self.class_weight, self.classes_)
        if class_weight == "balanced":
            class_weight = balanced_class_weight(call.processes, call.y, self.classes_)
        with naming("class_weight"):
            balance = compute_sample_weight(class_weight, call.y)
        if call.sample_weight is not None:
            balance = balance * check_weights(call.sample_weight, call.X)
        return check_weights(balance, call.X, "class_weight")

    def _predict_rows(self, X, layers, activations):
        if not self._encoder.multiclass:
            return super()._predict_rows(X, layers, activations)
        return self._encoder.labels(largest_outputs(X, layers, activations))

    @available_if(supports_partial_fit)
    @fit_context
    def partial_fit(
        self,
        X: t.Matrix,
        y: t.Matrix,
        sample_weight: t.Vector | None = None,
        classes: t.Vector | None = None,
    ) -> Self:
        """Update the model with a single epoch over the given data.

        The progress bar, `time_limit` and the callbacks of scikit-learn only apply to `fit`.

        n calls with the same data give exactly the same weights as one call of `fit` with
        ``max_iter=n`` that does not stop early.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            The labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.
        classes : array-like of shape (n_classes,), default=None
            Classes across all calls of `partial_fit`. Required for the first call only.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        AttributeError
            If ``solver='lbfgs'``, which does not support `partial_fit`.
        ValueError
            As in `fit`, or if y has classes that were not passed in the first call. The estimator
            is then left unchanged.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = TorchMLPClassifier(learning_rate_init=0.01, random_state=0)
        >>> for start in range(0, len(X), 200):
        ...     rows = slice(start, start + 200)
        ...     clf = clf.partial_fit(X[rows], y[rows], classes=range(10))
        >>> clf.t_ == len(X)
        True
        """
        return self._fit(FitCall(X, y, sample_weight, classes, incremental=True))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _new_encoder(y):
    return ClassEncoder(LabelBinarizer().fit(y))
