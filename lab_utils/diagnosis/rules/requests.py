"""What Triton answers to a request that it cannot take, or to a model that cannot answer now."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "request.shape",
        r"unexpected shape for input '(?P<input>[^']+)' for model '(?P<model>[^']+)'\. Expected "
        r"(?P<want>\[[^\]]*\]), got (?P<got>\[[^\]]*\])",
        "The request sends `{input}` with shape {got}, and `{model}` takes {want} (-1 is any size; with "
        "max_batch_size > 0 the first one is the batch).",
        "Send that shape: `array[np.newaxis]` adds a batch dimension of 1. When the config is wrong "
        "instead, correct `dims`.",
        "[request id: <id_unknown>] unexpected shape for input 'x' for model 'net'. Expected [-1,4], got "
        "[4]. NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to "
        "be prepended to each input shape.",
        place="input.{input}.dims|input.{input}",
    ),
    rule(
        "request.batch-size",
        r"inference request batch-size must be <= (?P<most>\d+) for '(?P<model>[^']+)'",
        "The request holds more rows than max_batch_size {most} of `{model}`.",
        "Split the request, or raise max_batch_size. 0 there means that Triton does not batch at all.",
        "[request id: <id_unknown>] inference request batch-size must be <= 8 for 'net'",
        place="max_batch_size",
    ),
    rule(
        "request.batch-mismatch",
        r"input '(?P<input>[^']+)' batch size does not match other inputs for '(?P<model>[^']+)'",
        "`{input}` has another number of rows than the other inputs of the request.",
        "Give all inputs the same first dimension.",
        "input 'mask' batch size does not match other inputs for 'net'",
    ),
    rule(
        "request.no-batch-dimension",
        r"input '(?P<input>[^']+)' has no shape but model requires batch dimension|All input dimensions "
        r"should be specified for input '(?P<input2>[^']+)'",
        "The shape of `{input}` is empty or has a -1 in a request.",
        "Send the real sizes, the batch first.",
        "input 'x' has no shape but model requires batch dimension for 'net'",
    ),
    rule(
        "request.dtype",
        r"inference input '(?P<input>[^']+)' data-type is '(?P<got>\w+)', but model '(?P<model>[^']+)' "
        r"expects '(?P<want>\w+)'",
        "The request sends `{input}` as {got}, and `{model}` takes {want}.",
        "Convert the array (`.astype`) and give InferInput the type {want}: NumPy's default for numbers "
        "with a point is FP64.",
        "inference input 'x' data-type is 'FP64', but model 'net' expects 'FP32'",
        place="input.{input}.data_type|input.{input}",
    ),
    rule(
        "request.numpy-dtype",
        r"got unexpected datatype (?P<got>\w+) from numpy array, expected (?P<want>\w+)",
        "The array given to set_data_from_numpy is {got}, and its InferInput was declared {want}.",
        "Convert the array (`.astype`), or declare the InferInput with the array's type; text is BYTES "
        "and an array of dtype object.",
        "got unexpected datatype FP64 from numpy array, expected FP32",
    ),
    rule(
        "request.input-name",
        r"unexpected inference input '(?P<input>[^']+)' for model '(?P<model>[^']+)'|input "
        r"'(?P<input2>[^']+)' does not exist in request|unexpected input '(?P<input3>[^']+)'",
        "The model `{model}` has no input named `{input}`.",
        "Use the names of GET /v2/models/{model}.",
        "[request id: <id_unknown>] unexpected inference input 'pixels' for model 'net'",
    ),
    rule(
        "request.output-name",
        r"unexpected inference output '(?P<output>[^']+)' for model '(?P<model>[^']+)'",
        "`{model}` has no output named `{output}`.",
        "Use the names of GET /v2/models/{model}.",
        "unexpected inference output 'scores' for model 'net'",
    ),
    rule(
        "request.input-count",
        r"expected (?:(?P<want>\d+)|number of inputs between (?P<want2>\d+ and \d+)) (?:inputs )?but got "
        r"(?P<got>\d+) inputs for model '(?P<model>[^']+)'(?:[^\n]*missing required input\(?s\)? "
        r"(?P<missing>\[[^\]]*\]))?",
        "The request brings {got} inputs, and `{model}` takes {want}; missing: {missing}.",
        "Send every input that the model's metadata lists and that is not optional.",
        "expected 2 inputs but got 1 inputs for model 'net'. Got input(s) ['x'], but missing required "
        "input(s) ['mask']. Please provide all required input(s).",
    ),
    rule(
        "request.byte-size",
        r"(?:input byte size mismatch for input '(?P<input>[^']+)' for model '(?P<model>[^']+)'\. "
        r"Expected (?P<want>\d+), got (?P<got>\d+)|unexpected total byte size (?P<got2>\d+) for input "
        r"'(?P<input2>[^']+)', expecting (?P<want2>\d+)|got unexpected byte size (?P<got3>\d+), expected "
        r"(?P<want3>\d+)|invalid size (?P<got4>\d+) bytes for input '(?P<input3>[^']+)', expects "
        r"(?P<want4>\d+))",
        "The data of `{input}` has {got} bytes; its shape and type make {want}.",
        "Shape, type and data must belong together: use set_data_from_numpy, which checks it; an empty "
        "tensor in a Python model often means NumPy 2.",
        "input byte size mismatch for input 'x' for model 'net'. Expected 9043968, got 0",
    ),
    rule(
        "request.elements",
        r"got unexpected number of elements|got unexpected (?:elements count|numpy array shape) "
        r"(?P<got>[^\n,]*),? ?expected (?P<want>[^\n]*)|Shape does not match true shape of 'data' "
        r"field|unexpected number of string elements|incomplete string length indicator",
        "The number of values does not belong to the shape given {got} {want}.",
        "Give InferInput the array's own shape: InferInput(name, array.shape, dtype).",
        "got unexpected numpy array shape [4], expected [1, 4]",
    ),
    rule(
        "request.no-data",
        r"unable to find data for input tensor '(?P<input>[^']+)'|input tensor '(?P<input2>[^']+)' must "
        r"provide data|unexpected additional input data for model|must specify valid "
        r"'Infer-Header-Content-Length'",
        "The request declares an input without its data, or brings data for none {input}.",
        "Call set_data_from_numpy on every InferInput; a binary HTTP body needs the header "
        "Inference-Header-Content-Length.",
        "unable to find data for input tensor 'x' for model 'net' in request.",
    ),
    rule(
        "request.explicit-and-raw",
        r"contents field must not be specified when using raw_input_contents for "
        r"'(?P<input>[^']+)'|unexpected explicit tensor data for input tensor '(?P<input2>[^']+)'",
        "The gRPC request gives the data of `{input}` twice: in `contents` and in raw_input_contents.",
        "Use one of them.",
        "contents field must not be specified when using raw_input_contents for 'x' for model 'net'",
    ),
    rule(
        "request.answer-not-json",
        r"failed to (?:get|parse) (?:model |server )?(?:metadata|config|statistics)[^\n]*JSON",
        "What came back from that address is not JSON: something else than Triton's HTTP endpoint "
        "answers there (the gRPC or metrics port, a proxy, another program).",
        "Point the client at Triton's HTTP port (8000 by default, see the server's log), or use -i grpc "
        "with the gRPC port; leave proxies out (NO_PROXY).",
        "error: failed to get model metadata: failed to parse the request JSON buffer: Invalid value. at 1",
    ),
    rule(
        "request.json",
        r"failed to parse the request JSON buffer: ?(?P<why>[^\n\"]*)|Unable to parse "
        r"'(?P<field>\w+)'|attempt to access JSON non-|unexpected size for request JSON|The document is "
        r"empty|Unable to parse request",
        "The body of the HTTP request is not the JSON that the protocol asks for: {why}{field}.",
        'Send {{"inputs": [{{"name", "shape", "datatype", "data"}}]}} with the header Content-Type: '
        "application/json, or use tritonclient.",
        "failed to parse the request JSON buffer: Invalid value. at 0",
    ),
    rule(
        "request.fp16-json",
        r"(?:receiving|sending) (?P<type>FP16|BF16) data via JSON is not supported",
        "{type} cannot be sent as JSON numbers.",
        "Send binary data: tritonclient does so by default (binary_data=True).",
        "receiving FP16 data via JSON is not supported. Please use the binary data format for input x",
    ),
    rule(
        "request.datatype-name",
        r"invalid datatype for input (?P<input>[^\n\"]*)|invalid datatype '(?P<type>[^']*)'",
        "The request names a data type that the protocol does not have {input}{type}.",
        "Use FP32, FP16, INT64, UINT8, BOOL, BYTES ... (without TYPE_).",
        "invalid datatype for input x",
    ),
    rule(
        "request.unknown-model",
        r"Request for unknown model ?: '?(?P<model>[^'\s\"]+)'?(?: is not found| has no available "
        r"versions|$)",
        "The server knows no ready model of the name `{model}`.",
        "Look at POST /v2/repository/index: is the name right, is it loaded, did its load fail?",
        "Request for unknown model: 'mlp' is not found",
    ),
    rule(
        "request.not-ready",
        r"(?:Request for unknown model: )?'(?P<model>[^']+)' version (?P<version>-?\d+) is not (?:at "
        r"ready state|found)|requested model '(?P<model2>[^']+)' is not available|[Mm]odel version not "
        r"ready|Server not ready|model '(?P<model3>[^']+)'[^\n]{0,20} is not ready|requested model "
        r"version is not available for model '(?P<model4>[^']+)'",
        "The model `{model}` {version} is not ready: not loaded, still loading, unloaded, or its load "
        "failed.",
        "Load it, wait for GET /v2/models/{model}/ready, and ask for a version that its version policy "
        "serves.",
        "Request for unknown model: 'net' version 3 is not at ready state",
    ),
    rule(
        "request.version-number",
        r"failed to get model version from specified version string '(?P<version>[^']*)'|invalid model "
        r"version specified '(?P<version2>[^']*)'",
        "`{version}` is no version: it is a whole number above 0.",
        'Give the version as text of a number, or "" for the latest.',
        "failed to get model version from specified version string 'v1' (details: stoi, version should "
        "be an integral value > 0)",
    ),
    rule(
        "request.sequence-start",
        r"inference request for sequence (?P<id>\S+) to model '(?P<model>[^']+)' must specify the START "
        r"flag on the first request",
        "The first request of sequence {id} has no START flag, or the sequence ended meanwhile (it idled "
        "too long).",
        "Send sequence_start=True with the first request, and raise max_sequence_idle_microseconds if "
        "there are pauses.",
        "inference request for sequence 42 to model 'net' must specify the START flag on the first "
        "request of the sequence",
        place="sequence_batching.max_sequence_idle_microseconds|sequence_batching",
    ),
    rule(
        "request.correlation-id",
        r"inference request to model '(?P<model>[^']+)' must specify a non-zero or non-empty correlation "
        r"ID|correlation ID in request is not|expected parameter 'sequence_id'",
        "`{model}` keeps sequences, and the request has no usable sequence_id.",
        "Give every request of a sequence the same sequence_id, not 0.",
        "inference request to model 'net' must specify a non-zero or non-empty correlation ID",
    ),
    rule(
        "request.sequence-batch",
        r"must specify batch-size 1 due to requirements of sequence batcher",
        "A request to a sequence model may hold one row only.",
        "Send one row per request; the batcher joins different sequences.",
        "inference request to model 'net' must specify batch-size 1 due to requirements of sequence batcher",
    ),
    rule(
        "request.queue-full",
        r"Exceeds maximum queue size",
        "The queue of the model is full (max_queue_size): more requests arrive than it can answer.",
        "Send less, try again later, raise max_queue_size, or add instances.",
        "[request id: <id_unknown>] Exceeds maximum queue size",
        place="dynamic_batching.default_queue_policy.max_queue_size|dynamic_batching.default_queue_policy|dynam"
        "ic_batching",
    ),
    rule(
        "request.queue-timeout",
        r"Request timeout expired|[Rr]equest (?:was )?timed? ?out in (?:the )?queue",
        "The request waited in the queue for longer than its time-out allows and was given up.",
        "Raise the time-out (default_timeout_microseconds or the request's own `timeout`), or add instances.",
        "[request id: <id_unknown>] Request timeout expired",
        place="dynamic_batching.default_queue_policy.default_timeout_microseconds|dynamic_batching.default_queu"
        "e_policy|dynamic_batching",
    ),
    rule(
        "request.deadline",
        r"Deadline Exceeded|DEADLINE_EXCEEDED|[Rr]ead timed out|ReadTimeout|timed out(?! while)",
        "The client gave up waiting: its own time-out is shorter than the answer takes.",
        "Raise client_timeout (gRPC) or network_timeout (HTTP), and see in the statistics where the time "
        "goes: queue or compute.",
        "[StatusCode.DEADLINE_EXCEEDED] Deadline Exceeded",
    ),
    rule(
        "request.cancelled",
        r"StatusCode\.CANCELLED|[Rr]equest (?:was |has been )?cancelled|Locally cancelled",
        "The request was cancelled, by the client or because its connection ended.",
        "Look whether the client closed its stream or ended early.",
        "[StatusCode.CANCELLED] CANCELLED",
    ),
    rule(
        "request.decoupled",
        r"(?:ModelInfer RPC|HTTP end ?point) doesn't support models with decoupled transaction "
        r"policy|doesn't support models using the decoupled|is using the decoupled",
        "The model is decoupled (it may send any number of answers), and this way of asking expects "
        "exactly one.",
        "Ask it over a gRPC stream (start_stream, async_stream_infer) or /generate_stream; in BLS use "
        "exec(decoupled=True).",
        "ModelInfer RPC doesn't support models with decoupled transaction policy",
        place="model_transaction_policy.decoupled|model_transaction_policy",
    ),
    rule(
        "request.generate",
        r"generate expects model to produce exactly 1 response|The schema can not convert input "
        r"'(?P<input>[^']+)'|unexpected key not found in generate request, expecting key "
        r"'(?P<key>[^']+)'|Unexpected 'shape' not found in model metadata",
        "The /generate request does not fit the model {input}{key}: it needs every input as a JSON key, "
        "and exactly one answer.",
        "Use /generate_stream for several answers; name the model's inputs as keys.",
        "generate expects model to produce exactly 1 response, use generate stream",
    ),
    rule(
        "request.parameter",
        r"invalid value (?:type )?for '(?P<name>\w+)'(?: parameter)?,? expect|parameter keys starting "
        r"with 'triton_' are reserved|'(?P<name2>\w+)' has invalid type\. It should be either",
        "A parameter of the request has a type or value that it cannot have {name}.",
        "Priority and timeout are whole numbers; keys that begin with triton_ are Triton's own.",
        "invalid value type for 'priority' parameter, expected int64_param or uint64_param.",
    ),
    rule(
        "request.load-conflict",
        r"Load/Unload conflict '(?P<model>[^']+)'|a related model '(?P<model2>[^']+)' to a load/unload "
        r"request is currently loading or unloading",
        "`{model}` or a model that belongs to it is being loaded or unloaded right now.",
        "Wait until that is done, then ask again.",
        "Load/Unload conflict 'pipe', a related model 'net' to a load/unload request is currently "
        "loading or unloading",
    ),
    rule(
        "request.stopping",
        r"Server is stopping, scheduler for model has stopped accepting new inference requests|New model "
        r"requests can not be made to a model that is being removed",
        "The server or the model is on its way down and takes no new requests.",
        "Send the request to another server, or wait for the load.",
        "Server is stopping, scheduler for model has stopped accepting new inference requests",
    ),
    rule(
        "request.compression",
        r"Unsupported content-encoding|Unsupported compression type|initialize state for data "
        r"decompression",
        "The body of the request is packed in a way that the server does not know, or is damaged.",
        "Use gzip or deflate, or none.",
        "Unsupported content-encoding, only 'identity' is supported.",
    ),
)
