"""ONNX Runtime: the file, its operators, and what the config says of its tensors."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "onnx.ir-version",
        r"Unsupported model IR version: (?P<have>\d+), max supported IR version: (?P<most>\d+)",
        "The ONNX file has IR version {have}, and this server's ONNX Runtime reads up to {most}: the "
        "file is newer than the server.",
        "Export it with an older onnx package, set `model.ir_version = {most}` and save it, or use a "
        "newer release of Triton.",
        "Internal: onnx runtime error 1: Load model from /models/net/1/model.onnx failed:model.cc:149 "
        "Unsupported model IR version: 10, max supported IR version: 9",
    ),
    rule(
        "onnx.opset",
        r"ONNX Runtime only \*?guarantees\*? support for models stamped with[^\n]*?Opset (?P<have>\d+) is "
        r"under development|[Uu]nsupported (?:ONNX )?opset(?: version)?:? ?(?P<have2>\d*)|Opset "
        r"(?P<have3>\d+) is (?:under development|not supported)|Unknown model file format version",
        "The ONNX file uses a version of the operators (opset {have}) that this server's ONNX Runtime "
        "does not have.",
        "Export with a lower `opset_version`, or use a newer release of Triton.",
        "onnx runtime error 1: Load model from /models/net/1/model.onnx failed: ONNX Runtime only "
        "*guarantees* support for models stamped with official released onnx opset versions. Opset 22 is "
        "under development and support for this is limited.",
    ),
    rule(
        "onnx.no-kernel",
        r"(?:Could not find an implementation for(?: the node)? "
        r"(?P<node>[^\n:]*)(?::(?P<op>\w+)\((?P<version>\d+)\))?|NOT_IMPLEMENTED)",
        "ONNX Runtime has no implementation of an operator of the model for its data type or version "
        "{op} {node}.",
        "Export with a lower opset or with FP32/INT64 tensors there, or use a newer release.",
        "onnx runtime error 9: Could not find an implementation for ArgMax(13) node with name 'ArgMax_3'",
    ),
    rule(
        "onnx.custom-op",
        r"(?:(?P<op>[\w.:]+)\(-?\d+\) is not a registered function/op|No [Oo]p registered for "
        r"(?P<op2>\w+)|Fatal error: (?P<op3>\S+) is not a registered|custom operations? "
        r"'(?P<op4>[^']+)'|op_library_filename|domain_version of domain (?P<op5>\S+))",
        "The ONNX file uses an operator that this ONNX Runtime does not know: {op}. It is a custom or "
        "contributed one.",
        'Name the library that holds it in model_operations {{ op_library_filename: "..." }}, or export '
        "without it.",
        "onnx runtime error 1: Load model from /models/net/1/model.onnx failed:Fatal error: "
        "EfficientNMS_TRT(-1) is not a registered function/op",
        place="model_operations.op_library_filename",
    ),
    rule(
        "onnx.external-data",
        r"(?:External data path|model_path must not be empty|external (?:data|initializer)|[Dd]ata of "
        r"TensorProto[^\n]*should be stored in|GetExtDataFromTensorProto|\.onnx[._]data)[^\n]*",
        "The ONNX file keeps its weights in a second file (external data), and that file is not beside it.",
        "Copy the data file under its original name into the version folder, beside model.onnx.",
        "onnx runtime error 1: Deserialize tensor w failed. GetFileLength for "
        "/models/net/1/model.onnx.data failed: External data path does not exist",
    ),
    rule(
        "onnx.damaged",
        r"(?:Load model from \S+ failed:\s?Protobuf parsing failed|INVALID_PROTOBUF|Protobuf parsing "
        r"failed|it is not an ONNX file, or damaged|ModelProto (?:does|is)|onnx runtime error 7\b)",
        "The file is no ONNX model, or it is damaged or cut off.",
        "Check it with onnx.checker.check_model, and copy or export it again.",
        "failed to load 'net' version 1: Internal: onnx runtime error 7: Load model from "
        "/models/net/1/model.onnx failed:Protobuf parsing failed.",
    ),
    rule(
        "onnx.batch-dimension",
        r"model '(?P<model>[^']+)', tensor '(?P<tensor>[^']+)': for the model to support batching the "
        r"shape should have at least 1 dimension and the first dimension must be -1; but shape expected "
        r"by the model is (?P<shape>\[[^\]]*\])",
        "`max_batch_size` is greater than 0, so Triton needs a variable first dimension, and `{tensor}` "
        "of the model file has the fixed shape {shape}.",
        "Export the model with a dynamic first dimension, or set max_batch_size: 0 and write the whole "
        "shape {shape} in dims.",
        "Invalid argument: model 'net', tensor 'x': for the model to support batching the shape should "
        "have at least 1 dimension and the first dimension must be -1; but shape expected by the model "
        "is [1,3,224,224]",
        place="max_batch_size|input.{tensor}.dims|output.{tensor}.dims",
    ),
    rule(
        "onnx.dims",
        r"model '(?P<model>[^']+)', tensor '(?P<tensor>[^']+)': the model expects (?P<n>\d+) dimensions "
        r"\(shape (?P<have>\[[^\]]*\])\) but the model configuration specifies (?P<m>\d+) dimensions "
        r"(?P<batch>\(an initial batch dimension[^\[]*)?[^\[]*(?P<want>\[[^\]]*\])",
        "`dims` of `{tensor}` do not fit the model file: the model has shape {have}, the config makes it "
        "{want} (with max_batch_size > 0 Triton adds a batch dimension in front).",
        "Correct `dims` of `{tensor}`: the shape of the model file, without its first dimension when "
        "max_batch_size is greater than 0.",
        "Invalid argument: model 'net', tensor 'x': the model expects 4 dimensions (shape "
        "[-1,3,224,224]) but the model configuration specifies 5 dimensions (an initial batch dimension "
        "because max_batch_size > 0 followed by the explicit tensor shape, making complete shape "
        "[-1,1,3,224,224])",
        place="input.{tensor}.dims|output.{tensor}.dims",
    ),
    rule(
        "onnx.dtype",
        r"unable to load model '(?P<model>[^',]+)'?, (?:configuration expects datatype (?P<want>\w+) for "
        r"(?P<side>input|output) '(?P<tensor>[^']+)', model provides (?P<have>\w+)|unexpected datatype "
        r"(?P<have2>\w+) for (?P<side2>input|output) '(?P<tensor2>[^']+)', expecting (?P<want2>\w+))",
        "The data type of the {side} `{tensor}` is {want} in config.pbtxt and {have} in the model file.",
        "Write data_type: {have} for `{tensor}` (with TYPE_ in front).",
        "Invalid argument: unable to load model 'net', configuration expects datatype TYPE_FP32 for "
        "input 'ids', model provides TYPE_INT64",
        place="{side}.{tensor}.data_type|{side}.{tensor}",
    ),
    rule(
        "onnx.input-name",
        r"unexpected inference input '(?P<tensor>[^']+)'[^\n]{0,40}allowed inputs are: "
        r"?(?P<names>[^\n\"]*)",
        "config.pbtxt names the input `{tensor}`, and the model file has no such input. It has: {names}",
        "Write the name that the model file has; names are exact.",
        "unable to load model 'net', unexpected inference input 'pixels', allowed inputs are: input",
        place="input.{tensor}.name|input.{tensor}|input",
    ),
    rule(
        "onnx.output-name",
        r"unexpected inference output '(?P<tensor>[^']+)'[^\n]{0,40}allowed outputs are: "
        r"?(?P<names>[^\n\"]*)",
        "config.pbtxt names the output `{tensor}`, and the model file has no such output. It has: {names}",
        "Write the name that the model file has; names are exact.",
        "unable to load model 'net', unexpected inference output 'scores', allowed outputs are: output",
        place="output.{tensor}.name|output.{tensor}|output",
    ),
    rule(
        "onnx.input-count",
        r"unable to load model '(?P<model>[^',]+)'?, (?:configuration expects (?P<want>\d+) inputs?, "
        r"model provides (?P<have>\d+|at most \d+)|expected (?P<want2>\d+) inputs?,? (?:but )?got "
        r"(?P<have2>\d+))(?P<more>[^\n]*)",
        "config.pbtxt has {want} inputs and the model file {have} {more}.",
        "List every input of the model file once in config.pbtxt. In JSON and pbtxt the field is called "
        "`input`, not `inputs`.",
        "Invalid argument: unable to load model 'net', configuration expects 1 inputs, model provides 2",
        place="input",
    ),
    rule(
        "onnx.scalar",
        r"scalar tensor '(?P<tensor>[^']+)', should only provide 1 in the model configuration",
        "`{tensor}` is a scalar in the model file; Triton writes such a shape as one dimension of 1.",
        "Write dims: [ 1 ] with reshape: {{ shape: [ ] }} for `{tensor}`.",
        "unable to load model 'net', scalar tensor 'x', should only provide 1 in the model configuration "
        "when the model doesn't support batching. Model configuration provided: [4]",
        place="input.{tensor}.dims|output.{tensor}.dims",
    ),
    rule(
        "onnx.tensor-type",
        r"(?:tensor '(?P<tensor>[^']+)' has type (?P<type>\S+), which Triton cannot carry|unsupported "
        r"(?:ONNX )?(?:type|data-?type) '?(?P<type2>[\w()]+)'? for (?:input|output) '(?P<tensor2>[^']+)' "
        r"for ONNX|Unsupported ONNX Type '(?P<type3>[^']+)' for I/O '(?P<tensor3>[^']+)')",
        "The tensor `{tensor}` of the model is of a kind that Triton cannot carry: {type} (a sequence, a "
        "map, or a type without a Triton name).",
        "Export the model so that its inputs and outputs are plain tensors; for scikit-learn: zipmap=False.",
        "Internal: Unsupported ONNX Type 'ONNX_TYPE_SEQUENCE' for I/O 'output_probability', expected "
        "'ONNX_TYPE_TENSOR'.",
        place="output.{tensor}|input.{tensor}",
    ),
    rule(
        "onnx.optional-batching",
        r"optional input '(?P<tensor>[^']+)' is not supported for models that support batching",
        "`{tensor}` is optional, and this backend takes optional inputs only without batching.",
        "Set max_batch_size: 0, or remove `optional`.",
        "unable to load model 'net', optional input 'mask' is not supported for models that support batching",
        place="input.{tensor}.optional|input.{tensor}",
    ),
    rule(
        "onnx.cuda-libraries",
        r"(?:Failed to load library "
        r"libonnxruntime_providers_(?P<which>\w+)\.so|OrtSessionOptionsAppendExecutionProvider_?\w*[^\n]*("
        r"?:Failed|failed)|Provider type \w+ is not (?:enabled|supported)|needs ONNX Runtime's "
        r"(?P<which2>\w+))[^\n]*",
        "ONNX Runtime cannot use the execution provider that the config or KIND_GPU asks for ({which}): "
        "it is not in this build, or a CUDA, cuDNN or TensorRT library is missing.",
        "Use KIND_CPU and no accelerator, or the container whose CUDA and TensorRT fit its ONNX Runtime.",
        "onnx runtime error 1: Failed to load library libonnxruntime_providers_cuda.so with error: "
        "libcudnn.so.9: cannot open shared object file",
        place="optimization.execution_accelerators|instance_group.0.kind|optimization|instance_group",
    ),
    rule(
        "onnx.accelerator",
        r"(?:unknown Execution Accelerator '(?P<name>[^']+)'|gpu_execution_accelerator '(?P<name2>[^']+)' "
        r"is requested|unsupported precision mode '(?P<name3>[^']+)'|unknown parameter '(?P<name4>[^']+)' "
        r"is provided for \w+ Execution)",
        "`optimization.execution_accelerators` asks for something that this backend does not have here: "
        "{name}.",
        "Use the names tensorrt (GPU) or openvino (CPU) where they are installed, or remove the block.",
        "unknown Execution Accelerator 'tensorflow' is requested for model 'net'",
        place="optimization.execution_accelerators|optimization",
    ),
    rule(
        "onnx.graph",
        r"(?:This is an invalid model|Type Error: Type|Node \(?(?P<node>[^)\s]+)\)? "
        r"Op|ShapeInferenceError|TypeInferenceError|Invalid model|INVALID_GRAPH|onnx runtime error "
        r"10\b|onnx runtime error 2\b[^\n]*(?:Type|Node))",
        "The graph in the ONNX file contradicts itself (a node's types or shapes do not fit) {node}.",
        "Check the file with onnx.checker.check_model and full shape inference, and export it again; do "
        "not edit types by hand.",
        "onnx runtime error 10: Load model from /models/net/1/model.onnx failed:This is an invalid "
        "model. Type Error: Type 'tensor(int64)' of input parameter (x) of operator (Add) is invalid.",
    ),
    rule(
        "onnx.run",
        r"(?:Non-zero status code returned while running (?![^\n]*CU(?:DNN|BLAS|DA) "
        r"(?:failure|error))(?P<op>\w+) node\.? ?(?:Name:'(?P<node>[^']*)')?|onnx runtime error "
        r"(?P<code>\d+): (?:Got invalid dimensions for input: (?P<tensor>\S+)))",
        "A node of the ONNX model failed while it ran {op} {node}{tensor}: mostly the shapes or values "
        "of the request are none that the graph can compute with.",
        "Run the same arrays in onnxruntime alone; compare the request's shapes with those the model was "
        "exported with. When only larger batches fail, a Reshape in the graph has the batch size built "
        "in: export it with a dynamic batch.",
        "onnx runtime error 6: Non-zero status code returned while running Reshape node. "
        "Name:'Reshape_5' Status Message: The input tensor cannot be reshaped to the requested shape.",
    ),
    rule(
        "onnx.initialization",
        r"onnx runtime error (?P<code>\d+): (?:Exception during initialization: )(?P<why>[^\n\"]+)",
        "ONNX Runtime could not start a session for the model: {why}",
        "Open the file with onnxruntime.InferenceSession in Python with the same version: the same "
        "message comes there.",
        "onnx runtime error 6: Exception during initialization: the provider options are not valid",
    ),
)
