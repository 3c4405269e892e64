"""Layer-wise relevance propagation as gradients: what a backward pass takes for constant, linear or shared.

Relevance that every operation hands on in proportion to z_i / z is gradient × input of a network in which some
derivatives are others (Achtibat et al. 2024, section 3). A `TorchFunctionMode` sees every torch function of one forward
pass and gives it that derivative, so no class is patched, no weight is read, and nothing stays in the model: quantized
and dispatched weights do not notice. Operations inside an `autograd.Function` (kernels of other libraries) go unseen.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel
from typing_extensions import override

from heat.internals.forward import at_least_float32
from heat.internals.state import attention_implementation

Rules = Literal["attn", "cp"]

# Modules that compute an activation from several functions; those of one function need no hook.
_ACTIVATION = re.compile(r"gelu|relu|silu|swish|mish|laplace", re.IGNORECASE)
# Autograd nodes that rearrange or scale a tensor: behind them it is still the same activation.
_SAME = re.compile(
    r"(Unsafe)?View|ReshapeAlias|Transpose|Permute|T|Unsqueeze|Squeeze|Expand|Select|Slice|Split|SplitWithSizes|Unbind|"
    r"Index|IndexSelect|Gather|Topk|Scatter|ToCopy|Clone|Alias|Repeat|Mul|Div|Neg|Add|_?Bounded"
)
_FARTHEST = 12


@contextmanager
def relevance_rules(model: PreTrainedModel, rules: Rules) -> Iterator[None]:
    """Give the forward passes inside a graph that propagates relevance; the values stay as they are to rounding.

    Under both rules the divisor of a norm (and any other divisor) is a constant, an activation f is the line through
    (0, f(0)) and (x, f(x)), so that it hands on its relevance whole where f(0) = 0, and a product of N tensors that
    depend on the input gives 1/N to each. Under `cp` (Ali et al. 2022) softmax weights and gates are constants as well:
    a gate is a factor that comes from an activation.

    Args:
        model: The model; its hooks are gone and its attention implementation is its own afterwards. Attention fused in
            other libraries' kernels is replaced by torch's meanwhile.
        rules: `attn` (AttnLRP) or `cp` (CP-LRP).
    """
    with ExitStack() as stack:
        stack.enter_context(_visible_attention(model))
        for module in model.modules():
            if _is_composed_activation(module):
                stack.callback(module.register_forward_hook(_as_line).remove)
        stack.enter_context(_Propagation(rules))
        yield


class _Propagation(TorchFunctionMode):
    """Replaces derivatives while gradients are on and an argument depends on the input."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules = _RULES[rules]

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        rule = self.rules.get(getattr(func, "__name__", ""))
        if rule is None or not torch.is_grad_enabled() or not any(map(_depends, _tensors(args, kwargs))):
            return func(*args, **kwargs)
        return rule(func, *args, **kwargs)


class _Line(torch.autograd.Function):
    """y, with a slope of its own towards x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None


class _Bounded(_Line):
    """The same for a clamp, which makes no activation of what it bounds."""


def line(x: Tensor, y: Tensor, at_zero: Tensor | float = 0.0, kind: type[_Line] = _Line) -> Tensor:
    """An elementwise function as a line: the values y with the derivative (y - f(0)) / x towards x, 0 where x is 0.

    The identity rule (Achtibat et al. 2024, eq. 9) where f(0) = 0; that f(0) keeps its share, as a bias does, is ours:
    a sigmoid's whole value over x has no bound.

    Args:
        x: What the function was given, [...].
        y: What it gave, [...].
        at_zero: f(0).
        kind: Autograd function.

    Returns:
        y, in the graph of x alone.
    """
    with torch.no_grad():
        wide = at_least_float32(x)
        slope = torch.where(
            wide == 0, 0.0, (at_least_float32(y) - at_zero) / torch.where(wide == 0, 1.0, wide)
        )
        slope = slope.to(y.dtype)
    result: Tensor = kind.apply(x, y.detach(), slope)  # type: ignore[no-untyped-call]
    return result


def _elementwise(
    func: Callable[..., Tensor], input: Tensor, *args: Any, kind: type[_Line] = _Line, **kwargs: Any
) -> Tensor:
    if "inplace" in kwargs:
        kwargs["inplace"] = False
    with torch.no_grad():
        y = func(input.detach(), *args, **kwargs)
        at_zero = func(torch.zeros((), dtype=input.dtype, device=input.device), *args, **kwargs)
    return line(input, y, at_least_float32(at_zero), kind)


def _as_line(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    """Forward hook of a composed activation."""
    (x,) = args
    if not torch.is_grad_enabled() or not x.requires_grad:
        return None
    with torch.no_grad():
        at_zero = module.forward(torch.zeros((1,) * x.dim(), dtype=x.dtype, device=x.device))
    return line(x, output, at_least_float32(at_zero))


def _is_composed_activation(module: nn.Module) -> bool:
    kind = type(module)
    if kind.__module__.startswith("torch."):
        return False
    return kind.__module__ == "transformers.activations" or bool(_ACTIVATION.search(kind.__name__))


def _constant(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with torch.no_grad():
        return func(*args, **kwargs)


def _power(func: Callable[..., Tensor], base: Any, exponent: Any, **kwargs: Any) -> Tensor:
    """Roots and reciprocals are divisors of norms; squares and cubes are activations."""
    if not isinstance(base, Tensor) or isinstance(exponent, Tensor):
        return func(base, exponent, **kwargs)
    rule = _constant if exponent < 1 else _elementwise
    result: Tensor = rule(func, base, exponent, **kwargs)
    return result


def _quotient(func: Callable[..., Tensor], numerator: Any, divisor: Any, **kwargs: Any) -> Tensor:
    return func(numerator, divisor.detach() if isinstance(divisor, Tensor) else divisor, **kwargs)


def _product(rules: Rules, func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """The uniform rule (Achtibat et al. 2024, eq. 7): every factor that depends on the input has an equal share."""
    factors = [tensor for tensor in _tensors(args, kwargs) if _depends(tensor)]
    if len(factors) == 2:
        for x, gate in (factors, factors[::-1]):
            if func.__name__ in _ELEMENTWISE_PRODUCTS and _comes_from(gate, x):
                # x · f(x), an activation written out.
                return line(x, func(*args, **kwargs))
        gates = [tensor for tensor in factors if _comes_from(tensor)]
        if rules == "cp" and len(gates) == 1:
            constant = gates[0].detach()
            return func(*_replaced(args, gates[0], constant), **_replaced(kwargs, gates[0], constant))
    result = func(*args, **kwargs)
    if (n := len(factors)) > 1:
        # A hook and not a function, so that the graph stays one that `_comes_from` can read; in place it holds too.
        result.register_hook(lambda gradient: gradient / n)
    return result


def _product_in_sum(func: Callable[..., Tensor], input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`input` + first · second: the two factors are the last tensors, by place or by name."""
    factors = [tensor for tensor in _tensors(args, kwargs) if _depends(tensor)]
    if len(factors) < 2:
        return func(input, *args, **kwargs)
    for factor in factors:
        args, kwargs = (
            _replaced(args, factor, _shared(factor, 2)),
            _replaced(kwargs, factor, _shared(factor, 2)),
        )
    return func(input, *args, **kwargs)


def _attention(
    rules: Rules,
    func: Callable[..., Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Two products: of queries and keys, whose scores go through a softmax, and of the weights and values."""
    if rules == "cp":
        return func(query.detach(), key.detach(), value, *args, **kwargs)
    return func(_shared(query, 4), _shared(key, 4), _shared(value, 2), *args, **kwargs)


def _layer_norm(
    func: Callable[..., Tensor],
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *unused: Any,
    **kwargs: Any,
) -> Tensor:
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    wide = at_least_float32(input)
    return _scaled(wide - wide.mean(axes, keepdim=True), axes, weight, bias, eps).to(input.dtype)


def _rms_norm(
    func: Callable[..., Tensor],
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    smallest = torch.finfo(input.dtype).eps if eps is None else eps
    return _scaled(at_least_float32(input), axes, weight, None, smallest).to(input.dtype)


def _scaled(
    x: Tensor, axes: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """X over its root mean square, which is a constant."""
    y = x * (x.detach().square().mean(axes, keepdim=True) + eps).rsqrt()
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _normalize(
    func: Callable[..., Tensor],
    input: Tensor,
    p: float = 2.0,
    dim: int = 1,
    eps: float = 1e-12,
    **kwargs: Any,
) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(input.detach(), p, dim, keepdim=True)
    return input / length.clamp_min(eps)


def _comes_from(tensor: Tensor, x: Tensor | None = None) -> bool:
    """Whether a tensor is an activation, rearranged or scaled; with x, an activation of x."""
    node, passed = tensor.grad_fn, False
    for _ in range(_FARTHEST):
        if node is None:
            return False
        if x is not None and passed and _is_node_of(node, x):
            return True
        name = type(node).__name__.removesuffix("0").removesuffix("Backward")
        if name == "_Line":
            if x is None:
                return True
            passed = True
        elif not _SAME.fullmatch(name):
            return False
        before = [child for child, _ in node.next_functions if child is not None]
        if len(before) != 1:
            return False
        node = before[0]
    return False


def _is_node_of(node: Node, x: Tensor) -> bool:
    return node is x.grad_fn if x.grad_fn is not None else getattr(node, "variable", None) is x


def _shared(tensor: Tensor, n: int) -> Tensor:
    """The tensor, with 1/n of its gradient."""
    if not _depends(tensor):
        return tensor
    result = tensor.view_as(tensor)
    result.register_hook(lambda gradient: gradient / n)
    return result


def _depends(tensor: Tensor) -> bool:
    return tensor.requires_grad


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """The tensors among arguments, also those in lists."""
    for argument in (*args, *kwargs.values()):
        for part in argument if isinstance(argument, (list, tuple)) else (argument,):
            if isinstance(part, Tensor):
                yield part


def _replaced(arguments: Any, tensor: Tensor, other: Tensor) -> Any:
    """Arguments with one tensor in place of another, also in lists."""
    if arguments is tensor:
        return other
    if isinstance(arguments, dict):
        return {name: _replaced(value, tensor, other) for name, value in arguments.items()}
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(_replaced(value, tensor, other) for value in arguments)
    return arguments


def _visible_attention(model: PreTrainedModel) -> Any:
    """Attention of torch's own functions, where a kernel of another library would hide it."""
    if model.config._attn_implementation_internal in (None, "eager", "sdpa"):
        return nullcontext()
    if not model._can_set_attn_implementation():
        return nullcontext()
    return attention_implementation(model, "sdpa" if model._supports_sdpa else "eager")


_ELEMENTWISE_PRODUCTS = ("mul", "multiply", "__mul__", "__rmul__")
_PRODUCTS = (
    *_ELEMENTWISE_PRODUCTS,
    *(
        "mul_",
        "__imul__",
        "matmul",
        "__matmul__",
        "__rmatmul__",
        "bmm",
        "mm",
        "mv",
        "dot",
        "einsum",
        "linear",
        "outer",
    ),
)
_ACTIVATIONS = (
    *(
        "silu",
        "gelu",
        "relu",
        "relu6",
        "leaky_relu",
        "elu",
        "selu",
        "celu",
        "mish",
        "softplus",
        "sigmoid",
        "logsigmoid",
    ),
    *("hardswish", "hardsigmoid", "hardtanh", "softsign", "tanh", "square", "exp", "expm1", "erf", "abs"),
)
_ROOTS = ("rsqrt", "sqrt", "reciprocal", "__rtruediv__", "__rdiv__", "norm", "vector_norm", "std")
_COMMON: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_ACTIVATIONS, _elementwise),
    **dict.fromkeys(("clamp", "clip", "clamp_min", "clamp_max"), partial(_elementwise, kind=_Bounded)),
    **dict.fromkeys(_ROOTS, _constant),
    **dict.fromkeys(("pow", "__pow__"), _power),
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__", "div_", "__itruediv__"), _quotient),
    **dict.fromkeys(("addmm", "baddbmm", "addcmul"), _product_in_sum),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "normalize": _normalize,
}
_RULES: dict[str, dict[str, Callable[..., Any]]] = {
    rules: {
        **_COMMON,
        **dict.fromkeys(_PRODUCTS, partial(_product, rules)),
        "scaled_dot_product_attention": partial(_attention, rules),
        **(dict.fromkeys(("softmax",), _constant) if rules == "cp" else {}),
    }
    for rules in ("attn", "cp")
}
