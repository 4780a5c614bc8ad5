"""The operators that a model file may call, for every format: an operator that is not listed here is refused by its name.

The lists were derived from the schemas that torch 2.13 and ONNX 1.23 register. An operator is listed when its results depend on its
arguments only and it changes nothing but its arguments' values. Not listed, on purpose:

- operators that read or write files or share memory: from_file, save, set_data, _print, pin_memory;
- operators that change the storage, or view it without a check: set_, resize_, resize_as_, as_strided_, _reshape_alias, out= variants;
- random numbers (but for TorchScript, whose code has the branches of training, too), gradients, optimizers;
- sparse, nested and quantized tensors, other devices' kernels;
- everything outside of `aten`, but for the arithmetic of sizes and the three calls of sub-graphs below.

Names without an overload; those that end in `_` write into their first argument. Some have conditions: preconditions.py.
"""

from __future__ import annotations

from swath.models.safety.preconditions import CONDITIONAL

ATEN = {
    "convolution and folding": """
        col2im conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d _convolution convolution
        _convolution_mode im2col""",
    "pooling": """
        adaptive_avg_pool1d _adaptive_avg_pool2d adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool3d
        adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool1d
        max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool2d
        max_unpool3d""",
    "activation": """
        celu celu_ elu elu_ gelu gelu_ glu hardshrink hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_
        leaky_relu leaky_relu_ log_sigmoid log_sigmoid_forward _log_softmax log_softmax mish mish_ prelu _prelu_kernel relu
        relu_ relu6 relu6_ _safe_softmax selu selu_ sigmoid sigmoid_ silu silu_ _softmax softmax softplus softshrink
        special_expit special_log_softmax special_softmax tanh tanh_ threshold threshold_""",
    "normalisation": """
        batch_norm cosine_similarity frobenius_norm _fused_rms_norm group_norm instance_norm layer_norm linalg_matrix_norm
        linalg_norm linalg_vector_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
        native_group_norm native_layer_norm norm norm_except_dim pairwise_distance renorm rms_norm _weight_norm
        _weight_norm_interface""",
    "dropout, which changes nothing outside of training": """
        alpha_dropout alpha_dropout_ dropout dropout_ feature_alpha_dropout feature_alpha_dropout_ feature_dropout
        feature_dropout_ native_dropout""",
    "attention": """
        _native_multi_head_attention scaled_dot_product_attention _scaled_dot_product_attention_math
        _scaled_dot_product_flash_attention_for_cpu _transformer_encoder_layer_fwd""",
    "recurrence": """
        gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell""",
    "linear algebra": """
        addbmm addbmm_ addmm addmm_ addmv addmv_ addr addr_ baddbmm baddbmm_ bilinear bmm cdist _cdist_forward chain_matmul
        cross det diag_embed dot einsum _euclidean_dist inner inverse kron linalg_cholesky linalg_cross linalg_det
        linalg_diagonal linalg_inv linalg_inv_ex linalg_matmul linalg_multi_dot linalg_pinv linalg_solve linalg_svd
        linalg_vecdot linear matmul mm mv outer tensordot trace vdot""",
    "arithmetic": """
        abs abs_ absolute absolute_ acos acos_ acosh acosh_ add add_ addcdiv addcdiv_ addcmul addcmul_ angle arccos arccos_
        arccosh arccosh_ arcsin arcsin_ arcsinh arcsinh_ arctan arctan_ arctan2 arctan2_ arctanh arctanh_ asin asin_ asinh
        asinh_ atan atan_ atan2 atan2_ atanh atanh_ bitwise_and bitwise_and_ bitwise_left_shift bitwise_left_shift_
        bitwise_not bitwise_not_ bitwise_or bitwise_or_ bitwise_right_shift bitwise_right_shift_ bitwise_xor bitwise_xor_ ceil
        ceil_ clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clip clip_ conj conj_physical conj_physical_ copysign
        copysign_ cos cos_ cosh cosh_ deg2rad deg2rad_ digamma digamma_ div div_ divide divide_ erf erf_ erfc erfc_ erfinv
        erfinv_ exp exp_ exp2 exp2_ expm1 expm1_ fix fix_ float_power float_power_ floor floor_ floor_divide floor_divide_
        fmax fmin fmod fmod_ frac frac_ heaviside heaviside_ hypot hypot_ lerp lerp_ lgamma lgamma_ log log_ log10 log10_
        log1p log1p_ log2 log2_ logaddexp logaddexp2 logit logit_ maximum minimum mul mul_ multiply multiply_ nan_to_num
        nan_to_num_ neg neg_ negative negative_ positive pow pow_ rad2deg rad2deg_ reciprocal reciprocal_ remainder remainder_
        resolve_conj resolve_neg round round_ rsqrt rsqrt_ rsub sgn sgn_ sign sign_ sin sin_ sinc sinc_ sinh sinh_ special_erf
        special_erfc special_exp2 special_expm1 special_log1p special_logit special_xlogy sqrt sqrt_ square square_ sub sub_
        subtract subtract_ tan tan_ true_divide true_divide_ trunc trunc_ xlogy xlogy_""",
    "comparison and logic": """
        allclose __and__ eq eq_ equal ge ge_ greater greater_ greater_equal greater_equal_ gt gt_ __iand__ __ior__ isclose
        isfinite isin isinf isnan isneginf isposinf __ixor__ le le_ less less_ less_equal less_equal_ logical_and logical_and_
        logical_not logical_not_ logical_or logical_or_ logical_xor logical_xor_ __lshift__ lt lt_ ne ne_ not_equal not_equal_
        __or__ __rshift__ signbit where __xor__""",
    "reduction": """
        all amax amin aminmax any argmax argmin bincount count_nonzero cummax cummin cumprod cumprod_ cumsum cumsum_ diff
        histc logcumsumexp logsumexp max mean median min mode nanmean nanmedian nanquantile nansum prod quantile
        special_logsumexp std std_mean sum sum_to_size var var_mean""",
    "shape and view": """
        adjoint alias alias_copy as_strided as_strided_copy atleast_1d atleast_2d atleast_3d broadcast_tensors broadcast_to
        cat channel_shuffle chunk clone column_stack concat concatenate contiguous detach detach_ detach_copy diag diagonal
        diagonal_copy dsplit dstack expand expand_as expand_copy flatten flip fliplr flipud hsplit hstack imag matrix_H mH
        moveaxis movedim mT narrow narrow_copy native_channel_shuffle numpy_T permute permute_copy pixel_shuffle
        pixel_unshuffle ravel real repeat repeat_interleave reshape reshape_as _reshape_copy roll rot90 row_stack select
        select_copy slice slice_copy split split_copy split_with_sizes split_with_sizes_copy squeeze squeeze_ squeeze_copy
        stack swapaxes swapaxes_ swapdims swapdims_ t t_ t_copy tensor_split tile transpose transpose_ transpose_copy unbind
        unbind_copy unflatten unfold unfold_copy unsafe_chunk unsafe_split unsafe_split_with_sizes _unsafe_view unsqueeze
        unsqueeze_ unsqueeze_copy view view_as view_as_complex view_as_complex_copy view_as_real view_as_real_copy view_copy
        vsplit vstack""",
    "indices and sorting": """
        argsort argwhere bucketize diagonal_scatter embedding gather index index_add index_add_ index_copy index_copy_
        index_fill index_fill_ index_put index_put_ index_reduce index_reduce_ index_select kthvalue masked_fill masked_fill_
        masked_scatter masked_scatter_ masked_select msort nonzero nonzero_numpy nonzero_static one_hot scatter scatter_
        scatter_add scatter_add_ scatter_reduce scatter_reduce_ searchsorted select_scatter slice_scatter sort take
        take_along_dim topk tril tril_ tril_indices triu triu_ triu_indices _unsafe_index _unsafe_index_put""",
    "interpolation and padding": """
        affine_grid_generator constant_pad_nd grid_sampler grid_sampler_2d grid_sampler_3d pad _pad_circular _pad_enum
        reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
        upsample_bicubic2d _upsample_bicubic2d_aa upsample_bilinear2d _upsample_bilinear2d_aa _upsample_lanczos2d_aa
        upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
        _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_trilinear3d""",
    "creation": """
        arange block_diag cartesian_prod complex copy copy_ empty empty_like empty_permuted empty_strided eye fill fill_
        fill_diagonal_ full full_like hamming_window hann_window lift lift_fresh lift_fresh_copy linspace logspace meshgrid
        new_empty new_empty_strided new_full new_ones new_zeros ones ones_like polar scalar_tensor vander zero zero_ zeros
        zeros_like""",
    "Fourier transforms": """
        _fft_c2c _fft_c2r fft_fft fft_fft2 fft_fftfreq fft_fftn fft_fftshift fft_ifft fft_ifft2 fft_ifftn fft_ifftshift
        fft_irfft fft_irfft2 fft_irfftn _fft_r2c fft_rfft fft_rfft2 fft_rfftfreq fft_rfftn istft stft""",
    "types and sizes": """
        can_cast _cast_Byte _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short chalf dim
        is_complex is_contiguous is_floating_point is_nonzero is_same_size is_signed item _local_scalar_dense numel
        promote_types result_type _shape_as_tensor size storage_offset stride sym_is_contiguous sym_numel sym_size
        sym_storage_offset sym_stride to _to_copy _to_cpu type_as""",
    "checks of the exporter's": """
        _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async _functional_assert_scalar
        _functional_sym_constrain_range _functional_sym_constrain_range_for_size _is_all_true _is_any_true sym_constrain_range
        sym_constrain_range_for_size""",
}
"""Torch's operators by subject, for .pt2 and TorchScript."""

SIZES = """
    _operator.add _operator.and_ _operator.eq _operator.floordiv _operator.ge _operator.getitem _operator.gt _operator.le _operator.lt
    _operator.mod _operator.mul _operator.ne _operator.neg _operator.not_ _operator.or_ _operator.pow _operator.sub _operator.truediv
    math.ceil math.floor math.trunc torch.sym_float torch.sym_int torch.sym_ite torch.sym_max torch.sym_min torch.sym_not"""
"""What the graph of a .pt2 file does with sizes."""

SUBGRAPHS = "cond wrap_with_autocast wrap_with_set_grad_enabled"
"""Operators of torch.ops.higher_order in .pt2 files: branches, and parts of a network with another precision or without gradients."""

TORCHSCRIPT = {
    "random numbers, which scripted networks draw in training only": """
        bernoulli bernoulli_ normal_ rand rand_like randn randn_like rrelu rrelu_ uniform_""",
    "numbers": """
        Bool Complex degrees __derive_index divmod fabs factorial Float FloatImplicit floordiv frexp gcd Int IntImplicit
        __is__ __isnot__ lcm ldexp mathremainder modf __not__ radians __range_length __round_to_zero_floordiv ScalarImplicit""",
    "lists, dictionaries and text": """
        append clear __contains__ count Delete dict endswith extend find format get __getitem__ hash insert items join keys
        len list _list_to_tensor lower ord percentFormat pop popitem remove replace reverse _set_item setdefault sorted
        startswith str strip _tensor_to_list update upper values""",
    "tensors in TorchScript": """
        as_tensor broadcast_shapes cpu cuda data device element_size get_device _get_tracing_state has_torch_function
        _infer_size __interpolate is_autocast_cpu_enabled is_autocast_enabled is_grad_enabled is_inference is_leaf
        is_scripting requires_grad_ set_grad_enabled tensor _unwrap_optional __upsample __upsample_bilinear __upsample_nearest
        warn""",
}
"""What TorchScript calls in `aten` beside these: mostly Python's numbers, lists and texts."""

PRIM = """
    abs Constant data device DictConstruct dtype EnumName EnumValue GetAttr grad If ImplicitTensorToNum index is_cpu is_cuda
    is_meta is_mkldnn is_mps is_nested is_quantized is_sparse is_sparse_csr is_xla isinstance itemsize layout ListConstruct
    ListUnpack Loop max min ModuleContainerIndex name NumToTensor RaiseException rangelist requires_grad SetAttr shape
    StringIndex tolist TupleConstruct TupleIndex TupleSlice TupleUnpack type unchecked_cast unchecked_unwrap_optional
    Uninitialized"""
"""TorchScript's own instructions."""

ONNX = {
    "activation": """
        Celu Clip Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Shrink Sigmoid Softmax
        Softplus Softsign SwiGLU Swish Tanh ThresholdedRelu""",
    "arithmetic": """
        Abs Acos Acosh Add Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Cos Cosh CumProd
        CumSum Det Div Erf Exp Floor Log Mod Mul Neg Pow Reciprocal Round Sign Sin Sinh Sqrt Sub Sum Tan""",
    "attention and matrices": """
        Attention Einsum Gemm LinearAttention MatMul MatMulInteger RotaryEmbedding""",
    "comparison and logic": """
        And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Max Mean Min Not Or Where Xor""",
    "control flow and sequences": """
        ConcatFromSequence If Loop Optional OptionalGetElement OptionalHasElement Scan SequenceAt SequenceConstruct
        SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap SplitToSequence""",
    "convolution and pooling": """
        AveragePool Col2Im Conv ConvInteger ConvTranspose DeformConv GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool
        MaxPool MaxRoiPool MaxUnpool RoiAlign""",
    "creation, shape and indices": """
        BitCast Cast CastLike CenterCropPad Compress Concat Constant ConstantOfShape DepthToSpace Expand EyeLike Flatten
        Gather GatherElements GatherND Identity NonMaxSuppression NonZero OneHot Range Reshape ReverseSequence Scatter
        ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze TensorScatter Tile TopK Transpose Trilu Unique
        Unsqueeze""",
    "Fourier transforms and windows": """
        BlackmanWindow DFT HammingWindow HannWindow STFT""",
    "interpolation and padding": """
        AffineGrid GridSample Pad Resize Upsample""",
    "normalisation and dropout": """
        BatchNormalization Dropout GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization
        MeanVarianceNormalization RMSNormalization""",
    "quantization": """
        DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul QuantizeLinear""",
    "recurrence": """
        GRU LSTM RNN""",
    "reduction": """
        ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare""",
}
"""ONNX's operators by subject, of the domains `` and `ai.onnx`."""

ONNX_MICROSOFT = """
    Attention BiasAdd BiasGelu BiasSoftmax BiasSplitGelu ConvTransposeWithDynamicPads DequantizeLinear DynamicQuantizeMatMul
    FastGelu FusedConv FusedGemm FusedMatMul FusedMatMulActivation GatherND Gelu GridSample GroupNorm GroupQueryAttention
    Inverse MatMulInteger16 MatMulIntegerToFloat MatMulNBits MultiHeadAttention NhwcConv NhwcFusedConv NhwcMaxPool Pad
    QAttention QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu
    QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu RotaryEmbedding
    SimplifiedLayerNormalization SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization TransposeMatMul Trilu
    Unique"""
"""Operators of the domain com.microsoft: what optimized and quantized networks call."""


def _names(*lists: str) -> frozenset[str]:
    return frozenset(" ".join(lists).split())


ATEN_NAMES = _names(*ATEN.values())
SIZE_NAMES = _names(SIZES)
SUBGRAPH_NAMES = _names(SUBGRAPHS)
SCRIPT_NAMES = frozenset(
    f"aten::{name}" for name in ATEN_NAMES - CONDITIONAL | _names(*TORCHSCRIPT.values())
) | frozenset(f"prim::{name}" for name in _names(PRIM))
ONNX_NAMES = {
    "": _names(*ONNX.values()),
    "ai.onnx": _names(*ONNX.values()),
    "com.microsoft": _names(ONNX_MICROSOFT),
}
"""Names of operators by domain."""
