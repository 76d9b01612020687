"""The model file itself: absent, empty, of another kind, a placeholder of a download."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "file.lfs",
        r"Git LFS pointer|version https://git-lfs|git-lfs\.github\.com",
        "The model file is a Git LFS pointer: a few lines of text in place of the model.",
        "Run `git lfs install` and `git lfs pull` in the folder the file came from, and copy it again.",
        "failed to load model 'net' from '/models/net/1/model.onnx': it is a Git LFS pointer, not the "
        "file itself: run `git lfs pull`",
    ),
    rule(
        "file.web-page",
        r"it is a web page, saved in place of the file",
        "The model file is a web page: a download that stored the page instead of the file.",
        "Download the file itself (its raw link) and look at its size.",
        "failed to load model 'net' from '/models/net/1/model.onnx': it is a web page, saved in place of "
        "the file",
    ),
    rule(
        "file.empty",
        r"(?:model file|'(?P<path>[^']*model\.\w+)')[^\n]{0,20}: it is empty|Model (?:file|proto) is "
        r"empty|ModelProto does not have a graph|The model file is empty|file in archive is not in a "
        r"subdirectory",
        "The model file is empty, or was cut off while it was copied: {path}.",
        "Copy or export it again, and compare its size.",
        "failed to load model 'net' from '/models/net/1/model.onnx': it is empty",
    ),
    rule(
        "file.kind-mix-up",
        r"it looks like (?P<kind>an? [\w ]+ file)",
        "The model file is {kind}, and lies under the name of another kind.",
        "Give it the name and the backend of its kind: model.onnx with onnxruntime, model.pt with pytorch.",
        "failed to load model 'net' from '/models/net/1/model.onnx': it looks like a PyTorch file",
    ),
    rule(
        "file.python-missing",
        r"Python model file not found in '(?P<path>[^']+)'|[Nn]o module named "
        r"'?(?:(?P<version>\d+)\.)?model'?(?![\w.])|'?(?P<path2>/[^\s']+/\d+/model\.py)'?[^\n]{0,30}(?:No "
        r"such file|does not exist|not found)",
        "The Python model's model.py is not there: {path}.",
        "Put the code into the version folder as model.py, or name it in default_model_filename. This "
        "server's python backend waits for the file and the load hangs: unload the model or restart the "
        "server afterwards.",
        "Failed to preinitialize Python stub: Python model file not found in '/models/net/1/model.py'",
    ),
    rule(
        "file.missing-named",
        r"unable to find '(?P<path>[^']+)' for model(?: instance)? '(?P<model>[^']+)'(?P<held>; the "
        r"folder holds: [^\n]+)?",
        "The model file is not where the config says: {path}{held}",
        "Put it into the version folder under its default name (model.onnx, model.pt, model.plan, "
        "model.py), or name it in default_model_filename.",
        "unable to find '/models/net/1/model.onnx' for model instance 'net'; the folder holds: net.onnx",
        place="default_model_filename",
    ),
    rule(
        "file.missing",
        r"(?:failed to (?:open|stat) (?:the )?(?:file|(?:binary )?model file)|[Cc]ould not open|Error "
        r"while opening file|open file failed|Load model from (?P<path>\S+) failed:\s?Load model \S+ "
        r"failed\. File doesn't exist|failed:\s*(?:File|file) (?:does not|doesn't) exist|File (?:does "
        r"not|doesn't) exist|Model file not "
        r"found)(?:[^\n]*?(?P<path2>/[^\s'\":]*\.(?:onnx|pt|plan|graphdef|bin|xml|engine|savedmodel|json|d"
        r"ali)))?",
        "The model file is not there or cannot be opened: {path}.",
        "Put it into the version folder under its default name (model.onnx, model.pt, model.plan), or "
        "name it in default_model_filename; check that the server's user may read it.",
        "failed to load 'net' version 1: Internal: onnx runtime error 3: Load model from "
        "/models/net/1/model.onnx failed:Load model /models/net/1/model.onnx failed. File doesn't exist",
        place="default_model_filename",
    ),
)
