"""TensorRT engines (only in the container with a GPU)."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "tensorrt.version",
        r"Version tag does not match(?:\.? Note: Current Version: (?P<have>\d+), Serialized Engine "
        r"Version: (?P<made>\d+))?|not compatible with this version of TensorRT(?:, expecting library "
        r"version (?P<have2>[\d.]+) got (?P<made2>[\d.]+))?|engine plan file is (?:not "
        r"compatible|generated) (?:on|with)[^\n]*(?:TensorRT)",
        "The engine was built with another version of TensorRT ({made}) than this server has ({have}); "
        "engines run only with the version that built them.",
        "Build the engine again with the TensorRT of this container (nvcr.io/nvidia/tensorrt of the same "
        "YY.MM).",
        "[E] 1: [stdArchiveReader.cpp::StdArchiveReader::40] Error Code 1: Serialization (Serialization "
        "assertion stdVersionRead == serializationVersion failed.Version tag does not match. Note: "
        "Current Version: 213, Serialized Engine Version: 205)",
    ),
    rule(
        "tensorrt.device",
        r"(?:engine plan file is generated on an incompatible device, expecting compute (?P<need>[\d.]+) "
        r"got compute (?P<have>[\d.]+)|[Tt]arget GPU SM (?P<need2>\d+) is not compatible|incompatible "
        r"device|device compute capability)[^\n]*",
        "The engine was built for another kind of GPU {have} {need}; engines belong to the GPU model "
        "they were built on.",
        "Build the engine on a GPU of the serving machine's kind.",
        "The engine plan file is generated on an incompatible device, expecting compute 7.5 got compute "
        "8.6, please rebuild.",
    ),
    rule(
        "tensorrt.magic",
        r"Magic tag does not match|magicTagRead == |Mismatch between allocated memory size and expected "
        r"size of serialized engine|Serialization Error in verifyHeader|header size mismatch",
        "model.plan is no engine of this TensorRT: another kind of file (ONNX, a safetensors), a damaged "
        "one, or an engine of a version with another file format.",
        "Build it with trtexec --onnx=model.onnx --saveEngine=model.plan in the container of the same "
        "release.",
        "coreReadArchive.cpp (31) - Serialization Error in verifyHeader: 0 (Magic tag does not match)",
    ),
    rule(
        "tensorrt.plugin",
        r"(?:getPluginCreator could not find plugin:?|Cannot deserialize plugin(?: since corresponding "
        r"IPluginCreator not found in Plugin Registry)?|Plugin not found)[^\n]*?(?P<plugin>\w+)?(?: "
        r"version:? ?\S+)?$|could not find plugin:? (?P<plugin2>\w+)",
        "The engine uses a plugin that is not loaded {plugin}.",
        "Load its library: LD_PRELOAD=libplugin.so tritonserver ..., or "
        "--backend-config=tensorrt,plugins=/path/libplugin.so.",
        "[E] 1: [pluginV2Runner.cpp::load::300] Error Code 1: Serialization (getPluginCreator could not "
        "find plugin: BatchedNMS_TRT version: 1)",
    ),
    rule(
        "tensorrt.max-batch",
        r"configuration specified max-batch (?P<want>\d+) but TensorRT engine only supports max-batch "
        r"=?\s*(?P<most>\d+)|unexpected configuration maximum batch size (?P<want2>\d+) for "
        r"'(?P<model>[^']+)'[^\n]*?model maximum is (?P<most2>\d+)",
        "max_batch_size is {want}, and the engine was built for batches of {most}.",
        "Build the engine with a dynamic batch dimension and a profile up to {want} (--minShapes "
        "--optShapes --maxShapes), or set max_batch_size to {most} (0 with full dims when the batch is "
        "fixed).",
        "Internal: autofill failed for model 'net': configuration specified max-batch 4 but TensorRT "
        "engine only supports max-batch 1",
        place="max_batch_size",
    ),
    rule(
        "tensorrt.dims",
        r"binding '(?P<tensor>[^']+)' shape expected by framework (?P<have>\[[^\]]*\]) doesn't match "
        r"model configuration shape (?P<want>\[[^\]]*\])",
        "`dims` of `{tensor}` are {want} in config.pbtxt, and the engine has {have}.",
        "Write the engine's shape, without the batch dimension when max_batch_size is greater than 0.",
        "Internal: unable to load model 'net', binding 'images' shape expected by framework "
        "[-1,3,640,640] doesn't match model configuration shape [3,320,320]",
        place="input.{tensor}.dims|output.{tensor}.dims",
    ),
    rule(
        "tensorrt.profile-range",
        r"(?P<what>trt failed to set binding dimension[^\n;]*|model expected the shape of "
        r"dimension[^\n;]*|request specifies invalid shape[^\n]*|can not maximize "
        r"dimension[^\n]*|Supplied binding dimension[^\n]*|Static dimension "
        r"mismatch[^\n]*|satisfyProfile[^\n]*)",
        "A shape is outside the optimization profile of the engine: {what}",
        "Send shapes inside the profile, or build the engine with a wider one (--minShapes, --maxShapes).",
        "request specifies invalid shape for input 'images' for net_0. Error details: model expected the "
        "shape of dimension 2 to be between 320 and 640 but received 1280",
    ),
    rule(
        "tensorrt.profile",
        r"(?:(?:no|invalid|unable to find) optimization profile|[Oo]ptimization profile[^\n]*(?:not|in "
        r"use|failed|invalid)|specified profile index|all profiles)[^\n]*",
        "The optimization profile that the config asks for is not in the engine, or is used twice.",
        "Correct `profile` in instance_group, or build the engine with as many profiles as instances need.",
        "unable to load model: no optimization profile 3 in the engine",
        place="instance_group.0.profile|instance_group",
    ),
    rule(
        "tensorrt.dtype",
        r"unexpected datatype (?P<have>\w+) for inference (?:input|output) '(?P<tensor>[^']+)', expecting "
        r"(?P<want>\w+)|data-?type[^\n]*(?:engine|TensorRT)[^\n]*",
        "The data type of `{tensor}` differs between config.pbtxt and the engine: {have} and {want}.",
        "Write the engine's type.",
        "Invalid argument: unexpected datatype TYPE_FP32 for inference input 'images', expecting "
        "TYPE_FP16 for net_0",
        place="input.{tensor}.data_type|output.{tensor}.data_type",
    ),
    rule(
        "tensorrt.tensor-name",
        r"(?:failed to get (?:input|output)[^\n]*|(?:input|output) '(?P<tensor>[^']+)' (?:is|was) not "
        r"found in the engine|no (?:input|output|binding) (?:named|with name) "
        r"'?(?P<tensor2>[\w./:-]+)|input name '(?P<tensor3>[^']+)' does not exist)",
        "The engine has no tensor of the name `{tensor}` that config.pbtxt gives.",
        "Look at the names with `polygraphy inspect model model.plan`, or leave inputs and outputs out "
        "and let Triton fill them in.",
        "Invalid argument: input 'pixels' was not found in the engine",
        place="input.{tensor}|output.{tensor}|input",
    ),
    rule(
        "tensorrt.instance-kind",
        r"(?:TensorRT|tensorrt)[^\n]*(?:only supports?|must be|requires)[^\n]*KIND_GPU|TensorRT backend "
        r"supports only GPU|instance kind for '(?P<model>[^']+)'[^\n]*KIND_GPU",
        "TensorRT runs on GPUs alone, and the instance group has another kind.",
        "Write instance_group [ {{ kind: KIND_GPU }} ].",
        "unable to load model 'net', TensorRT backend supports only GPU device: only supports KIND_GPU",
        place="instance_group.0.kind|instance_group",
    ),
    rule(
        "tensorrt.io-format",
        r"(?:vectorized dim|non-linear (?:tensor|IO format))[^\n]*?'(?P<tensor>[^']+)'",
        "The engine wants `{tensor}` in a vectorised or channels-last format, which Triton cannot feed "
        "as it is configured: the engine was built with --inputIOFormats or --outputIOFormats.",
        "Build the engine with linear formats (fp32:chw, fp16:chw: the default), or set "
        "is_non_linear_format_io where the release has it.",
        "Invalid argument: unexpected vectorized dim is -1 for non-linear tensor 'x' for net",
        place="input.{tensor}|output.{tensor}",
    ),
    rule(
        "tensorrt.enqueue",
        r"[Ff]ailed to enqueue|enqueueV[23]|executeV2|Error Code (?P<code>3|7|9|10): (?P<what>[^\n]*)",
        "TensorRT could not run the engine {what}: mostly a shape that the engine was not built for.",
        "Compare the request's shapes with the engine's profiles.",
        "Failed to enqueue inference to TensorRT",
    ),
    rule(
        "tensorrt.deserialize",
        r"(?:Engine deserialization failed|[Dd]eserialize the cuda engine failed|unable to (?:create "
        r"TensorRT engine|load plan file)|failed to (?:create CUDA engine|load plan)|Failed due to an old "
        r"deserialization call|unable to load plan)[^\n]*",
        "TensorRT cannot read model.plan: it was built with another version or for another GPU, or it is "
        "damaged. The lines of TensorRT above say which.",
        "Build the engine again in the container of the same release, on the same kind of GPU.",
        "Internal: unable to load plan file to auto complete config: /models/net/1/model.plan",
        symptom=True,
    ),
    rule(
        "tensorrt.execution-context",
        r"(?:unable to create|failed to create) (?:TensorRT )?(?:execution )?context",
        "TensorRT could not make an execution context: mostly too little GPU memory for its working space.",
        "Free GPU memory, use fewer instances, or build the engine with a smaller workspace.",
        "Internal: unable to create TensorRT context: Cuda Runtime (an error)",
        symptom=True,
    ),
)
