"""TorchMLPClassifier: scikit-learn's MLPClassifier, trained by torch."""

from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target

from torchmlp._sklearn_compat import fit_context, is_first_partial_fit
from torchmlp.base import BaseTorchMLP
from torchmlp.constraints import CLASSIFIER_CONSTRAINTS
from torchmlp.encoding import ClassEncoder
from torchmlp.prediction import ProbabilityMixin, ScoreMixin
from torchmlp.validation import check_weights


class TorchMLPClassifier(ScoreMixin, ProbabilityMixin, ClassifierMixin, BaseTorchMLP):
    """Multilayer perceptron classifier.

    Minimises the cross-entropy between the classes and a softmax over the outputs, or a sigmoid
    for two classes and for each label of a multilabel target, or another `loss`. Parameters and,
    in float64, numbers are those of :class:`sklearn.neural_network.MLPClassifier`; `loss` and
    what follows it are added.

    Parameters
    ----------
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
        accuracy has not risen by `tol` for `n_iter_no_change` epochs, and to keep the weights
        with the best score. The split is stratified, except for a multilabel target. Without it,
        training stops when the training loss no longer falls.

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

    loss : {'log_loss', 'hinge', 'perceptron'}, default='log_loss'
        What training minimises. 'log_loss' has `predict_proba`, the others `decision_function`.
        For raw outputs z, a class coded as s = +1 or -1, or the true one t of more classes:

        - 'log_loss', the cross-entropy
        - 'hinge', max(0, 1 - s z), or max(0, 1 + max_{j != t} z_j - z_t) [3]_
        - 'perceptron', max(0, -s z), or max(0, max_{j != t} z_j - z_t); a tie counts as wrong

    class_weight : dict, 'balanced' or None, default=None
        Weight of each class, multiplied with `sample_weight`. 'balanced' is
        ``n_samples / (n_classes * count)``.

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
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.

    loss_, best_loss_ : float or None
        Loss of the last epoch, penalty included, and the smallest. The second is None with
        ``early_stopping=True``, and not there for 'lbfgs' without early stopping.

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
        Their names, where X has names that are all strings.

    n_iter_ : int
        Epochs, or iterations of 'lbfgs', of the last fit.

    n_layers_, n_outputs_, n_parameters_ : int
        Number of layers, input and output included; of outputs; of weights and biases.

    out_activation_ : str
        Output activation: 'softmax' or 'logistic', or 'identity' without probabilities.

    device_ : str
        Where the fit ran.

    See Also
    --------
    TorchMLPRegressor : The same for real targets.
    sklearn.neural_network.MLPClassifier : The original.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014.
       :arxiv:`1412.6980`
    .. [2] Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
       :arxiv:`1711.05101`
    .. [3] Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based
       Vector Machines", Journal of Machine Learning Research 2, 2001.

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

    What scikit-learn's class does not have: regularisation, a function per layer, planned rates,

    >>> clf = TorchMLPClassifier(
    ...     (50, 20), activation=["gelu", "tanh"], solver="adamw", learning_rate="one_cycle",
    ...     learning_rate_init=0.01, max_iter=40, class_weight="balanced", dropout=[0.2, 0.0],
    ...     max_grad_norm=1.0, dtype="float32", device="cpu", random_state=1,
    ... ).fit(X_train, y_train)
    >>> clf.score(X_test, y_test)
    0.88

    any optimizer of torch, its initial weights and skorch's callbacks,

    >>> import torch
    >>> from skorch.callbacks import EpochScoring
    >>> clf = TorchMLPClassifier(
    ...     activation=torch.sin, solver=torch.optim.RMSprop, init="torch", time_limit=60,
    ...     callbacks=[EpochScoring("f1", on_train=True)], verbose="bar", random_state=1,
    ... ).fit(X_train, y_train)
    >>> clf.history_[-1, ("epoch", "f1")]
    (188, 1.0)

    scikit-learn's callbacks, and early stopping by any score, with every solver,

    >>> from sklearn.callback import ScoringMonitor
    >>> monitor = ScoringMonitor(scoring="roc_auc")
    >>> clf = TorchMLPClassifier(
    ...     solver="lbfgs", early_stopping=True, scoring="neg_log_loss", random_state=1
    ... ).set_callbacks(monitor).fit(X_train, y_train)
    >>> len(monitor.get_logs().data) > clf.n_iter_
    True

    and Rosenblatt's perceptron.

    >>> rule = TorchMLPClassifier(
    ...     (), loss="perceptron", init="zeros", solver="sgd", learning_rate_init=1.0,
    ...     momentum=0, alpha=0, batch_size=1, random_state=1,
    ... )
    >>> rule.fit(X_train, y_train).score(X_test, y_test)
    0.92
    """

    _parameter_constraints = CLASSIFIER_CONSTRAINTS

    def __init__(
        self,
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
        loss="log_loss",
        class_weight=None,
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
        if incremental and is_first_partial_fit(self, classes):  # which sets classes_
            multilabel = type_of_target(y).startswith("multilabel")
            self._encoder = ClassEncoder(y if multilabel else classes)
        if hasattr(self, "classes_") and (self.warm_start or incremental):
            self._encoder.check(y, same_classes=self.warm_start)
            return self._encoder
        encoder = ClassEncoder(y)
        self.classes_ = encoder.classes
        return encoder

    def _loss(self, encoder):
        return encoder.loss(self.loss)

    def _row_weights(self, sample_weight, X, y, incremental):
        if self.class_weight is None:
            return super()._row_weights(sample_weight, X, y, incremental)
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all samples at once, and partial_fit sees some. "
                "Give the weight of each class as a dict."
            )
        balance = compute_sample_weight(self.class_weight, y)
        if sample_weight is not None:
            balance = balance * check_weights(sample_weight, X)
        return check_weights(balance, X, "class_weight")

    @available_if(lambda self: self._check_solver())
    @fit_context
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch, from where the last call stopped.

        Without the bar, the time limit and the callbacks of scikit-learn, which are for `fit`.

        n calls on the same data end in the same weights, to the bit, as one `fit` with
        ``max_iter=n`` that does not stop before.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            The labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever occur; needed at the first call.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        AttributeError
            With ``solver='lbfgs'``, which has no such method.
        ValueError
            As in `fit`, and for classes that were not announced. The estimator is then as it was
            before.
        """
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
