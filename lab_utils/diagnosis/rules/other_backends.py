"""Backends that only some containers have: TensorFlow, OpenVINO, DALI, FIL; and libraries of custom ones."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "backend.api-version",
        r"TRITONBACKEND (?P<have>API version: [\d.]+) does not support '(?P<backend>[^']+)' TRITONBACKEND "
        r"(?P<need>API version:? ?[\d.]+)|Triton backend API version does not support this backend",
        "The backend's library {backend} ({need}) was built against another release of Triton than this "
        "server ({have}).",
        "Build the backend with the tags of this release (TRITON_CORE_REPO_TAG, "
        "TRITON_BACKEND_REPO_TAG), or use the backend of the same container.",
        "Unsupported: Triton TRITONBACKEND API version: 1.16 does not support 'onnxruntime' "
        "TRITONBACKEND API version 1.19",
    ),
    rule(
        "backend.undefined-symbol",
        r"unable to load (?:shared|backend) library: (?P<library>[^\s:]+): undefined symbol: "
        r"(?P<symbol>[^\s;\"]+)",
        "The backend's library {library} does not fit the server or another library in the process: the "
        "symbol {symbol} is not there.",
        "Use a backend of the same release; see that LD_LIBRARY_PATH and LD_PRELOAD hold no second "
        "version of torch, TensorRT or the server.",
        "Not found: unable to load shared library: "
        "/opt/tritonserver/backends/pytorch/libtriton_pytorch.so: undefined symbol: "
        "_ZTVN5torch3jit6MethodE",
    ),
    rule(
        "backend.static-tls",
        r"(?P<library>[^\s:]+): cannot allocate memory in static TLS block",
        "{library} was loaded too late: its thread-local memory no longer fits into the process (common "
        "on ARM and Jetson, and inside other programs). It is not about RAM.",
        "Load it first: LD_PRELOAD={library} tritonserver ..., or import that module before all others.",
        "Not found: unable to load backend library: /usr/lib/libgomp.so.1: cannot allocate memory in "
        "static TLS block",
    ),
    rule(
        "backend.library-missing",
        r"unable to load (?:shared|backend) library: (?P<library>[^\s:]+): cannot open shared object file",
        "A backend needs the shared library {library}, and it is not in this image or not in "
        "LD_LIBRARY_PATH.",
        "Install what holds it, or use the full image (not -min); CPU-only images have no CUDA libraries.",
        "Not found: unable to load shared library: libcudart.so.12: cannot open shared object file: No "
        "such file or directory",
    ),
    rule(
        "backend.entrypoint",
        r"unable to find required entrypoint '(?P<name>[^']+)' in shared library|unable to load shared "
        r"library: (?P<why>[^\n\"]+)",
        "The library of a backend cannot be used {name}{why}: it is no Triton backend, damaged, or for "
        "another system.",
        "Take the backend's folder from the container of the same release.",
        "Not found: unable to load shared library: /x/libtriton_mine.so: invalid ELF header",
    ),
    rule(
        "backend.tensorflow1",
        r"Triton no longer supports Tensorflow 1|unexpected TensorFlow library version",
        "TensorFlow 1 is no longer served (since 23.04).",
        "Serve it with TensorFlow 2, or export the model to ONNX.",
        "starting from 23.04, Triton no longer supports Tensorflow 1. Please switch to Tensorflow 2.",
    ),
    rule(
        "backend.savedmodel",
        r"(?:Could not find SavedModel \.pb|unable to load (?:SavedModel|graphdef)|[Nn]o "
        r"(?:saved_model|variables)|[Cc]ould not find meta graph def|SavedModel load for "
        r"tags[^\n]*(?:fail|not)|TensorFlow[^\n]*unable to (?:load|create session))[^\n]*",
        "TensorFlow cannot read the model: the folder must be 1/model.savedmodel with saved_model.pb and "
        "variables/ in it.",
        "Copy the whole SavedModel folder, under the name model.savedmodel; name other tags in the "
        "parameters.",
        "Internal: unable to load SavedModel: Could not find SavedModel .pb or .pbtxt at supplied export "
        "directory path: /models/net/1/model.savedmodel",
    ),
    rule(
        "backend.graphdef",
        r"Can't parse (?P<path>\S+\.(?:graphdef|pb)) as binary proto",
        "TensorFlow cannot read {path}: it is no frozen graph, damaged, or larger than protobuf of this "
        "release reads (1 or 2 GB).",
        "Freeze and export the graph again, or save a SavedModel (platform: tensorflow_savedmodel); for "
        "a large file use a newer release.",
        "Internal: Can't parse /models/net/1/model.graphdef as binary proto",
    ),
    rule(
        "backend.tf-version",
        r"NodeDef mentions attr '(?P<attr>[^']+)'",
        "The model was saved by a newer TensorFlow than the server's: an operation has the attribute "
        "{attr}, which this one does not know.",
        "Use a newer container (or --backend-config=tensorflow,version=2 where both exist), or save the "
        "model with the container's TensorFlow version.",
        "Internal: NodeDef mentions attr 'allowed_devices' not in Op<name=VarHandleOp>",
    ),
    rule(
        "backend.tf-op",
        r"Op type not registered '(?P<op>[^']+)'",
        "The TensorFlow model uses an operation that this TensorFlow does not have: {op}.",
        "Load its library with LD_PRELOAD, or save the model with the TensorFlow version of the container.",
        "Internal: Op type not registered 'SentencepieceOp' in binary running on host",
    ),
    rule(
        "backend.tf-names",
        r"(?:tensor '(?P<tensor>[^']+)'|signature)[^\n]*not found in (?:the )?(?:graph|SavedModel)[^\n]*",
        "config.pbtxt gives a name that the saved model's signature does not have {tensor}.",
        "Look at the names with `saved_model_cli show --all --dir model.savedmodel`.",
        "tensor 'scores:0' not found in the graph",
        place="input.{tensor}|output.{tensor}|input",
    ),
    rule(
        "backend.openvino-operator",
        r"[Uu]nsupported primitive of type: (?P<op>\w+)|[Uu]nsupported operation of type: (?P<op2>\w+)|"
        r"OpenVINO does not support the following ONNX operations: (?P<op3>[\w.]+)",
        "The network uses the operator {op}, which this OpenVINO does not have: it is a custom one or too "
        "new.",
        "Export the network without it or use a newer container; for an operator of your own give its "
        "library in the parameter CPU_EXTENSION_PATH.",
        "Internal: openvino error in loading network : Unsupported primitive of type: GridPool name: 7",
    ),
    rule(
        "backend.openvino",
        r"openvino error in (?P<where>[\w ]+): ?(?P<what>[^\n\"]+)|OpenVINO[^\n]*(?:error|failed)[^\n]*",
        "OpenVINO failed while {where}: {what}",
        "Check that model.xml and model.bin lie together in the version folder, made by an OpenVINO that "
        "is not newer than the container's.",
        "Internal: openvino error in reading network : Model file /models/net/1/model.xml cannot be opened!",
    ),
    rule(
        "backend.dali-pipeline",
        r"(?:Critical error when building pipeline|Error when (?:constructing|executing) (?:operator|\w+ "
        r"operator):? ?(?P<op>\w+)?)(?:\s+Error when constructing operator: (?P<op2>\w+))?",
        "The DALI pipeline was found, and an operator of it cannot be made or run here {op}: a GPU "
        "decoder without the hardware or driver for it, or wrong arguments.",
        'Read the last line of DALI\'s message; decoders with device="mixed" need a GPU with NVML: use '
        'device="cpu" or hw_decoder_load=0 to test.',
        "DALI Backend error: Critical error when building pipeline:\nError when constructing operator: "
        "decoders__Image encountered:",
    ),
    rule(
        "backend.dali",
        r"DALI Backend error: (?P<what>[^\n\"]+)|Failed to (?:open|load) (?:serialized )?model "
        r"file|autoserialize",
        "The DALI pipeline could not be loaded: {what}",
        "Put the serialised pipeline at 1/model.dali, or a dali.py with @autoserialize beside it; DALI "
        "needs a GPU driver.",
        "Unknown: DALI Backend error: Failed to load model file. The program looked in the following "
        "locations: /models/net/1/model.dali",
    ),
    rule(
        "backend.fil",
        r"\b(?:rapids|treelite|FIL)\b[^\n]{0,60}(?:[Ee]rror|failed|could not|unknown)[^\n]*|Treelite "
        r"(?:checkpoint|version)[^\n]*",
        "The tree model could not be read by the FIL backend: its format or the version of Treelite does "
        "not fit.",
        "Set model_type in `parameters` (xgboost_json, lightgbm, treelite_checkpoint), and save with a "
        "version the container reads.",
        "Internal: FIL: failed to import model: Treelite checkpoint of version 4.1 cannot be read",
        place="parameters",
    ),
    rule(
        "backend.repo-agent",
        r"(?:unable to find '(?P<lib>[^']+)' for repo agent|TRITONREPOAGENT|Mismatched MD5 hash for file "
        r"(?P<file>\S+)|Agent model returns error)[^\n]*",
        "A repository agent named in the config refused the model {lib}{file}: the agent is not "
        "installed, or a check sum differs.",
        "Correct `model_repository_agents`, or the file whose sum it checks.",
        "Mismatched MD5 hash for file 1/model.onnx, expect: 28f2, got: 0a1b",
        place="model_repository_agents",
    ),
)
