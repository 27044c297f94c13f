"""A user's Flax model as what `Training` takes: a function that draws its parameters and a loss of these."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from recurrax.train.training import Init
from recurrax.typing import Key, Params

Loss = Callable[[Params, Any], Any]


class Keyed(NamedTuple):
    """A batch, and the key from which a model's dropout is drawn with it."""

    batch: Any
    key: Key


def keyed(batch: Callable[[Key], Any]) -> Callable[[Key], Keyed]:
    """A training's `batch` that gives the model a key too: like the batch a function of seed and step.

    A training that is cut and gone on with so draws the same masks.

    >>> drawn = keyed(lambda key: jax.random.normal(key, (5, 2)))(jax.random.key(0))
    >>> drawn.batch.shape, drawn.key.shape
    ((5, 2), ())
    """
    return lambda key: Keyed(batch(key), jax.random.fold_in(key, 1))


def of_linen(module: Any, loss: Callable[..., Any], *inputs: Any, **options: Any) -> tuple[Init, Loss]:
    """A linen model as (init, loss) of a training.

    Args:
        module: whose only variables are parameters.
        loss: (predict, batch) to a scalar, where `predict` is the module with parameters, `predict(batch.xs)`; or to
            a pytree of scalars, to be a training's `metrics`.
        *inputs: arrays or shapes that `module.init` is called with.
        **options: likewise by keyword, such as `train=False`.

    Returns:
        init, a function of a key; loss, of parameters and a batch. With a `Keyed` batch, `predict` draws from its key
        under "dropout"; without one a module that drops is refused by Flax.

    Raises:
        ValueError: the module has other variables than parameters, such as running means, which a training does not
            carry.

    >>> from flax import linen as nn
    >>> import jax.numpy as jnp
    >>> init, loss = of_linen(nn.Dense(1), lambda predict, xs: jnp.mean(predict(xs) ** 2), jnp.ones((4, 2)))
    >>> loss(init(jax.random.key(0)), jnp.zeros((4, 2))).item()
    0.0
    """

    def variables(key: Key, *inputs: Any) -> Any:
        params, dropout = jax.random.split(key)
        return module.init({"params": params, "dropout": dropout}, *inputs, **options)

    shapes = jax.eval_shape(variables, jax.eval_shape(lambda: jax.random.key(0)), *inputs)
    _check_parameters_alone("module", [name for name in shapes if name != "params"])
    examples = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), inputs)

    def init(key: Key) -> Params:
        zeros = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), examples)
        return variables(key, *zeros)["params"]

    def loss_of(params: Params, batch: Any) -> Any:
        batch, key = batch if isinstance(batch, Keyed) else (batch, None)
        rngs = {} if key is None else {"dropout": key}

        def predict(*args: Any, **kwargs: Any) -> Any:
            return module.apply({"params": params}, *args, rngs=rngs, **kwargs)

        return loss(predict, batch)

    return init, loss_of


def of_nnx(make_model: Callable[[Any], Any], loss: Callable[[Any, Any], Any]) -> tuple[Init, Loss]:
    """An nnx model as (init, loss) of a training.

    The loss makes the model anew, with streams from the key of the batch, and puts the parameters into it: what
    `make_model` draws for them is computed nowhere.

    Args:
        make_model: `nnx.Rngs` to a model whose only variables are parameters and streams of random numbers.
        loss: (model, batch) to a scalar; or to a pytree of scalars, to be a training's `metrics`.

    Returns:
        init, a function of a key to a dict of parameters; loss, of these and a batch, a `Keyed` one if the model
        draws.

    Raises:
        ValueError: the model has other variables, such as running means, which a training does not carry. Of the loss:
            the model draws, and the batch has no key.

    >>> from flax import nnx
    >>> import jax.numpy as jnp
    >>> init, loss = of_nnx(lambda rngs: nnx.Linear(2, 1, rngs=rngs), lambda model, xs: jnp.mean(model(xs) ** 2))
    >>> loss(init(jax.random.key(0)), jnp.zeros((4, 2))).item()
    0.0
    """
    from flax import nnx

    others = nnx.Not(nnx.Any(nnx.Param, nnx.RngState))
    held = nnx.to_flat_state(nnx.eval_shape(lambda: nnx.state(make_model(nnx.Rngs(0)), others)))
    _check_parameters_alone("make_model", sorted({type(variable).__name__ for _, variable in held}))

    def init(key: Key) -> Params:
        return nnx.to_pure_dict(nnx.state(make_model(nnx.Rngs(key)), nnx.Param))

    def loss_of(params: Params, batch: Any) -> Any:
        batch, key = batch if isinstance(batch, Keyed) else (batch, None)
        model = make_model(nnx.Rngs(0 if key is None else key))
        state = nnx.state(model, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        nnx.update(model, state)
        before = jax.tree.leaves(nnx.state(model, nnx.RngCount))
        value = loss(model, batch)
        after = jax.tree.leaves(nnx.state(model, nnx.RngCount))
        if key is None and any(new is not old for new, old in zip(after, before, strict=True)):
            raise ValueError("batch: expected one of train.keyed, since the model draws random numbers, got none")
        return value

    return init, loss_of


def _check_parameters_alone(name: str, others: list[str]) -> None:
    if others:
        raise ValueError(f"{name}: expected a model with no variables but parameters, got {', '.join(others)} too")
