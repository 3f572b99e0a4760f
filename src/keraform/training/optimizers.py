"""AdamW as models are fine-tuned with it: biases and norms do not decay, and rates warm up."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keraform.errors import KeraformError
from keraform.training.schedules import WarmUp

# Paths of biases and norms, as `Trainer.get_decay_parameter_names` (Transformers 5.23) knows them
# by name; gamma and beta are what Keras calls the parameters of a norm.
NO_DECAY = ("bias", "layernorm", "layer_norm", "rmsnorm", r"(^|/|_)norm(/|$)", "(gamma|beta)$")


@keras.saving.register_keras_serializable("keraform.training.optimizers")
class AdamWeightDecay(keras.optimizers.AdamW):
    """Keras's AdamW with torch's steps, and parameters left out of the decay by their paths.

    A path such as "tf_bert_model/bert/pooler/dense/bias" is made of the attributes of the model.
    Steps are torch's: epsilon is added to the root of the average without bias, where Keras adds it
    to the one with, and the bias is computed without cancellation.

    Args:
        learning_rate: A number or a schedule.
        beta_1: For the average of the gradients.
        beta_2: For the average of their squares.
        epsilon: Keeps the division finite.
        amsgrad: Use the largest average of squares so far.
        weight_decay_rate: Each step takes `learning_rate * weight_decay_rate * parameter` away.
        include_in_weight_decay: Regular expressions; what they find in a path decays in any case.
        exclude_from_weight_decay: Regular expressions; what they find in a path, in upper or lower
            case, does not decay.
        name: Of the optimizer.
        **kwargs: Of `keras.optimizers.AdamW`.

    Reference:
        - [Loshchilov and Hutter, 2019](https://arxiv.org/abs/1711.05101)
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay_rate: float = 0.0,
        include_in_weight_decay: Sequence[str] | None = None,
        exclude_from_weight_decay: Sequence[str] | None = None,
        name: str = "AdamWeightDecay",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            amsgrad=amsgrad,
            name=name,
            **kwargs,
        )
        self._always_decays = tuple(include_in_weight_decay or ())
        self._never_decays = tuple(exclude_from_weight_decay or ())

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the averages, and works out what decays.

        Args:
            variables: All that will be trained.
        """
        if not self.built:
            self.exclude_from_weight_decay([v for v in variables if not self.decays(v.path)])
        super().build(variables)

    def decays(self, path: str) -> bool:
        """Whether the parameter with this path decays.

        Args:
            path: Such as "tf_bert_model/bert/pooler/dense/bias".
        """
        if any(re.search(each, path, re.IGNORECASE) for each in self._always_decays):
            return True
        return not any(re.search(each, path, re.IGNORECASE) for each in self._never_decays)

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """One step of all parameters.

        The gradient of an embedding comes from TensorFlow as slices, one for each token, and Keras
        would square those of a repeated token before it adds them up.

        Args:
            grads: A gradient for each parameter; None for none.
            trainable_variables: The parameters, if the optimizer does not know them yet.
        """
        super().apply([_dense(each) for each in grads], trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one parameter.

        Args:
            gradient: Of the parameter's shape.
            variable: The parameter.
            learning_rate: A scalar.
        """
        rate, gradient = (ops.cast(each, variable.dtype) for each in (learning_rate, gradient))
        step = ops.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        if self.amsgrad:
            largest = self._velocity_hats[index]
            self.assign(largest, ops.maximum(largest, square))
            square = largest
        root = ops.sqrt(square / _missing(self.beta_2, step))
        self.assign_sub(variable, rate / _missing(self.beta_1, step) * mean / (root + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for saving."""
        config = super().get_config()
        return {
            **{name: value for name, value in config.items() if name != "weight_decay"},
            "weight_decay_rate": self.weight_decay,
            "include_in_weight_decay": list(self._always_decays),
            "exclude_from_weight_decay": list(self._never_decays),
        }


def add_up_repeated_rows(optimizer: Any) -> None:
    """Lets an optimizer square the gradient of a row that was looked up, not its summands.

    TensorFlow's gradient of a lookup has an entry for each row that was looked up, and Keras's
    Adam, RMSprop and their like square the entries of a repeated row one by one.

    Args:
        optimizer: A Keras optimizer, which is changed.
    """
    if isinstance(optimizer, AdamWeightDecay) or "apply" in vars(optimizer):
        return
    apply = optimizer.apply

    def apply_whole(grads: Sequence[Any], trainable_variables: Any = None) -> Any:
        return apply([_dense(each) for each in grads], trainable_variables)

    object.__setattr__(optimizer, "apply", apply_whole)  # past what tracks attributes for saving


def _dense(gradient: Any) -> Any:
    if keras.backend.backend() != "tensorflow":
        return gradient
    import tensorflow as tf

    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _missing(beta: float, step: Any) -> Any:
    """1 - beta ** step; written out, it would lose five digits where beta is next to 1."""
    return -ops.expm1(step * (math.log(beta) if beta > 0 else -math.inf))


def create_optimizer(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int,
    min_lr_ratio: float = 0.0,
    adam_beta1: float = 0.9,
    adam_beta2: float = 0.999,
    adam_epsilon: float = 1e-8,
    adam_clipnorm: float | None = None,
    adam_global_clipnorm: float | None = None,
    weight_decay_rate: float = 0.0,
    power: float = 1.0,
    include_in_weight_decay: Sequence[str] | None = None,
) -> tuple[AdamWeightDecay, keras.optimizers.schedules.LearningRateSchedule]:
    """AdamW whose rate grows in a straight line, then falls to its smallest at the last step.

    Biases and the parameters of norms do not decay.

    Args:
        init_lr: The rate at the end of the warm-up.
        num_train_steps: All steps, those of the warm-up among them.
        num_warmup_steps: The steps of the warm-up; 0 for none.
        min_lr_ratio: What is left of the rate at the end.
        adam_beta1: For the average of the gradients.
        adam_beta2: For the average of their squares.
        adam_epsilon: Keeps the division finite.
        adam_clipnorm: The largest norm of one parameter's gradient.
        adam_global_clipnorm: The largest norm of all gradients together.
        weight_decay_rate: The decay, times the rate.
        power: Of the polynomial that the rate falls by; 1 for a straight line.
        include_in_weight_decay: Regular expressions for paths of parameters that decay although
            they are biases or belong to norms.

    Returns:
        The optimizer, and its schedule.

    Raises:
        KeraformError: The warm-up takes all steps.

    Example:
        optimizer, schedule = create_optimizer(2e-5, num_train_steps=1000, num_warmup_steps=100)
        model.compile(optimizer)
    """
    if num_warmup_steps >= num_train_steps:
        raise KeraformError(
            expected="a warm-up shorter than the training",
            got=f"num_warmup_steps={num_warmup_steps}, num_train_steps={num_train_steps}",
            try_next="num_train_steps=len(train_dataset) * epochs",
        )
    schedule = keras.optimizers.schedules.PolynomialDecay(
        init_lr, num_train_steps - num_warmup_steps, init_lr * min_lr_ratio, power
    )
    if num_warmup_steps:
        schedule = WarmUp(init_lr, schedule, num_warmup_steps)
    optimizer = AdamWeightDecay(
        schedule,
        weight_decay_rate=weight_decay_rate,
        beta_1=adam_beta1,
        beta_2=adam_beta2,
        epsilon=adam_epsilon,
        clipnorm=adam_clipnorm,
        global_clipnorm=adam_global_clipnorm,
        exclude_from_weight_decay=NO_DECAY,
        include_in_weight_decay=include_in_weight_decay,
    )
    return optimizer, schedule
