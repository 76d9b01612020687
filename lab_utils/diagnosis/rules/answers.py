"""What a model does wrongly with a request: its `execute`, its outputs, the models that it asks."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "answer.bls",
        r"Failed for execute the inference request\. Model '(?P<model>[^']+)' is not ready|Model "
        r"(?P<model2>\S+) - Error when running inference: (?P<why>[^\n\"]+)",
        "A Python model called `{model}` (BLS), and that failed: {why}.",
        "Load `{model}` first, and send it what its metadata asks for.",
        "Failed for execute the inference request. Model 'net' is not ready.",
    ),
    rule(
        "answer.responses",
        r"Number of InferenceResponse objects do not match the number of InferenceRequest "
        r"objects|Expected a(?:n| None)? ?(?:'InferenceResponse')? ?(?:list|object) in the execute "
        r"function return|Expected a list in the execute return, found type '(?P<type>[^']+)'|must return "
        r"None",
        "`execute` of the Python model returned something else than one response per request, in order "
        "{type}.",
        "Return a list with exactly one pb_utils.InferenceResponse per request; None only when decoupled.",
        "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
        "InferenceRequest(s) size is:4, and InferenceResponse(s) size is:1",
        place="model.py",
    ),
    rule(
        "answer.gpu-tensor",
        r"[Tt]ensor is stored in GPU and cannot be converted to NumPy",
        "The Python model calls as_numpy() on a tensor that lies on the GPU.",
        "Use torch.from_dlpack(tensor.to_dlpack()), or ask for CPU memory: the parameter "
        "FORCE_CPU_ONLY_INPUT_TENSORS for inputs, preferred_memory in InferenceRequest for BLS answers.",
        "Failed to process the request(s) for model instance 'net_0', message: TritonModelException: Tensor "
        "is stored in GPU and cannot be converted to NumPy.",
        place="model.py",
    ),
    rule(
        "answer.no-tensor",
        r"'NoneType' object has no attribute '(?P<name>as_numpy|to_dlpack|is_cpu|shape|triton_dtype)'",
        "get_input_tensor_by_name or get_output_tensor_by_name found no tensor of that name and gave None: "
        "the name is misspelt, an optional input was not sent, or the BLS answer is an error.",
        "Compare the name with config.pbtxt, test for None, and look at response.has_error() first.",
        "Failed to process the request(s) for model instance 'net_0', message: AttributeError: 'NoneType' "
        "object has no attribute 'as_numpy'",
        place="model.py",
    ),
    rule(
        "answer.pb-utils",
        r"c_python_backend_utils\.\w+'? object has no attribute '(?P<name>\w+)|module "
        r"'?triton_python_backend_utils'? has no attribute '(?P<name2>\w+)|(?P<name3>\w+)\(\): incompatible "
        r"(?:function|constructor) arguments",
        "model.py uses `{name}` of pb_utils in a way that this release of the python backend does not have: "
        "it was written for another release, the arguments are wrong, or a copy of "
        "triton_python_backend_utils.py lies in the way.",
        "Compare the call with the python_backend guide of the server's release, or use a newer container; "
        "remove copies of triton_python_backend_utils from the model and the environment. "
        "InferenceResponse wants output_tensors=[] beside error=.",
        "AttributeError: module 'triton_python_backend_utils' has no attribute 'InferenceRequest'",
        place="model.py",
    ),
    rule(
        "answer.execute",
        r"Failed to process the request\(s\) for model(?: instance)? '(?P<model>[^']+)', message: "
        r"(?P<why>[^\n\"]+)",
        "`execute` of the Python model `{model}` raised an error: {why}",
        "Correct the code at the line named.",
        "Failed to process the request(s) for model 'net_0_0', message: ZeroDivisionError: division by zero",
        place="model.py",
    ),
    rule(
        "answer.output",
        r"(?:GPU buffers size does not match|Output tensor for inference response should not be "
        r"empty|Tensor name cannot be an empty string|Unsupported triton dtype|NumPy dtype is not "
        r"supported|Input tensor for request[^\n]*should not be empty)",
        "The Python model made a tensor that Triton cannot carry: empty, without a name, or of a NumPy "
        "type without a Triton name.",
        "Give pb_utils.Tensor the output's name and an array of its data type (text as object or bytes).",
        "Output tensor for inference response should not be empty.",
        place="model.py",
    ),
    rule(
        "answer.response-sender",
        r"Unable to send response\. (?P<why>[^\n\"]+)",
        "The Python model used a response sender wrongly: {why}",
        "Send after the final flag nothing more; more than one answer needs decoupled: true.",
        "Unable to send response. Response sender has been closed.",
        place="model.py",
    ),
    rule(
        "answer.output-batch",
        r"output '(?P<output>[^']+)' of model '(?P<model>[^']+)' has shape (?P<shape>\[[^\]]*\]) for a "
        r"batch of (?P<rows>\d+)|failed to split the output tensor '(?P<output2>[^']+)' in responses: "
        r"expected batch size of (?:atleast|at least) (?P<rows2>\d+)[^\n]*got (?P<shape2>\S+)",
        "`{output}` comes back with {shape} where a batch of {rows} was sent: its first dimension is not "
        "the batch.",
        "Export the model so that every output keeps the batch dimension, or set max_batch_size: 0.",
        "output 'y' of model 'net' has shape [1,10] for a batch of 4: with max_batch_size > 0 the first "
        "dimension must be the batch",
        place="max_batch_size",
    ),
    rule(
        "answer.output-shape",
        r"(?:unexpected shape for output '(?P<output>[^']+)'|output tensor shape does not match size of "
        r"output for '(?P<output2>[^']+)'|inference output '(?P<output3>[^']+)'[^\n]*shape)",
        "The model's answer for `{output}` has another shape than config.pbtxt says.",
        "Correct `dims` of the output.",
        "unexpected shape for output 'y' for model 'net', model configuration shape is [-1,10], "
        "inference shape is [1,4]",
        place="output.{output}.dims|output.{output}",
    ),
)
