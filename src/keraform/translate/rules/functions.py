"""Rules for functions of `torch` and `torch.nn.functional`."""

from __future__ import annotations

from collections.abc import Mapping

from keraform.translate.rules.record import Code, Rule

_TRIVIAL = "device!, dtype?, requires_grad!, layout^, pin_memory!, memory_format!, out^"


def _unary(torch: str, target: str, kind: str = "same", extra: str = "") -> Rule:
    return Rule(torch, f"input, out^{extra}", f"{target}({{input}})", kind)


def _only_none(name: str, reason: str):
    def guard(arguments: Mapping[str, Code]) -> str | None:
        code = arguments.get(name)
        return reason if code is not None and code.text not in ("None", "False") else None

    return guard


ELEMENTWISE = tuple(
    _unary(f"torch.{name}", f"ops.{target}", kind)
    for name, target, kind in (
        ("abs", "abs", "same"), ("exp", "exp", "floating"), ("expm1", "expm1", "floating"), ("log", "log", "floating"),
        ("log1p", "log1p", "floating"), ("log2", "log2", "floating"), ("log10", "log10", "floating"), ("sqrt", "sqrt", "floating"),
        ("rsqrt", "rsqrt", "floating"), ("sin", "sin", "floating"), ("cos", "cos", "floating"), ("tan", "tan", "floating"),
        ("asin", "arcsin", "floating"), ("acos", "arccos", "floating"), ("atan", "arctan", "floating"), ("sinh", "sinh", "floating"),
        ("cosh", "cosh", "floating"), ("arcsin", "arcsin", "floating"), ("arccos", "arccos", "floating"),
        ("asinh", "arcsinh", "floating"), ("acosh", "arccosh", "floating"), ("atanh", "arctanh", "floating"),
        ("erfinv", "erfinv", "floating"), ("sinc", "sinc", "floating"), ("conj", "conj", "same"),
        ("tanh", "tanh", "floating"), ("sigmoid", "sigmoid", "floating"), ("erf", "erf", "floating"), ("sign", "sign", "same"),
        ("floor", "floor", "same"), ("ceil", "ceil", "same"), ("square", "square", "same"), ("neg", "negative", "same"),
        ("negative", "negative", "same"), ("reciprocal", "reciprocal", "floating"), ("relu", "relu", "same"),
        ("isnan", "isnan", "tensor:bool"), ("isinf", "isinf", "tensor:bool"), ("isfinite", "isfinite", "tensor:bool"),
        ("logical_not", "logical_not", "tensor:bool"), ("round", "round", "same"), ("trunc", "trunc", "same"),
        ("real", "real", "tensor:float"), ("imag", "imag", "tensor:float"),
        ("t", "transpose", "same"),
    )
)  # fmt: skip

BINARY = tuple(
    Rule(f"torch.{name}", "input, other, out^", f"ops.{target}({{input}}, {{other}})", kind)
    for name, target, kind in (
        ("maximum", "maximum", "same"), ("minimum", "minimum", "same"), ("fmax", "maximum", "same"),
        ("matmul", "matmul", "same"), ("bmm", "matmul", "same"), ("mm", "matmul", "same"), ("outer", "outer", "same"),
        ("atan2", "arctan2", "same"), ("greater", "greater", "tensor:bool"), ("gt", "greater", "tensor:bool"),
        ("ge", "greater_equal", "tensor:bool"), ("lt", "less", "tensor:bool"), ("le", "less_equal", "tensor:bool"),
        ("less", "less", "tensor:bool"), ("eq", "equal", "tensor:bool"), ("ne", "not_equal", "tensor:bool"),
        ("not_equal", "not_equal", "tensor:bool"), ("logical_and", "logical_and", "tensor:bool"),
        ("logical_or", "logical_or", "tensor:bool"), ("logical_xor", "logical_xor", "tensor:bool"),
        ("bitwise_right_shift", "right_shift", "same"), ("bitwise_left_shift", "left_shift", "same"),
        ("dot", "dot", "same"), ("mul", "multiply", "same"), ("multiply", "multiply", "same"),
        ("logaddexp", "logaddexp", "same"), ("kron", "kron", "same"), ("fmod", "fmod", "same"),
    )
) + tuple(
    Rule(f"torch.{name}", "input, other, out^", f"kf.{name}({{input}}, {{other}})", "same")
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
) + (
    Rule("torch.angle", "input", "ops.arctan2(ops.imag({input}), ops.real({input}))", "tensor:float"),
    Rule("torch.xlogy", "input, other", "kf.xlogy({input}, {other})", "same"),
    Rule("torch.remainder", "input, other", "ops.mod({input}, {other})", "same"),
    Rule("torch.subtract", "input, other", "ops.subtract({input}, {other})", "same"),
    Rule("torch.addcmul", "input, tensor1, tensor2, value?", "kf.addcmul({input}, {tensor1}, {tensor2}, value={value})", "same"),
    Rule("torch.addcdiv", "input, tensor1, tensor2, value?", "kf.addcdiv({input}, {tensor1}, {tensor2}, value={value})", "same"),
    Rule("torch.logit", "input, eps?", "kf.logit({input}, eps={eps})", "same"),
    Rule("torch.nan_to_num", "input, nan?, posinf?, neginf?", "ops.nan_to_num({input}, nan={nan}, posinf={posinf}, neginf={neginf})", "same"),
    Rule("torch.equal", "input, other", "kf.equal({input}, {other})", "unknown"),
    Rule("torch.div", "input, other, rounding_mode?", "kf.divide({input}, {other}, rounding_mode={rounding_mode})", "quotient"),
    Rule("torch.true_divide", "input, other", "kf.divide({input}, {other})", "tensor:float"),
    Rule("torch.floor_divide", "input, other", "ops.floor_divide({input}, {other})", "same"),
    Rule("torch.pow", "input, exponent", "ops.power({input}, {exponent})", "same"),
    Rule("torch.lerp", "input, end, weight", "{input!o} + {weight!o} * ({end!o} - {input!o})", "same", precedence=9),
    Rule("torch.cross", "input, other, dim=-1", "ops.cross({input}, {other}, axis={dim})", "same"),
    Rule("torch.allclose", "input, other, rtol?, atol?", "ops.all(ops.isclose({input}, {other}, rtol={rtol}, atol={atol}))", "tensor:bool"),
    Rule("torch.isin", "elements, test_elements", "ops.isin({elements}, {test_elements})", "tensor:bool"),
)  # fmt: skip

CREATION = (
    Rule("torch.tensor", "data, dtype?, device!, requires_grad!", "kf.tensor({data}, dtype={dtype})", "dtype:dtype"),
    Rule("torch.as_tensor", "data, dtype?, device!", "kf.tensor({data}, dtype={dtype})", "dtype:dtype"),
    Rule("torch.from_numpy", "data", "ops.convert_to_tensor({data})", "tensor"),
    Rule("torch.zeros", f"*size, {_TRIVIAL}", "ops.zeros({size}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.ones", f"*size, {_TRIVIAL}", "ops.ones({size}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.empty", f"*size, {_TRIVIAL}", "ops.zeros({size}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.full", f"size, fill_value, {_TRIVIAL}", "kf.full({size}, {fill_value}, dtype={dtype})", "dtype:dtype"),
    Rule("torch.rand", f"*size, generator!, {_TRIVIAL}", "kf.rand({size}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.randn", f"*size, generator!, {_TRIVIAL}", "kf.randn({size}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.randint", f"low, high, size, generator!, {_TRIVIAL}", "kf.randint({low}, {high}, {size}, dtype={dtype})", "dtype:dtype|int64"),
    Rule("torch.randint_like", f"input, low, high, {_TRIVIAL}", "kf.randint_like({input}, {low}, {high}, dtype={dtype})", "dtype:dtype"),
    Rule("torch.randperm", f"n, generator!, {_TRIVIAL}", "kf.randperm({n})", "tensor:int64"),
    Rule("torch.bernoulli", "input, p?, generator!, out^", "kf.bernoulli({input}, p={p})", "same"),
    Rule("torch.multinomial", "input, num_samples, replacement?", "kf.multinomial({input}, {num_samples}, replacement={replacement})", "tensor:int64"),
    Rule("torch.normal", f"mean, std, size, generator!, {_TRIVIAL}", "kf.normal({mean}, {std}, {size}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.eye", f"n, m?, {_TRIVIAL}", "ops.eye({n}, {m}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.linspace", f"start, end, steps, {_TRIVIAL}", "ops.linspace({start}, {end}, {steps}, dtype={dtype})", "vector:dtype|default"),
    Rule("torch.scalar_tensor", f"s, {_TRIVIAL}", "kf.scalar_tensor({s}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.hann_window", f"window_length, periodic?, {_TRIVIAL}", "kf.hann_window({window_length}, periodic={periodic}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.kaiser_window", f"window_length, periodic?, beta?, {_TRIVIAL}", "kf.kaiser_window({window_length}, periodic={periodic}, beta={beta}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.zeros_like", f"input, {_TRIVIAL}", "ops.zeros_like({input}, dtype={dtype})", "dtype:dtype"),
    Rule("torch.ones_like", f"input, {_TRIVIAL}", "ops.ones_like({input}, dtype={dtype})", "dtype:dtype"),
    Rule("torch.empty_like", f"input, {_TRIVIAL}", "ops.zeros_like({input}, dtype={dtype})", "dtype:dtype"),
    Rule("torch.full_like", f"input, fill_value, {_TRIVIAL}", "ops.full_like({input}, {fill_value}, dtype={dtype})", "dtype:dtype"),
    Rule("torch.rand_like", f"input, {_TRIVIAL}", "kf.rand_like({input}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.randn_like", f"input, {_TRIVIAL}", "kf.randn_like({input}, dtype={dtype})", "dtype:dtype|default"),
    Rule("torch.tril", "input, diagonal?", "ops.tril({input}, {diagonal})", "same"),
    Rule("torch.triu", "input, diagonal?", "ops.triu({input}, {diagonal})", "same"),
    Rule("torch.diag_embed", "input, offset?, dim1?, dim2?", "kf.diag_embed({input}, offset={offset}, dim1={dim1}, dim2={dim2})", "same"),
    Rule("torch.meshgrid", "*tensors, indexing='ij'", "kf.meshgrid({tensors}, indexing={indexing})", "list:tensor"),
    Rule("torch.diag", "input, diagonal?", "ops.diag({input}, {diagonal})", "same"),
    Rule("torch.diagonal", "input, offset?, dim1?, dim2?", "ops.diagonal({input}, offset={offset}, axis1={dim1}, axis2={dim2})", "same"),
    Rule("torch.Size", "values", "tuple({values})", "size"),
)  # fmt: skip

REDUCTIONS = (
    Rule("torch.mean", "input, dim?, keepdim?, dtype!", "ops.mean({input}, axis={dim}, keepdims={keepdim})", "same"),
    Rule("torch.argmax", "input, dim?, keepdim?", "kf.argmax({input}, dim={dim}, keepdim={keepdim})", "tensor:int64"),
    Rule("torch.argmin", "input, dim?, keepdim?", "kf.argmin({input}, dim={dim}, keepdim={keepdim})", "tensor:int64"),
    Rule("torch.prod", "input, dim?, keepdim?", "ops.prod({input}, axis={dim}, keepdims={keepdim})", "same"),
    Rule("torch.logsumexp", "input, dim, keepdim?", "ops.logsumexp({input}, axis={dim}, keepdims={keepdim})", "same"),
    Rule("torch.var", "input, dim?, unbiased?, keepdim?, correction?", "kf.var({input}, dim={dim}, unbiased={unbiased}, correction={correction}, keepdim={keepdim})", "same"),
    Rule("torch.std", "input, dim?, unbiased?, keepdim?, correction?", "kf.std({input}, dim={dim}, unbiased={unbiased}, correction={correction}, keepdim={keepdim})", "same"),
    Rule("torch.norm", "input, p?, dim?, keepdim?", "kf.norm({input}, p={p}, dim={dim}, keepdim={keepdim})", "same"),
    Rule("torch.linalg.norm", "input, ord?, dim?, keepdim?", "kf.norm({input}, p={ord}, dim={dim}, keepdim={keepdim})", "same"),
    Rule("torch.linalg.vector_norm", "input, ord?, dim?, keepdim?", "kf.norm({input}, p={ord}, dim={dim}, keepdim={keepdim})", "same"),
    Rule("torch.cummax", "input, dim", "kf.cummax({input}, dim={dim})", "tuple:same,tensor:int64"),
    Rule("torch.cummin", "input, dim", "kf.cummin({input}, dim={dim})", "tuple:same,tensor:int64"),
    Rule("torch.diff", "input, n?, dim?", "ops.diff({input}, n={n}, axis={dim})", "same"),
    Rule("torch.masked.mean", "input, dim?, keepdim?, dtype^, mask", "kf.masked_mean({input}, {mask}, dim={dim}, keepdim={keepdim})", "same"),
    Rule("torch.masked.var", "input, dim?, unbiased?, keepdim?, dtype^, mask", "kf.masked_var({input}, {mask}, dim={dim}, unbiased={unbiased}, keepdim={keepdim})", "same"),
    Rule("torch._softmax_backward_data", "grad_output, output, dim, input_dtype!", "kf.softmax_gradient({grad_output}, {output}, {dim})", "same"),
    Rule("torch.histc", "input, bins=100, min=0, max=0", "kf.histc({input}, bins={bins}, min={min}, max={max})", "same"),
    Rule("torch.bincount", "input, weights?, minlength?", "kf.bincount({input}, weights={weights}, minlength={minlength})", "tensor:int64"),
    Rule("torch.unique_consecutive", "input", "kf.unique_consecutive({input})", "same"),
    Rule("torch.cosine_similarity", "x1, x2, dim=1, eps?", "kf.cosine_similarity({x1}, {x2}, dim={dim}, eps={eps})", "same"),
    Rule("torch.median", "input", "kf.median({input})", "same"),
    Rule("torch.count_nonzero", "input, dim?", "kf.count_nonzero({input}, dim={dim})", "tensor:int64"),
)  # fmt: skip

SHAPES = (
    Rule("torch.cat", "tensors, dim=0, out^", "ops.concatenate({tensors}, axis={dim})", "like:tensors"),
    Rule("torch.concat", "tensors, dim=0", "ops.concatenate({tensors}, axis={dim})", "like:tensors"),
    Rule("torch.concatenate", "tensors, dim=0", "ops.concatenate({tensors}, axis={dim})", "like:tensors"),
    Rule("torch.hstack", "tensors", "ops.hstack({tensors})", "like:tensors"),
    Rule("torch.vstack", "tensors", "ops.vstack({tensors})", "like:tensors"),
    Rule("torch.reshape", "input, shape", "ops.reshape({input}, {shape})", "same"),
    Rule("torch.permute", "input, dims", "ops.transpose({input}, {dims})", "same"),
    Rule("torch.swapaxes", "input, axis0, axis1", "ops.swapaxes({input}, {axis0}, {axis1})", "same"),
    Rule("torch.transpose", "input, dim0, dim1", "ops.swapaxes({input}, {dim0}, {dim1})", "same"),
    Rule("torch.movedim", "input, source, destination", "ops.moveaxis({input}, {source}, {destination})", "same"),
    Rule("torch.unsqueeze", "input, dim", "ops.expand_dims({input}, {dim})", "same"),
    Rule("torch.flip", "input, dims", "ops.flip({input}, axis={dims})", "same"),
    Rule("torch.roll", "input, shifts, dims?", "ops.roll({input}, {shifts}, axis={dims})", "same"),
    Rule("torch.broadcast_to", "input, size", "ops.broadcast_to({input}, {size})", "same"),
    Rule("torch.tile", "input, dims", "ops.tile({input}, {dims})", "same"),
    Rule("torch.clone", "input", "{input}", "same"),
    Rule("torch.tensordot", "a, b, dims=2", "ops.tensordot({a}, {b}, axes={dims})", "like:a"),
    Rule("torch.repeat_interleave", "input, repeats, dim?, output_size!", "ops.repeat({input}, {repeats}, axis={dim})", "same"),
    Rule("torch.unbind", "input, dim=0", "ops.unstack({input}, axis={dim})", "list:same"),
    Rule("torch.block_diag", "*tensors", "kf.block_diag(*{tensors})", "tensor"),
    Rule("torch.complex", "real, imag", "kf.complex({real}, {imag})", "tensor"),
    Rule("torch.polar", "abs, angle", "kf.polar({abs}, {angle})", "tensor"),
    Rule("torch.view_as_complex", "input", "kf.view_as_complex({input})", "tensor"),
    Rule("torch.view_as_real", "input", "kf.view_as_real({input})", "tensor"),
    Rule("torch.argwhere", "input", "kf.nonzero({input})", "tensor:int64"),
    Rule("torch.split_with_sizes", "input, split_sizes, dim=0", "kf.split({input}, {split_sizes}, dim={dim})", "list:same"),
    Rule("torch.broadcast_tensors", "*tensors", "kf.broadcast_tensors(*{tensors})", "list:tensor"),
    Rule("torch.unravel_index", "indices, shape", "ops.unravel_index({indices}, {shape})", "list:same"),
    Rule("torch.as_strided", "input, size, stride, storage_offset?", "kf.as_strided({input}, {size}, {stride}, storage_offset={storage_offset})", "same"),
    Rule("torch.detach", "input", "ops.stop_gradient({input})", "same"),
    Rule("nn.utils.rnn.pad_sequence", "sequences, batch_first?, padding_value?, padding_side?", "kf.pad_sequence({sequences}, batch_first={batch_first}, padding_value={padding_value}, padding_side={padding_side})", "like:sequences"),
    Rule("torch.searchsorted", "sorted_sequence, input, out_int32^, right?, side?", "kf.searchsorted({sorted_sequence}, {input}, right={right}, side={side})", "tensor:int64"),
    Rule("torch.cdist", "x1, x2, p?, compute_mode!", "kf.cdist({x1}, {x2}, p={p})", "same"),
    Rule("torch.bucketize", "input, boundaries, right?, out_int32^", "kf.bucketize({input}, {boundaries}, right={right})", "tensor:int64"),
    Rule("torch.addmm", "input, mat1, mat2, beta?, alpha?", "kf.addmm({input}, {mat1}, {mat2}, beta={beta}, alpha={alpha})", "same"),
    Rule("torch.baddbmm", "input, batch1, batch2, beta?, alpha?", "kf.baddbmm({input}, {batch1}, {batch2}, beta={beta}, alpha={alpha})", "same"),
    Rule("torch.numel", "input", "math.prod(ops.shape({input}))", "dim"),
    Rule("torch.is_tensor", "input", "ops.is_tensor({input})", "bool"),
    Rule("torch.is_floating_point", "input", "kf.is_floating_point({input})", "bool"),
)  # fmt: skip

_FOURIER = "input, n?, dim?, norm?"
FOURIER = (
    *(Rule(f"torch.fft.{name}", _FOURIER, f"kf.{name}({{input}}, n={{n}}, dim={{dim}}, norm={{norm}})", kind) for name, kind in (("fft", "tensor"), ("ifft", "tensor"), ("rfft", "tensor"), ("irfft", "tensor:float"))),
    Rule("torch.fft.fftn", "input, s?, dim?, norm?", "kf.fftn({input}, s={s}, dim={dim}, norm={norm})", "tensor"),
)  # fmt: skip

FUNCTIONAL = (
    Rule("F.gelu", "input, approximate?", "kf.gelu({input}, approximate={approximate})", "same"),
    Rule("F.silu", "input, inplace!", "ops.silu({input})", "same"),
    Rule("F.relu", "input, inplace!", "ops.relu({input})", "same"),
    Rule("F.relu6", "input, inplace!", "ops.relu6({input})", "same"),
    Rule("F.elu", "input, alpha?, inplace!", "ops.elu({input}, alpha={alpha})", "same"),
    Rule("F.selu", "input, inplace!", "ops.selu({input})", "same"),
    Rule("F.mish", "input, inplace!", "{input!o} * ops.tanh(ops.softplus({input}))", "same", precedence=10),
    Rule("F.tanh", "input", "ops.tanh({input})", "same"),
    Rule("F.sigmoid", "input", "ops.sigmoid({input})", "same"),
    Rule("F.logsigmoid", "input", "ops.log_sigmoid({input})", "same"),
    Rule("F.softsign", "input", "ops.softsign({input})", "same"),
    Rule("F.hardtanh", "input, min_val=-1.0, max_val=1.0, inplace!", "ops.clip({input}, {min_val}, {max_val})", "same"),
    Rule("F.hardswish", "input, inplace!", "ops.hard_silu({input})", "same"),
    Rule("F.hardsigmoid", "input, inplace!", "ops.hard_sigmoid({input})", "same"),
    Rule("F.leaky_relu", "input, negative_slope?, inplace!", "kf.leaky_relu({input}, {negative_slope})", "same"),
    Rule("F.softplus", "input, beta?, threshold?", "kf.softplus({input}, beta={beta}, threshold={threshold})", "same"),
    Rule("F.glu", "input, dim=-1", "ops.glu({input}, axis={dim})", "same"),
    Rule("F.prelu", "input, weight", "kf.prelu({input}, {weight})", "same"),
    Rule("F.normalize", "input, p?, dim=1, eps?, out^", "kf.normalize({input}, p={p}, dim={dim}, eps={eps})", "same"),
    Rule("F.cosine_similarity", "x1, x2, dim=1, eps?", "kf.cosine_similarity({x1}, {x2}, dim={dim}, eps={eps})", "same"),
    Rule("F.linear", "input, weight, bias?", "kf.linear({input}, {weight}, {bias})", "same"),
    Rule("F.embedding", "input, weight, padding_idx!, max_norm!, norm_type!, scale_grad_by_freq!, sparse!", "ops.take({weight}, {input}, axis=0)", "like:weight"),
    Rule("nn.Transformer.generate_square_subsequent_mask", "sz, device!, dtype!", "layers.Transformer.generate_square_subsequent_mask({sz})", "tensor:float"),
    Rule("F.one_hot", "input, num_classes", "kf.one_hot({input}, num_classes={num_classes})", "tensor:int64"),
    *(Rule(f"F.dropout{n}d", "input, p?, training?, inplace!", "kf.dropout_channels({input}, p={p}, training={training})", "same") for n in (1, 2, 3)),
    Rule("F.embedding_bag", "input, weight, offsets^, max_norm^, norm_type!, scale_grad_by_freq!, mode='mean', sparse!, per_sample_weights?", "kf.embedding_bag({input}, {weight}, mode={mode}, per_sample_weights={per_sample_weights})", "like:weight"),
    Rule("F.dropout", "input, p?, training?, inplace!", "kf.dropout({input}, p={p}, training={training})", "same"),
    Rule("F.layer_norm", "input, normalized_shape, weight?, bias?, eps?", "kf.layer_norm({input}, {normalized_shape}, {weight}, {bias}, eps={eps})", "same"),
    Rule("F.rms_norm", "input, normalized_shape, weight?, eps?", "kf.rms_norm({input}, {normalized_shape}, {weight}, eps={eps})", "same"),
    Rule("F.group_norm", "input, num_groups, weight?, bias?, eps?", "kf.group_norm({input}, {num_groups}, {weight}, {bias}, eps={eps})", "same"),
    Rule("F.batch_norm", "input, running_mean, running_var, weight?, bias?, training?, momentum?, eps?", "kf.batch_norm({input}, {running_mean}, {running_var}, {weight}, {bias}, training={training}, momentum={momentum}, eps={eps})", "same"),
    Rule("F.pad", "input, pad, mode?, value?", "kf.pad({input}, {pad}, mode={mode}, value={value})", "same"),
    Rule("F.interpolate", "input, size?, scale_factor?, mode?, align_corners?, recompute_scale_factor?, antialias?", "kf.interpolate({input}, size={size}, scale_factor={scale_factor}, mode={mode}, align_corners={align_corners}, recompute_scale_factor={recompute_scale_factor}, antialias={antialias})", "same"),
    Rule("F.grid_sample", "input, grid, mode?, padding_mode?, align_corners?", "kf.grid_sample({input}, {grid}, mode={mode}, padding_mode={padding_mode}, align_corners={align_corners})", "same"),
    Rule("F.unfold", "input, kernel_size, dilation?, padding?, stride?", "kf.im2col({input}, {kernel_size}, dilation={dilation}, padding={padding}, stride={stride})", "same"),
    Rule("F.fold", "input, output_size, kernel_size, dilation?, padding?, stride?", "kf.col2im({input}, {output_size}, {kernel_size}, dilation={dilation}, padding={padding}, stride={stride})", "same"),
    Rule("F.pixel_shuffle", "input, upscale_factor", "kf.pixel_shuffle({input}, {upscale_factor})", "same"),
    Rule("F.pixel_unshuffle", "input, downscale_factor", "kf.pixel_unshuffle({input}, {downscale_factor})", "same"),
    *(Rule(f"F.conv{n}d", "input, weight, bias?, stride?, padding?, dilation?, groups?", f"kf.conv{n}d({{input}}, {{weight}}, {{bias}}, stride={{stride}}, padding={{padding}}, dilation={{dilation}}, groups={{groups}})", "same") for n in (1, 2, 3)),
    *(Rule(f"F.conv_transpose{n}d", "input, weight, bias?, stride?, padding?, output_padding?, groups?, dilation?", f"kf.conv_transpose{n}d({{input}}, {{weight}}, {{bias}}, stride={{stride}}, padding={{padding}}, output_padding={{output_padding}}, groups={{groups}}, dilation={{dilation}})", "same") for n in (1, 2)),
    *(Rule(f"F.max_pool{n}d", "input, kernel_size, stride?, padding?, dilation?, ceil_mode?", f"kf.max_pool{n}d({{input}}, {{kernel_size}}, stride={{stride}}, padding={{padding}}, dilation={{dilation}}, ceil_mode={{ceil_mode}})", "same") for n in (1, 2)),
    *(Rule(f"F.avg_pool{n}d", "input, kernel_size, stride?, padding?, ceil_mode?, count_include_pad?", f"kf.avg_pool{n}d({{input}}, {{kernel_size}}, stride={{stride}}, padding={{padding}}, ceil_mode={{ceil_mode}}, count_include_pad={{count_include_pad}})", "same") for n in (1, 2)),
    *(Rule(f"F.adaptive_avg_pool{n}d", "input, output_size", f"kf.adaptive_avg_pool{n}d({{input}}, {{output_size}})", "same") for n in (1, 2)),
    Rule("F.scaled_dot_product_attention", "query, key, value, attn_mask?, dropout_p?, is_causal?, scale?", "kf.scaled_dot_product_attention({query}, {key}, {value}, attn_mask={attn_mask}, dropout_p={dropout_p}, is_causal={is_causal}, scale={scale})", "same"),
    Rule("F.multi_head_attention_forward", "query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training?, key_padding_mask?, need_weights?, attn_mask?, use_separate_proj_weight?, q_proj_weight?, k_proj_weight?, v_proj_weight?, static_k^, static_v^, average_attn_weights?, is_causal!", "kf.multi_head_attention_forward({query}, {key}, {value}, {embed_dim_to_check}, {num_heads}, {in_proj_weight}, {in_proj_bias}, {bias_k}, {bias_v}, {add_zero_attn}, {dropout_p}, {out_proj_weight}, {out_proj_bias}, training={training}, key_padding_mask={key_padding_mask}, need_weights={need_weights}, attn_mask={attn_mask}, use_separate_proj_weight={use_separate_proj_weight}, q_proj_weight={q_proj_weight}, k_proj_weight={k_proj_weight}, v_proj_weight={v_proj_weight}, average_attn_weights={average_attn_weights})", "tuple:tensor:float,tensor:float"),
    Rule("F.gumbel_softmax", "logits, tau?, hard?, eps!, dim?", "kf.gumbel_softmax({logits}, tau={tau}, hard={hard}, dim={dim})", "same"),
    Rule("F.cross_entropy", "input, target, weight?, size_average^, ignore_index?, reduce^, reduction?, label_smoothing?", "kf.cross_entropy({input}, {target}, weight={weight}, ignore_index={ignore_index}, reduction={reduction}, label_smoothing={label_smoothing})", "same"),
    Rule("F.nll_loss", "input, target, weight?, size_average^, ignore_index?, reduce^, reduction?", "kf.nll_loss({input}, {target}, weight={weight}, ignore_index={ignore_index}, reduction={reduction})", "same"),
    Rule("F.binary_cross_entropy", "input, target, weight?, size_average^, reduce^, reduction?", "kf.binary_cross_entropy({input}, {target}, weight={weight}, reduction={reduction})", "same"),
    Rule("F.binary_cross_entropy_with_logits", "input, target, weight?, size_average^, reduce^, reduction?, pos_weight?", "kf.binary_cross_entropy_with_logits({input}, {target}, weight={weight}, reduction={reduction}, pos_weight={pos_weight})", "same"),
    Rule("F.mse_loss", "input, target, size_average^, reduce^, reduction?, weight?", "kf.mse_loss({input}, {target}, reduction={reduction}, weight={weight})", "same"),
    Rule("F.l1_loss", "input, target, size_average^, reduce^, reduction?", "kf.l1_loss({input}, {target}, reduction={reduction})", "same"),
    Rule("F.smooth_l1_loss", "input, target, size_average^, reduce^, reduction?, beta?", "kf.smooth_l1_loss({input}, {target}, reduction={reduction}, beta={beta})", "same"),
    Rule("F.huber_loss", "input, target, reduction?, delta?", "kf.huber_loss({input}, {target}, reduction={reduction}, delta={delta})", "same"),
    Rule("F.kl_div", "input, target, size_average^, reduce^, reduction?, log_target?", "kf.kl_div({input}, {target}, reduction={reduction}, log_target={log_target})", "same"),
    Rule("F.ctc_loss", "log_probs, targets, input_lengths, target_lengths, blank?, reduction?, zero_infinity?", "kf.ctc_loss({log_probs}, {targets}, {input_lengths}, {target_lengths}, blank={blank}, reduction={reduction}, zero_infinity={zero_infinity})", "same"),
)  # fmt: skip

# Functions with the meaning of a tensor method of the same name: the method's rule answers, the first argument is the
# receiver.
AS_METHOD = frozenset(
    "sum max min any all amax amin topk sort argsort gather scatter scatter_add index_select index_add masked_fill "
    "masked_scatter cumsum squeeze flatten split chunk clamp clip nonzero select narrow unflatten take_along_dim "
    "softmax log_softmax cumprod expand_as repeat index_copy put_along_axis scatter_reduce masked_select "
    "tensor_split ravel logcumsumexp clamp_min clamp_max".split()
)

FUNCTIONS: dict[str, Rule] = {}
for _rule in (*ELEMENTWISE, *BINARY, *CREATION, *REDUCTIONS, *SHAPES, *FOURIER, *FUNCTIONAL):
    if _rule.torch in FUNCTIONS:
        raise ValueError(f"two rules for {_rule.torch}")
    FUNCTIONS[_rule.torch] = _rule
