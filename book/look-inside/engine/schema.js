/** What TensorFlow Lite's schema.fbs says of the parts that the engine reads: names and places. */

/** The position of each field in its table, counted from 0. */
export const MODEL = { operatorCodes: 1, subgraphs: 2, buffers: 4 };
export const OPERATOR_CODE = { deprecated: 0, custom: 1, builtin: 3 };
export const SUBGRAPH = { tensors: 0, inputs: 1, outputs: 2, operators: 3 };
export const TENSOR = { shape: 0, type: 1, buffer: 2, name: 3, quantization: 4, sparsity: 6 };
export const QUANTIZATION = { scale: 2, zeroPoint: 3, details: 4, axis: 6 };
export const OPERATOR = { code: 0, inputs: 1, outputs: 2, options: 4 };
export const BUFFER = { data: 0 };

/** What an operator's options say: the field's position, its kind, its value if it is left out. */
export const OPTIONS = {
  CONV_2D: {
    padding: [0, "Int8"], strideW: [1, "Int32"], strideH: [2, "Int32"], activation: [3, "Int8"],
    dilationW: [4, "Int32", 1], dilationH: [5, "Int32", 1],
  },
  DEPTHWISE_CONV_2D: {
    padding: [0, "Int8"], strideW: [1, "Int32"], strideH: [2, "Int32"], activation: [4, "Int8"],
    dilationW: [5, "Int32", 1], dilationH: [6, "Int32", 1],
  },
  FULLY_CONNECTED: { activation: [0, "Int8"] },
  SOFTMAX: { beta: [0, "Float32"] },
  CONCATENATION: { axis: [0, "Int32"], activation: [1, "Int8"] },
  ADD: { activation: [0, "Int8"] },
  SUB: { activation: [0, "Int8"] },
  MUL: { activation: [0, "Int8"] },
  MEAN: { keepDims: [0, "Int8"] },
};
OPTIONS.MAX_POOL_2D = OPTIONS.AVERAGE_POOL_2D = {
  padding: [0, "Int8"], strideW: [1, "Int32"], strideH: [2, "Int32"],
  filterW: [3, "Int32"], filterH: [4, "Int32"], activation: [5, "Int8"],
};

/** Padding.SAME is 0, Padding.VALID 1. */
export const SAME = 0;

/** ActivationFunctionType, and what each lets pass, in real numbers. */
export const ACTIVATIONS = ["NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"];
export const ACTIVATION_RANGES = {
  NONE: [-Infinity, Infinity],
  RELU: [0, Infinity],
  RELU6: [0, 6],
  RELU_N1_TO_1: [-1, 1],
};

/** BuiltinOperator, from 0. */
export const OPERATOR_NAMES = `
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D
LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1
RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM
CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM
CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE
SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW
ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK
REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR
LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS
WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG
REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL
BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD
UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
RIGHT_SHIFT`.trim().split(/\s+/);
