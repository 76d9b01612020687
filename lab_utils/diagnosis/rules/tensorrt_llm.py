"""TensorRT-LLM and its tensorrtllm backend (only in the `-trtllm` container)."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "trtllm.engine-dir",
        r"(?:Error opening engine file: ?|config\.json[^\n]*(?:No such file|not found|does not "
        r"exist)|Error opening|gpt_model_path|engine_dir)(?:[^\n/]*(?P<path>/[\w./-]+))?[^\n]*(?:No such "
        r"file|not exist|not found|unexpected end of input|Error opening)|unexpected end of input; "
        r"expected '\[', '\{', or a literal|Error opening engine file:? (?P<path2>\S+)",
        "The folder of the TensorRT-LLM engine is not where the config says {path}: its config.json or "
        "engine file is missing or empty.",
        "Set gpt_model_path (engine_dir) in `parameters` to the folder that holds config.json and "
        "rank0.engine, as seen inside the container.",
        "unexpected error when creating modelInstanceState: [json.exception.parse_error.101] parse error "
        "at line 1, column 1: syntax error while parsing value - unexpected end of input; expected '[', "
        "'{', or a literal",
        place="parameters.gpt_model_path|parameters.engine_dir|parameters",
    ),
    rule(
        "trtllm.version",
        r"Failed to deserialize (?:cuda|CUDA) engine|d == a \+ length|Expected length != real "
        r"length|Tensor names? in engine are not the same|<= remaining_buffer_size|Input tensor "
        r"'(?P<tensor>[^']+)' not found; expected shape",
        "The engine was not built by the TensorRT-LLM (and TensorRT) of this container, or for another "
        "GPU: it does not fit the runtime {tensor}.",
        "Build the engine again in this very container, or serve it in the container whose version built "
        "it (the release notes pair YY.MM with a version).",
        "[TensorRT-LLM][ERROR] Assertion failed: Failed to deserialize cuda engine. "
        "(/app/tllmRuntime.cpp:72)",
    ),
    rule(
        "trtllm.request-length",
        r"(?:[Pp]rompt length|[Ii]nput (?:length|sequence)|[Ii]nput token)[^\n]*(?:exceeds?|greater "
        r"than|longer than|must be less than)[^\n]*",
        "The prompt, with the tokens asked for, is longer than the engine was built for.",
        "Shorten the prompt, ask for fewer tokens, or build the engine with a larger max_input_len and "
        "max_seq_len.",
        "Prompt length (2100) exceeds maximum input length (2048).",
    ),
    rule(
        "trtllm.beam-width",
        r"beam ?[Ww]idth[^\n]*(?:<=|differs|exceeds|greater)[^\n]*|[Bb]eam (?:width|search)[^\n]*not "
        r"supported",
        "The request's beam_width is not one that the engine was built for and the config allows.",
        "Send beam_width equal to (in newer releases: up to) max_beam_width, and give trtllm-build and "
        "`parameters` of config.pbtxt the same max_beam_width.",
        "[TensorRT-LLM][ERROR] Assertion failed: samplingConfig.beamWidth <= maxBeamWidth (/app/x.cpp:417)",
        place="parameters.max_beam_width|parameters",
    ),
    rule(
        "trtllm.engine-config",
        r"\[json\.exception\.(?P<kind>\w+)\.\d+\] (?P<what>[^\n\"]+)",
        "config.json of the engine, or a parameter, is not what this version of TensorRT-LLM expects: "
        "{what}. Engines and backend must be of one version.",
        "Build the engine with the TensorRT-LLM version of this container.",
        "unexpected error when creating modelInstanceState: [json.exception.out_of_range.403] key "
        "'tokens_per_block' not found",
    ),
    rule(
        "trtllm.world-size",
        r"mpiSize == tp ?\* ?pp|MPI size \((?P<have>\d+)\)[^\n]*|world[_ ]size[^\n]*(?:mismatch|not "
        r"equal|!=)|number of (?:nodes|gpus|GPUs)[^\n]*(?:tp|tensor)",
        "The server runs with another number of processes than the engine's tensor and pipeline "
        "parallelism wants {have}.",
        "Start it with launch_triton_server.py --world_size=N, with N = tp_size * pp_size of the engine.",
        "[TensorRT-LLM][ERROR] Assertion failed: mpiSize == tp * pp (/app/x.cpp:43)",
    ),
    rule(
        "trtllm.parameter",
        r"(?:[Pp]arameter '?(?P<name>\w+)'? (?:was not found|is not set|must be)|Cannot find parameter "
        r"with name: (?P<name2>\w+)|[Ii]nvalid "
        r"(?:gpt_model_type|batching_type|batch_scheduler_policy))[^\n]*",
        "A parameter of the model's config.pbtxt is missing or wrong: {name}.",
        "Fill in the `parameters` of tensorrt_llm's config.pbtxt; tools/fill_template.py lists them.",
        "Cannot find parameter with name: gpt_model_type",
        place="parameters.{name}|parameters",
    ),
    rule(
        "trtllm.tokenizer-class",
        r"Tokenizer class (?P<name>\w+) does not exist",
        "The installed transformers has no tokenizer class {name}: its code lies beside the model and is "
        "not trusted, or transformers is older than the model.",
        "Load it with trust_remote_code=True (in model.py of the pre- and postprocessing step), or "
        "install the transformers version that the model names.",
        "ValueError: Tokenizer class ChatXTokenizer does not exist or is not currently imported.",
        place="model.py",
    ),
    rule(
        "trtllm.tokenizer",
        r"(?:tokenizer_dir|[Tt]okenizer[^\n]*(?:not found|does not exist|cannot be loaded))",
        "The tokenizer of the pre- or postprocessing step cannot be loaded.",
        "Set tokenizer_dir in their `parameters` to a folder with the tokenizer's files, inside the "
        "container.",
        "ValueError: the tokenizer in /models/llm was not found",
        place="parameters.tokenizer_dir|parameters",
    ),
    rule(
        "trtllm.plugin",
        r"libnvinfer_plugin_tensorrt_llm|initTrtLlmPlugins|tensorrt_llm::plugins[^\n]*(?:rror|ail)",
        "A plugin of TensorRT-LLM could not start: engine and library are of two versions, or the GPU is "
        "not supported.",
        "Use the container whose TensorRT-LLM built the engine.",
        "[TensorRT-LLM][ERROR] cannot load libnvinfer_plugin_tensorrt_llm.so",
    ),
    rule(
        "trtllm.encoder",
        r"Encoder tokens are not given|encoder_input_features[^\n]*(?:missing|not given|required)",
        "The model has an encoder and a decoder (Whisper, T5, BART), and the request or the model folder "
        "gave nothing for the encoder.",
        "Name the encoder's engine in the parameter encoder_model_path, and send the encoder's input "
        "(`input_ids`, or `encoder_input_features` for speech) beside `decoder_input_ids`.",
        "[TensorRT-LLM][ERROR] Assertion failed: Encoder tokens are not given (/app/x.cpp:55)",
    ),
    rule(
        "trtllm.assertion",
        r"\[TensorRT-LLM\]\[ERROR\] Assertion failed: (?P<what>[^\n(\"]+)",
        "TensorRT-LLM stopped at a check of its own: {what}.",
        "Compare the engine's build settings (config.json) with the `parameters` of config.pbtxt and the "
        "request.",
        "[TensorRT-LLM][ERROR] Assertion failed: Invalid tensor name in InferenceRequest: max_tokens "
        "(/app/x.cpp:99)",
    ),
    rule(
        "trtllm.instance",
        r"unexpected error when creating modelInstanceState: (?P<what>[^\n\"]+)",
        "The TensorRT-LLM backend could not start the model: {what}",
        "Read the [TensorRT-LLM][ERROR] lines above; engine, container and `parameters` must belong "
        "together.",
        "Internal: unexpected error when creating modelInstanceState: maxBeamWidth is zero",
        symptom=True,
    ),
)
