"""TorchScript and the pytorch backend."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "torch.export-program",
        r"it is a torch\.export program",
        "model.pt is a program of torch.export, not TorchScript; the pytorch backend of this release runs "
        "TorchScript only.",
        'Write it with torch.jit.script(model).save("model.pt") or torch.jit.trace(model, '
        'example).save("model.pt"), in eval mode.',
        "failed to load model 'net' from 'model.pt': it is a torch.export program, not TorchScript",
    ),
    rule(
        "torch.not-torchscript",
        r"(?:PytorchStreamReader failed (?:locating file (?P<file>\S+?): |reading (?!zip))|file not "
        r"found: \S*constants\.pkl|constants\.pkl|it was made by torch\.save|it is a Python pickle|it is "
        r"not a TorchScript archive|Legacy model format is not supported|isn't a TorchScript|could not "
        r"find (?:\S+ )?code/|not a ZIP archive)",
        "model.pt is not TorchScript: it was written with torch.save (weights or a pickled module), "
        "which the pytorch backend cannot run.",
        'Write it with torch.jit.script(model).save("model.pt") or torch.jit.trace(model, '
        'example).save("model.pt"), in eval mode.',
        "failed to load 'net' version 1: Internal: failed to load model 'net': PytorchStreamReader "
        "failed locating file constants.pkl: file not found",
    ),
    rule(
        "torch.damaged",
        r"PytorchStreamReader failed(?: reading zip archive: (?P<why>[^\n\"]+))?|failed finding central "
        r"directory|invalid header or archive is corrupted",
        "model.pt is damaged, cut off, or no PyTorch file at all {why}.",
        "Load it with torch.jit.load in Python; copy or export it again.",
        "Internal: failed to load model 'net': PytorchStreamReader failed reading zip archive: failed "
        "finding central directory",
    ),
    rule(
        "torch.operator",
        r"Unknown builtin op: (?P<op>[\w:]+)",
        "The model uses the operator {op}, which this server's PyTorch does not have: it comes from "
        "another library (torchvision ...) or from another version.",
        "Export the model without that operator, load its library (LD_PRELOAD of the .so in the "
        "container), or serve it as a python model that imports the library.",
        "Internal: failed to load model 'net': Unknown builtin op: torchvision::nms.",
    ),
    rule(
        "torch.tensorrt-engine",
        r"Unknown type name '__torch__\.torch\.classes\.tensorrt\.\w+'|torch\.classes\.tensorrt\.Engine",
        "model.pt was compiled with Torch-TensorRT, and the library that runs its engines is not loaded in "
        "the server.",
        "Start the server with LD_PRELOAD=libtorchtrt_runtime.so of the Torch-TensorRT that belongs to the "
        "container, on a GPU; or export the model without Torch-TensorRT.",
        "Internal: failed to load model 'net': Unknown type name '__torch__.torch.classes.tensorrt.Engine':",
    ),
    rule(
        "torch.version",
        r"(?:Unknown type name '(?P<name>[^']+)'|expected (?:newline|\)|,) but found|version_ <= "
        r"kMaxSupportedFileFormatVersion|Attempted to read a PyTorch file with version "
        r"(?P<version>\d+)|Unknown schema|Arguments for call are not valid|[Mm]ethod "
        r"'__setstate__'|Unrecognized data format)",
        "model.pt was written by another version of PyTorch than this server can read {name}{version}.",
        "Export it with a PyTorch of about the server's version (the release notes of the container name "
        "it), or use a newer container.",
        "Internal: failed to load model 'net': Attempted to read a PyTorch file with version 10, but the "
        "maximum supported version for reading is 6",
    ),
    rule(
        "torch.naming",
        r"(?P<side>input|output) '(?P<tensor>[^']+)'(?: for model '[^']+')? does not follow (?:the "
        r")?(?:naming convention|<name>__<index>)",
        "The {side} `{tensor}` follows none of the naming rules of the pytorch backend: TorchScript "
        "stores no names, so the config's names must tell the order.",
        "Name inputs like the arguments of forward(), or all of them NAME__0, NAME__1 ... in order; name "
        "outputs OUTPUT__0 ...",
        "Internal: input 'INPUT0' does not follow naming convention i.e. <name>__<index>.",
        place="{side}.{tensor}.name|{side}.{tensor}",
    ),
    rule(
        "torch.index",
        r"The (?P<side>input|output) (?P<tensor>\S+) in the model configuration refers to an output index "
        r"which doesn't exist|the indices in the input names (?P<names>\[[^\]]*\]) do not cover|This "
        r"model has (?P<n>\d+) outputs?",
        "The number in the name of a tensor in config.pbtxt is beyond what the model has {tensor}{names}.",
        "NAME__0 is the first one; count the arguments of forward() and the values it returns.",
        "The output OUTPUT__2 in the model configuration refers to an output index which doesn't exist. "
        "This model has 1 outputs",
        place="{side}.{tensor}.name|{side}.{tensor}|output|input",
    ),
    rule(
        "torch.no-tensors",
        r"(?:model '(?P<model>[^']+)': )?(?:model configuration must contain at least one "
        r"(?P<side>input|output), none were specified|the config\.pbtxt names no (?P<side2>input|output))",
        "config.pbtxt names no {side}, and the pytorch backend cannot derive it: a TorchScript file "
        "stores no names, types and shapes.",
        "Write all inputs and outputs with name, data_type and dims into config.pbtxt.",
        "model 'net': model configuration must contain at least one input, none were specified.",
        place="{side}",
    ),
    rule(
        "torch.argument-type",
        r"[Aa]n input of type '(?P<type>[^']+)' was detected in the model",
        "forward() has an argument of type {type}; the pytorch backend takes tensors, lists of strings "
        "or one dictionary of tensors.",
        "Wrap the model in a module whose forward() takes plain tensors, without optional ones, and "
        "export that.",
        "Internal: An input of type 'Tensor?' was detected in the model. Only a single input of type "
        "Dict(str, Tensor) or input(s) of type Tensor are supported.",
    ),
    rule(
        "torch.output-type",
        r"output (?:'(?P<tensor>[^']+)' )?must be of type Tensor|output '(?P<tensor2>[^']+)' is a scalar "
        r"which is not supported",
        "forward() returns something that the pytorch backend cannot send {tensor}: only tensors, lists "
        "of strings and tuples of them.",
        "Return a tensor or a tuple of tensors with at least one dimension.",
        "Invalid argument: output must be of type Tensor, List[str] or Tuple containing one of these two "
        "types. It should not be a List / Dictionary of Tensors or a Scalar",
    ),
    rule(
        "torch.datatype",
        r"unsupported datatype (?P<type>\w+) (?:for|of) (?:(?:input|output) )?'(?P<tensor>[^']+)'|Triton "
        r"only supports 1 dimensional List of String as (?P<side>\w+) for '(?P<tensor2>[^']+)'",
        "PyTorch has no type for what config.pbtxt says of `{tensor}`: {type}.",
        "Use a type that PyTorch has (no unsigned 16 to 64 bit numbers); text is one dimension of "
        "TYPE_STRING.",
        "Internal: unsupported datatype TYPE_UINT16 for input 'INPUT__0' for model 'net'",
        place="input.{tensor}.data_type|output.{tensor}.data_type",
    ),
    rule(
        "torch.dtype-mismatch",
        r"Input type \((?:torch\.(?:cuda\.)?|CUDA|CPU)(?P<got>\w+?)(?:Tensor|Type)\) and weight type "
        r"\((?:torch\.(?:cuda\.)?|CUDA|CPU)(?!(?P=got))(?P<want>\w+?)(?:Tensor|Type)\)|expected scalar type "
        r"(?P<want2>\w+) but found (?P<got2>\w+)|expected \w+ and \w+ to have the same dtype, but got: "
        r"(?P<want3>\w+(?: int| float)?) != (?P<got3>\w+)|must have the same dtype",
        "The data has another type ({got}) than the weights of the model ({want}).",
        "Send that type, or convert in forward(); a model in half precision wants TYPE_FP16 in config.pbtxt "
        "and FP16 arrays.",
        "RuntimeError: expected scalar type Half but found Float",
        place="input.0.data_type|input",
    ),
    rule(
        "torch.shape-mismatch",
        r"(?P<what>mat1 and mat2 shapes cannot be multiplied[^\n\"]*|expected input\[[^\]]*\] to have "
        r"\d+ channels[^\n\"]*|The size of tensor a \(\d+\) must match[^\n\"]*|shape '\[[^\]]*\]' is invalid "
        r"for input of size \d+|Sizes of tensors must match[^\n\"]*|index out of range in self)",
        "The shapes (or index values) of the request do not fit the layers of the model: {what}",
        "Compare the request's shape with what the model was traced or trained with: order of dimensions "
        "(NCHW), the batch dimension, fixed lengths built in by torch.jit.trace.",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x12 and 10x4)",
        place="input.0.dims|input",
    ),
    rule(
        "torch.devices",
        r"Expected all tensors to be on the same device|Attempting to deserialize object on a CUDA "
        r"device|Input type \((?:torch\.|CUDA|CPU)[\w.]+\) and weight type|found at least two devices",
        "Tensors of the model lie on different devices: a traced model has its device built in, or a "
        "tensor is made on a fixed device.",
        "Export with torch.jit.script, make new tensors with `device=x.device`, and export on the device "
        "that will serve.",
        "RuntimeError: Expected all tensors to be on the same device, but found at least two devices, "
        "cuda:0 and cpu!",
        place="instance_group.0.kind|instance_group",
    ),
    rule(
        "torch.torch-gpu",
        r"KIND_GPU asks for GPU (?P<gpu>\d+), and the installed PyTorch (?P<version>\S+) sees (?P<n>\d+) "
        r"GPUs",
        "The instance group asks for GPU {gpu}, and PyTorch {version} sees {n} GPUs.",
        "Write instance_group [ {{ kind: KIND_CPU }} ].",
        "unable to load model 'net', KIND_GPU asks for GPU 0, and the installed PyTorch 2.3.0+cpu sees 0 "
        "GPUs",
        place="instance_group.0.kind|instance_group",
    ),
    rule(
        "torch.missing-keys",
        r"Error\(s\) in loading state_dict|Missing key\(s\) in state_dict|size mismatch for (?P<name>\S+):",
        "The weights do not fit the network that the code builds {name}: other layers, names or sizes.",
        "Build the network with the same settings as in training, or load the file that belongs to it.",
        'RuntimeError: Error(s) in loading state_dict for Net: Missing key(s) in state_dict: "fc.weight".',
    ),
    rule(
        "torch.unpickle",
        r"Weights only load failed|_pickle\.UnpicklingError|UnpicklingError: (?P<why>[^\n]*)|Can't get "
        r"attribute '(?P<name>[^']+)'",
        "The file of weights could not be unpickled {name}{why}: it holds classes that are not there, or "
        "no pickle at all.",
        "Save a state_dict instead of a module; load it with torch.load(..., weights_only=True).",
        "_pickle.UnpicklingError: Weights only load failed.",
    ),
    rule(
        "torch.run",
        r"(?:The following operation failed in the TorchScript interpreter|PyTorch execute failure: "
        r"|Traceback of TorchScript)(?P<why>[^\n\"]*)",
        "The TorchScript model raised an error while it ran {why}: mostly shapes or types of the request "
        "that the code cannot take.",
        "Call the model with the same tensors in Python (torch.jit.load) and read the last line of its "
        "message.",
        "Internal: PyTorch execute failure: The following operation failed in the TorchScript interpreter.",
    ),
)
