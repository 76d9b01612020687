"""A config.pbtxt that can be read and that Triton refuses: backend, tensors, instances, versions."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "config.repository-too-deep",
        r"Poll failed for model directory '(?P<folder>\d+)'",
        "Triton takes the version folder `{folder}` for a model: the repository's path leads to one "
        "model, a level too deep.",
        "Give --model-repository the folder above, the one that holds the model folders.",
        "Poll failed for model directory '1': Invalid model name: Could not determine backend for model "
        "'1' with no backend in model configuration.",
    ),
    rule(
        "config.template",
        r"(?P<value>\$\{\w+\})",
        "The config still holds the placeholder `{value}`: a template that nobody filled in.",
        "Fill in every placeholder of config.pbtxt (TensorRT-LLM: with tools/fill_template.py), the "
        "backend's name first.",
        "failed to load 'llm' version 1: Invalid argument: unable to find backend library for backend "
        "'${triton_backend}', try specifying runtime on the model configuration.",
        place="backend|platform",
    ),
    rule(
        "config.backend-is-a-platform",
        r"unable to find (?:backend library for backend "
        r"'|'libtriton_)(?P<name>onnxruntime_onnx|tensorrt_plan|pytorch_libtorch|tensorflow_(?:savedmodel|"
        r"graphdef))(?:'|\.so)",
        "`{name}` is the name of a platform and stands where the name of a backend is expected, so "
        "Triton looks for a backend called {name}.",
        'Write platform: "{name}" and no `backend`, or write backend with the short name: onnxruntime, '
        "tensorrt, pytorch, tensorflow.",
        "failed to load 'net' version 1: Invalid argument: unable to find 'libtriton_tensorrt_plan.so' "
        "for model 'net', searched: /models/net/1, /models/net, /opt/tritonserver/backends/tensorrt_plan",
        place="backend|platform",
    ),
    rule(
        "config.no-such-backend",
        r"unable to find (?:backend library for backend|Python backend based backend library|backend "
        r"library) '(?P<backend>[^']*)'|unable to find '?libtriton_(?P<backend2>\w+)\.so'?",
        "No backend named `{backend}` is installed in this server: the name is misspelt, or this build "
        "or container does not have it.",
        "Check `backend:` or `platform:` in config.pbtxt. The embedded server has onnxruntime, pytorch "
        "and python; the containers differ: the `-trtllm`, `-vllm` and `-py-min` images hold only some "
        "backends.",
        "failed to load 'net' version 1: Invalid argument: unable to find backend library for backend "
        "'tensorflo', try specifying runtime on the model configuration.",
        place="backend|platform|runtime",
    ),
    rule(
        "config.runtime",
        r"backend library name '(?P<name>[^']*)' escapes backend directory|check model config runtime "
        r"field",
        "`runtime` in config.pbtxt names no library in the backend's folder: {name}.",
        "Remove `runtime`: Triton finds the backend's library itself.",
        "Invalid argument: backend library name '../x.so' escapes backend directory "
        "'/opt/tritonserver/backends'",
        place="runtime",
    ),
    rule(
        "config.platform-not-built",
        r"unexpected platform type "
        r"'?(?P<platform>tensorflow_\w+|ensemble|tensorrt_plan|onnxruntime_onnx|pytorch_libtorch)'? for "
        r"(?P<model>\S+)",
        '`platform: "{platform}"` is a real one, and this build or release of Triton does not have it '
        "(TensorFlow is gone since 25.03; a build of one's own has only what it was built with).",
        "Use the full container (-py3) of a release that has it, or add it to the build (--backend=..., "
        "--enable-feature ensemble); with a backend of your own write `backend:` in place of `platform:`.",
        "Poll failed for model directory 'net': unexpected platform type tensorflow_savedmodel for net",
        place="platform",
    ),
    rule(
        "config.platform",
        r"unexpected platform type '?(?P<platform>[^' ]*)'? for (?P<model>\S+)",
        '`platform: "{platform}"` names no platform that this server knows.',
        'Write platform: "onnxruntime_onnx", "pytorch_libtorch" or "tensorrt_plan" as the model file '
        "needs, or use `backend:` with the backend's name.",
        "Poll failed for model directory 'net': unexpected platform type 'onnx' for net",
        place="platform",
    ),
    rule(
        "config.platform-and-backend",
        r"unexpected 'platform' and 'backend' pair, got: ?(?P<pair>[^\n]*)",
        "`platform` and `backend` in config.pbtxt contradict each other: {pair}.",
        "Keep one of the two.",
        "Poll failed for model directory 'net': unexpected 'platform' and 'backend' pair, "
        "got:onnxruntime_onnx, python",
        place="platform|backend",
    ),
    rule(
        "config.no-backend",
        r"must specify '(?:platform'? or '?)?backend'? for|must specify 'platform' or 'backend'|Invalid "
        r"model name: Could not determine backend for model '(?P<model>[^']*)'",
        "config.pbtxt names neither a platform nor a backend, or Triton did not find the file, and no "
        "backend can be derived from the model's files.",
        'Add platform: "onnxruntime_onnx" for model.onnx, platform: "pytorch_libtorch" for model.pt, '
        'backend: "python" for model.py; look that the file is called exactly config.pbtxt and lies in '
        "the model folder.",
        "Poll failed for model directory 'net': must specify 'platform' or 'backend' for 'net'",
        place="platform|backend",
    ),
    rule(
        "config.no-dims",
        r"model (?P<side>input|output)(?: '(?P<name>[^']+)')? must specify 'dims'",
        "The {side} `{name}` in config.pbtxt has no `dims`.",
        "Add `dims: [ ... ]`, without the batch dimension when max_batch_size is greater than 0; -1 for "
        "a size that varies.",
        "Poll failed for model directory 'net': model input 'x' must specify 'dims' for net",
        place="{side}.{name}|{side}",
    ),
    rule(
        "config.no-dtype",
        r"model (?P<side>input|output)(?: '(?P<name>[^']+)')? must specify 'data_type'",
        "The {side} `{name}` in config.pbtxt has no `data_type`.",
        "Add `data_type: TYPE_FP32`, or the type that the model has.",
        "Poll failed for model directory 'net': model input 'x' must specify 'data_type' for net",
        place="{side}.{name}|{side}",
    ),
    rule(
        "config.no-name",
        r"model (?P<side>input|output) must specify 'name'",
        "An {side} in config.pbtxt has no `name`.",
        "Add the tensor's name as the model knows it.",
        "Poll failed for model directory 'net': model input must specify 'name' for net",
        place="{side}",
    ),
    rule(
        "config.bad-dim",
        r"model (?P<side>input|output)(?: '(?P<name>[^']+)')? dimension must be integer >= 1",
        "A dimension of the {side} `{name}` is 0 or less than -1.",
        "Dimensions are 1 or more, or -1 for a size that varies.",
        "Poll failed for model directory 'net': model input 'x' dimension must be integer >= 1, or -1 to "
        "indicate a variable-size dimension for net",
        place="{side}.{name}.dims|{side}.{name}|{side}",
    ),
    rule(
        "config.reshape",
        r"model (?P<side>input|output)(?: '(?P<name>[^']+)')? (?P<why>has different (?:size|number of "
        r"variable-size dimensions) for dims and reshape|reshape dimensions must be integer|cannot have "
        r"empty reshape)",
        "`reshape` of the {side} `{name}` does not fit its `dims`: {why}.",
        "dims and reshape must hold the same number of elements, with -1 in both or in none.",
        "Poll failed for model directory 'net': model input 'x' has different size for dims and reshape "
        "for net",
        place="{side}.{name}.reshape|{side}.{name}|{side}",
    ),
    rule(
        "config.format",
        r"model (?P<side>input|output)(?: '(?P<name>[^']+)')?[^\n]{0,40}NHWC/NCHW require 3 dims",
        "`format` of a model input is FORMAT_NHWC or FORMAT_NCHW, and its `dims` are not three numbers.",
        "Remove `format` (Triton does not need it), or give three dims without the batch dimension.",
        "Poll failed for model directory 'net': model input NHWC/NCHW require 3 dims for net",
        place="{side}.format|{side}",
    ),
    rule(
        "config.non-linear-format",
        r"Non-linear IO format (?P<why>[^\n]*)",
        "A non-linear input or output format is only for the TensorRT backend: {why}.",
        "Remove `is_non_linear_format_io`.",
        "Poll failed for model directory 'net': Non-linear IO format is only supported for the TensorRT "
        "backend",
        place="input",
    ),
    rule(
        "config.negative-batch",
        r"'max_batch_size' must be non-negative",
        "`max_batch_size` is less than 0.",
        "Write 0 (no batching by Triton) or the largest batch the model can take.",
        "Poll failed for model directory 'net': 'max_batch_size' must be non-negative value for net",
        place="max_batch_size",
    ),
    rule(
        "config.version-policy",
        r"must specify 'version policy'",
        "`version_policy` in config.pbtxt is empty.",
        "Write version_policy: {{ latest {{ num_versions: 1 }} }}, {{ all {{ }} }} or {{ specific {{ "
        "versions: [1] }} }}.",
        "Poll failed for model directory 'net': must specify 'version policy' for net",
        place="version_policy",
    ),
    rule(
        "config.gpu-without-gpu",
        r"instance group (?P<group>\S+) of model (?P<model>\S+) has kind KIND_GPU but no GPUs are "
        r"available",
        "The instance group of `{model}` asks for a GPU, and the server sees none.",
        "Write instance_group [ {{ kind: KIND_CPU }} ], or give the server a GPU (docker: --gpus=all).",
        "failed to load 'net' version 1: Invalid argument: instance group net_0 of model net has kind "
        "KIND_GPU but no GPUs are available",
        place="instance_group.0.kind|instance_group",
    ),
    rule(
        "config.gpu-id",
        r"instance group (?P<group>\S+) of model (?P<model>\S+) specifies invalid or unsupported gpu id "
        r"(?P<gpu>-?\d+)",
        "The instance group of `{model}` names GPU {gpu}, which the server does not see or which is too "
        "old for it.",
        "Correct `gpus:`: `nvidia-smi -L` lists the GPUs, from 0; in a container only those given by "
        "--gpus count.",
        "instance group net_0 of model net specifies invalid or unsupported gpu id 3. GPUs with at least "
        "the minimum required CUDA compute compatibility of 6.000000 are: 0",
        place="instance_group.0.gpus|instance_group",
    ),
    rule(
        "config.kind-and-gpus",
        r"instance group (?P<group>\S+) of model (?P<model>\S+) has (?:kind (?P<kind>KIND_\w+) but "
        r"specifies (?P<n>one or more|no) GPUs|unexpected kind (?P<kind2>KIND_\w+))",
        "The instance group of `{model}` has kind {kind} and a list `gpus` that does not go with it.",
        "`gpus: [0]` goes with KIND_GPU alone: remove it from a KIND_CPU or KIND_MODEL group.",
        "instance group net_0 of model net has kind KIND_CPU but specifies one or more GPUs",
        place="instance_group.0.gpus|instance_group.0.kind|instance_group",
    ),
    rule(
        "config.profile",
        r"instance group (?P<group>\S+) of model (?P<model>\S+)[^\n]*(?:specifies profile field|specifies "
        r"invalid profile)",
        "`profile` in the instance group of `{model}` is only for TensorRT models, and is a number from "
        "0 as text.",
        "Remove `profile`, or write the index of an optimization profile of the engine.",
        "instance group net_0 of model net and platform onnxruntime_onnx specifies profile field which "
        "is only supported for TensorRT models",
        place="instance_group.0.profile|instance_group",
    ),
    rule(
        "config.no-instances",
        r"must specify one or more 'instance group's|(?P<model>\S+) has no instance",
        "The model has no instance group.",
        "Write instance_group [ {{ kind: KIND_CPU count: 1 }} ], or leave `instance_group` out.",
        "Poll failed for model directory 'net': must specify one or more 'instance group's for net",
        place="instance_group",
    ),
    rule(
        "config.batch-input",
        r"' expects 1 source input, got|batch input data type must be|unknown batch (?:input|output) "
        r"kind|unknown (?:source input|target output) name",
        "`batch_input` or `batch_output` in config.pbtxt names a tensor, a kind or a type that does not fit.",
        "Its `source_input` must be an input of the model, its `target_name` a tensor of the model, its "
        "type TYPE_INT32 or TYPE_FP32.",
        "Poll failed for model directory 'net': batch input data type must be TYPE_INT32 for net",
        place="batch_input|batch_output",
    ),
    rule(
        "config.sizes",
        r"unable to parse '(?P<name>[^']*)'|failed to convert '?(?P<value>[^']*)'? to (?:boolean "
        r"value|integral number)",
        "A parameter of config.pbtxt has a value of the wrong form {name}{value}: a whole number, true "
        "or false is expected.",
        "Correct the `string_value` of that entry of `parameters`.",
        "Invalid argument: failed to convert 'many' to integral number",
        place="parameters",
    ),
    rule(
        "config.force-cpu-value",
        r"Incorrect value for (?P<name>[A-Z][A-Z_]+): (?P<value>[^\n\"]*)",
        "The parameter {name} has a value that the python backend does not take: {value}",
        'Write string_value: "yes" or "no".',
        "failed to load 'net' version 1: Unsupported: Incorrect value for FORCE_CPU_ONLY_INPUT_TENSORS: "
        "true'",
        place="parameters.{name}|parameters",
    ),
    rule(
        "config.shape-tensor",
        r"shape tensors are only supported for TensorRT platform",
        "`is_shape_tensor` marks a shape tensor, which only TensorRT models have.",
        "Remove `is_shape_tensor`.",
        "Poll failed for 'net': shape tensors are only supported for TensorRT platform for net",
        place="input.0.is_shape_tensor|output.0.is_shape_tensor|input",
    ),
    rule(
        "config.parameter",
        r"(?:has no parameter '(?P<name>[^']+)'|parameter '(?P<name2>[^']+)' (?:must "
        r"be|needs|belongs|cannot)|unknown parameter '(?P<name3>[^']+)' is provided)(?P<why>[^\n]{0,160})",
        "The entry `{name}` of `parameters` is not one that the backend takes with this value{why}.",
        "Correct its key or its `string_value`, or remove the entry.",
        "unable to load model 'net', the onnxruntime backend has no parameter 'intra_op'; did you mean "
        "'intra_op_thread_count'?",
        place="parameters.{name}|parameters",
    ),
    rule(
        "config.duplicate-tensor",
        r"(?:duplicate|more than one) (?P<side>input|output)s? (?:named|with name) '?(?P<name>[\w./:-]+)",
        "Two entries of config.pbtxt give the same {side} name, `{name}`.",
        "Give each tensor one entry.",
        "Invalid argument: duplicate input named 'x' for model 'net'",
        place="{side}.{name}|{side}",
    ),
    rule(
        "config.autofill-only-batch",
        r"(?:autofill failed for model '(?P<model>[^']+)': )?(?:model does not support batching while "
        r"non-zero max_batch_size is specified|configuration specified max-batch \d+ but "
        r"model[^\n]*(?:does not support batching|shape))",
        "`max_batch_size` is greater than 0, and the model file has no variable first dimension to batch "
        "over.",
        "Write max_batch_size: 0 and the full shapes in `dims`, or export the model with a dynamic first "
        "dimension.",
        "failed to load 'net' version 1: Internal: autofill failed for model 'net': model does not "
        "support batching while non-zero max_batch_size is specified",
        place="max_batch_size",
    ),
)
