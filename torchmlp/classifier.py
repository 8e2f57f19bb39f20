"""TorchMLPClassifier: scikit-learn's MLPClassifier, trained by torch."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target

from torchmlp.base import BaseTorchMLP, unchanged_by_errors
from torchmlp.encoding import ClassEncoder
from torchmlp.validation import CLASSIFIER_CONSTRAINTS, fit_context, is_first_partial_fit


class TorchMLPClassifier(ClassifierMixin, BaseTorchMLP):
    """Multilayer perceptron classifier.

    Minimises the cross-entropy between the classes and a softmax over the outputs, or a sigmoid
    for two classes and for each label of a multilabel target. Parameters, attributes and, in
    float64, numbers are those of :class:`sklearn.neural_network.MLPClassifier`; `device` and
    `dtype` are added.

    Parameters
    ----------
    hidden_layer_sizes : array-like of shape (n_layers - 2,) or int, default=(100,)
        Number of units in each hidden layer. ``()`` is a linear model; an int is one layer.

    activation : {'identity', 'logistic', 'tanh', 'relu'}, default='relu'
        Activation function of the hidden layers.

        - 'identity', f(x) = x
        - 'logistic', f(x) = 1 / (1 + exp(-x))
        - 'tanh', f(x) = tanh(x)
        - 'relu', f(x) = max(0, x)

    solver : {'lbfgs', 'sgd', 'adam'}, default='adam'
        How the weights are found.

        - 'lbfgs', scipy's L-BFGS-B on all samples at once; good for small data
        - 'sgd', stochastic gradient descent, with momentum
        - 'adam', Kingma and Ba's stochastic optimiser [1]_

    alpha : float, default=0.0001
        Strength of the L2 penalty on `coefs_` (not on `intercepts_`). The loss of a batch is the
        mean over its samples plus ``alpha / 2 * sum(w ** 2) / n``, where n is the number of
        samples of the batch, or the sum of their weights.

    batch_size : int or 'auto', default='auto'
        Samples per step of the stochastic solvers. 'auto' is ``min(200, n_samples)``.

    learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
        Schedule of the learning rate for ``solver='sgd'``.

        - 'constant', `learning_rate_init` throughout
        - 'invscaling', ``learning_rate_init / (t + 1) ** power_t`` after t samples
        - 'adaptive', a fifth of the rate each time the training loss (or the validation score)
          fails to improve by `tol` for `n_iter_no_change` epochs

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
        Least improvement of the loss, or of the validation score, that counts. For 'lbfgs', the
        largest component of the gradient at which to stop.

    verbose : bool or int, default=False
        Whether to print the loss of each epoch.

    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last call, rather than starting anew.

    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.

    nesterovs_momentum : bool, default=True
        Whether 'sgd' uses Nesterov's momentum.

    early_stopping : bool, default=False
        Whether to keep a `validation_fraction` of the samples from training, to stop when their
        score (accuracy, or R²) has not risen by `tol` for `n_iter_no_change` epochs, and to keep
        the weights with the best score. Classes keep their shares in the split. Without it,
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
        Epochs without improvement after which a stochastic solver stops.

    max_fun : int, default=15000
        Most evaluations of the loss by 'lbfgs'.

    device : str or torch.device, default='auto'
        Where to train: 'cpu', 'cuda', 'cuda:1', 'mps'. 'auto' takes CUDA where there is one and
        a step is large enough to be worth it, else the CPU. Predictions run there too, or on the
        CPU where the device is missing.

    dtype : {'auto', 'float64', 'float32', 'bfloat16'}, default='auto'
        Type of weights and arithmetic. 'auto' is that of X on the CPU and float32 elsewhere.
        'bfloat16' computes the matrix products so and keeps weights and sums in float32.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.

    loss_ : float
        Loss of the last epoch, penalty included.

    best_loss_ : float or None
        Smallest loss of any epoch; None with ``early_stopping=True``. Not for 'lbfgs' without
        early stopping.

    loss_curve_ : list of float
        Loss of each epoch, or of each iteration of 'lbfgs'.

    validation_scores_ : list of float or None
        Score of the validation samples after each epoch, with ``early_stopping=True``. Not for
        'lbfgs' without early stopping.

    best_validation_score_ : float or None
        The largest of them. Not for 'lbfgs' without early stopping.

    t_ : int
        Samples that training has seen, counted once per epoch.

    coefs_ : list of ndarrays of shape (fan_in, fan_out)
        Weight matrix of each layer. They are the model: assigning or changing one changes the
        next prediction.

    intercepts_ : list of ndarrays of shape (fan_out,)
        Bias vector of each layer.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X has names that are all strings.

    n_iter_ : int
        Epochs, or iterations of 'lbfgs', of the last fit.

    n_layers_ : int
        Number of layers, input and output included.

    n_outputs_ : int
        Number of outputs.

    n_parameters_ : int
        Number of weights and biases.

    out_activation_ : str
        Output activation: 'softmax' for more than two classes, else 'logistic'.

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
        device="auto",
        dtype="auto",
    ):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            device=device,
            dtype=dtype,
        )

    def _target_encoder(self, y, incremental):
        if hasattr(self, "classes_") and (self.warm_start or incremental):
            self._encoder.check(y, same_classes=self.warm_start)
            return self._encoder
        encoder = ClassEncoder(y)
        self.classes_ = encoder.classes
        return encoder

    @available_if(lambda self: self._check_solver())
    @fit_context
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch, from where the last call stopped.

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
        with unchanged_by_errors(self):
            if is_first_partial_fit(self, classes):
                multilabel = type_of_target(y).startswith("multilabel")
                self._encoder = ClassEncoder(y if multilabel else classes)
            return self._fit(X, y, sample_weight, incremental=True)

    def decision_function(self, X):
        """Return the outputs before softmax or sigmoid.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, the log-odds of ``classes_[1]``.
        """
        raw = self._raw_outputs(X)
        return raw.ravel() if raw.shape[1] == 1 else raw

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; for a multilabel target, of each label.
        """
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predict_log_proba(self, X):
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
