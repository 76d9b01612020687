"""vLLM and its backend (only in the `-vllm` container)."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "vllm.arguments",
        r"(?:AsyncEngineArgs|EngineArgs)\.__init__\(\) got an unexpected keyword argument "
        r"'(?P<name>[^']+)'|build_async_engine_client_from_engine_args\(\) got an unexpected keyword "
        r"argument '(?P<name2>[^']+)'",
        "model.json, or the backend itself, hands vLLM a setting that the installed vLLM does not have: "
        "{name}.",
        "Remove or rename it in 1/model.json; when the backend itself hands it over, use the vLLM "
        "version of this container.",
        "TypeError: AsyncEngineArgs.__init__() got an unexpected keyword argument 'disable_log_requestz'",
    ),
    rule(
        "vllm.model-json",
        r"(?:model\.json|vllm_engine_config|engine args file)[^\n]*(?:not "
        r"found|missing|Expecting|must)|No such file[^\n]*/\d+/model\.json|'?vllm_engine_config\.json'? "
        r"must be provided",
        "The settings of the vLLM model, 1/model.json, are not there or no JSON.",
        'Put model.json with at least {{"model": ...}} into the version folder.',
        "FileNotFoundError: [Errno 2] No such file or directory: '/models/llm/1/model.json'",
    ),
    rule(
        "vllm.dtype",
        r"Bfloat16 is only supported on GPUs with compute capability of at least (?P<need>[\d.]+)",
        "The GPU is too old for bfloat16: it needs compute capability {need}.",
        'Set "dtype": "half" in model.json.',
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your "
        "Tesla T4 GPU has compute capability 7.5.",
    ),
    rule(
        "vllm.tensor-parallel",
        r"(?:tensor[_ ]parallel[_ ]size|number of attention heads|Total number of (?:attention "
        r")?heads)[^\n]*(?:must be divisible|greater than|larger than|exceeds|not "
        r"divisible)[^\n]*|placement group[^\n]*(?:GPU|gpu)[^\n]*",
        "tensor_parallel_size does not fit: more than the GPUs that the process sees, or no divisor of "
        "the number of heads.",
        "Set it to a number of GPUs that divides the model's attention heads; use KIND_MODEL so that all "
        "GPUs are visible.",
        "ValueError: Total number of attention heads (40) must be divisible by tensor parallel size (3).",
    ),
    rule(
        "vllm.max-len",
        r"(?:max_model_len|max seq len|model's max (?:seq|context) "
        r"len)[^\n]*(?:greater|larger|exceed)[^\n]*",
        "max_model_len is more than the model or the memory allows.",
        "Lower max_model_len in model.json.",
        "ValueError: User-specified max_model_len (65536) is greater than the derived max_model_len (4096).",
    ),
    rule(
        "vllm.architecture",
        r"Model architectures \[(?P<name>[^\]]*)\] (?:are not supported|failed to be inspected)|does not "
        r"recognize this architecture|model type `?(?P<name2>\w+)`? but Transformers does not recognize",
        "The installed vLLM or Transformers does not know this kind of model: {name}.",
        "Use a newer container, or a model of a supported architecture.",
        "ValueError: Model architectures ['QwenNewForCausalLM'] are not supported for now.",
    ),
    rule(
        "vllm.quantization",
        r"(?:[Uu]nknown quantization method|[Qq]uantization (?:method)?[^\n]*(?:not supported|does not "
        r"match|not (?:fully )?supported))[^\n]*",
        "The quantisation of the model is not supported here: by this GPU, this vLLM, or against the "
        "setting in model.json.",
        "Remove `quantization` from model.json, or use a method that the GPU supports.",
        "ValueError: Unknown quantization method: q4_k.",
    ),
    rule(
        "vllm.engine-dead",
        r"Failed to start engine: (?P<why>[^\n\"]+)|AsyncEngineDeadError|EngineDeadError|Background loop "
        r"has errored|Engine core initialization failed",
        "The vLLM engine ended while it started or ran {why}. The first traceback in the log is the reason.",
        "Look for the first error above; most often it is GPU memory or the model's files.",
        "vllm.engine.async_llm_engine.AsyncEngineDeadError: Background loop has errored already.",
        symptom=True,
    ),
)
