"""Folders and files of the model repository: what Triton looks for and does not find."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "layout.name",
        r"unexpected directory name '(?P<folder>[^']+)' for model '(?P<model>[^']+)', directory name must "
        r"equal model",
        'The folder is called `{folder}` and config.pbtxt says name: "{model}"; the two must be the same.',
        'Write name: "{folder}" in config.pbtxt, leave `name` out, or rename the folder.',
        "Poll failed for model directory 'net': unexpected directory name 'net' for model 'mlp', "
        "directory name must equal model name",
        place="name",
    ),
    rule(
        "layout.no-config",
        r"failed to open text file for read (?P<path>\S*config\.pbtxt): No such file",
        "The folder has no config.pbtxt ({path}), and Triton cannot derive one here: auto-complete is "
        "off, or the backend cannot tell.",
        "Write a config.pbtxt, or start the server without --disable-auto-complete-config.",
        "Poll failed for model directory 'net': failed to open text file for read "
        "/models/net/config.pbtxt: No such file or directory",
    ),
    rule(
        "layout.config-not-provided",
        r"model configuration is not provided for model '(?P<model>[^']+)'",
        "`{model}` has no config.pbtxt, and its kind of model is one that Triton cannot derive it from "
        "(a TensorFlow GraphDef, TorchScript, a backend without auto-complete).",
        "Write a config.pbtxt with platform or backend, inputs and outputs into the model's folder.",
        "UNAVAILABLE: Not found: model configuration is not provided for model 'net'",
    ),
    rule(
        "layout.custom-config-missing",
        r"failed to open text file for read (?P<path>\S*/configs/\S+\.pbtxt): No such file",
        "The server was started with --model-config-name, and the model has no {path}.",
        "Put that file into the model's `configs` folder, or leave the option out.",
        "failed to open text file for read /models/net/configs/h100.pbtxt: No such file or directory",
    ),
    rule(
        "layout.named-file",
        r"failed to open (?:text|binary) file for read (?P<path>\S+?(?<!\.pbtxt)): No such file",
        "A file that config.pbtxt names (labels, warm-up data) is not there: {path}.",
        "Put it beside config.pbtxt (warm-up data into the folder `warmup`), or correct its name.",
        "failed to load 'net' version 1: Internal: failed to open text file for read "
        "/models/net/labels.txt: No such file or directory",
        place="output.0.label_filename|model_warmup",
    ),
    rule(
        "layout.not-a-folder",
        r"failed to open text file for read (?P<path>\S+?)(?:/config\.pbtxt)?: Not a directory|Model "
        r"directory path is not a directory",
        "A plain file lies in the model repository where a model folder is expected: {path}.",
        "Move the file out of the repository: each entry there must be a model folder.",
        "Poll failed for model directory 'notes.txt': failed to open text file for read "
        "/models/notes.txt/config.pbtxt: Not a directory",
    ),
    rule(
        "layout.may-not-read",
        r"(?:failed to (?:open (?:text|binary) file for read|open directory|stat file)|Failed to get "
        r"(?:modification time|contents of directory)|[Cc]annot "
        r"open)(?:[^\n/]*(?P<path>/[^\s:]+))?[^\n]*(?:Permission denied|errno:13\b)",
        "The server may not read a file or folder of the model repository: {path}.",
        "Give its user the right to read: `chmod -R a+rX` on the repository; in a container look at the "
        "mount, too.",
        "failed to open text file for read /models/net/config.pbtxt: Permission denied",
    ),
    rule(
        "layout.closed-folder",
        r"failed to open directory (?P<path>[^\s\"]+)",
        "The server cannot open the folder {path}: its user may not read it, or it is gone.",
        "Give the server's user the right to read: `chmod -R a+rX` on the model repository; in a container "
        "look at the mount, too.",
        '{"error":"failed to open directory /models"}',
    ),
    rule(
        "layout.version-absent",
        r"version (?P<version>\d+) is specified for model '(?P<model>[^']+)', but the version directory "
        r"is not present",
        "`version_policy` of `{model}` asks for version {version}, and there is no folder "
        "`{model}/{version}`.",
        "Make the folder `{version}` with the model file in it, or correct `version_policy`.",
        "version 7 is specified for model 'net', but the version directory is not present",
        place="version_policy",
    ),
    rule(
        "layout.leading-zero",
        r"ignore version directory '(?P<folder>[^']+)' which contains leading zeros",
        "The version folder `{folder}` is ignored: a version is a number without leading zeros, so none "
        "is left.",
        "Rename `{folder}` to the plain number: 1, 2, 3 ...",
        "ignore version directory '01' which contains leading zeros in its directory name",
        place="folder",
    ),
    rule(
        "layout.not-a-number",
        r"ignore version directory '(?P<folder>[^']+)' which fails to convert to integral number",
        "The folder `{folder}` is ignored: a version folder's name is a whole number, and no other "
        "folder is left.",
        "Rename `{folder}` to a number: 1, 2, 3 ...",
        "ignore version directory 'v1' which fails to convert to integral number",
        place="folder",
    ),
    rule(
        "layout.no-version",
        r"at least one version must be available under the version policy of model '(?P<model>[^']+)'",
        "The model `{model}` has no version folder that Triton can serve: it looks for folders named 1, "
        "2, 3 ...",
        "Put the model file into `{model}/1/`.",
        "failed to load model 'net': at least one version must be available under the version policy of "
        "model 'net'",
        symptom=True,
        place="folder",
    ),
    rule(
        "layout.not-loaded-version",
        r"Not loaded: No model version was found",
        "The model has no version folder (1, 2, 3 ...) with a model file in it.",
        "Make the folder `1` in the model's folder and put the model file into it.",
        "| net | - | Not loaded: No model version was found |",
        place="folder",
    ),
    rule(
        "layout.none-loaded",
        r"failed to load '(?P<model>[^']+)', no version is available",
        "No version of `{model}` could be loaded: it has no version folder (1, 2 ...), or each of them "
        "failed. This answer does not say which.",
        "Look in the server's log for `failed to load '{model}' version`, and in the folder `{model}/1` for "
        "the model file.",
        "[StatusCode.INTERNAL] failed to load 'net', no version is available",
        symptom=True,
        place="folder",
    ),
    rule(
        "layout.unknown-folder",
        r"failed to poll model '(?P<model>[^']+)': model not found in any model repository",
        "No folder of the name `{model}` is in the model repository; names are exact.",
        "Compare the name with the folders of the repository, and look whether the server was started on "
        "that one.",
        "failed to poll model 'ghost': model not found in any model repository.",
    ),
    rule(
        "layout.two-repositories",
        r"(?:model appears in two or more repositories|'?(?P<model>[\w.-]+)'?: not unique across all "
        r"model repositories|is not unique across all)",
        "Two of the server's model repositories hold a model of the same name {model}; Triton then "
        "serves neither.",
        "Rename one of the two folders, or give the server one repository.",
        "failed to poll model 'net': not unique across all model repositories.",
    ),
    rule(
        "layout.no-repository",
        r"(?:failed to stat file|directory or file does not exist at|repository path is not a valid "
        r"directory|unable to (?:access|open) model repository)(?! \S+/\d+/model\.) ?(?P<path>[^\s\"]*)",
        "The model repository or a file in it is not where the server was told to look: {path}.",
        "Check the path in --model-repository; in a container it is the path inside, as the volume was "
        "mounted.",
        "error: creating server: Internal - failed to stat file /models",
    ),
    rule(
        "layout.object-store",
        r"(?:Could not get MetaData for (?:bucket|object)|Failed to (?:check if (?:directory|file)|get "
        r"metadata|list objects)|Unable to (?:get blob property|create (?:S3|GCS|storage) client)|Unable "
        r"to parse S3|Failed to download file|Failed to get (?:object|contents of directory)|Failed to open "
        r"object read stream|Could not list contents of directory)"
        r"(?:[^\n]*?(?P<path>(?:s3|gs|as)://\S+|with name \S+))?",
        "The server cannot read its model repository in the object store {path}: wrong name, wrong "
        "region or endpoint, or credentials that may not list and read it.",
        "Check the path, the credentials that the server process has (not your own shell's) and the "
        "rights to list the bucket and read its objects.",
        "error: creating server: Internal - Could not get MetaData for bucket with name my-models",
    ),
    rule(
        "layout.local-copy",
        r"Failed to create (?:local|temp)[^\n:]*folder(?:: (?P<path>\S+))?",
        "The server copies a model from the object store to its own disk first, and could not make a folder "
        "there: {path}.",
        "Give it a /tmp (or TRITON_AWS_MOUNT_DIRECTORY and the like) that is writable and large enough.",
        "Internal: Failed to create local folder: /tmp/folderA1/variables",
    ),
    rule(
        "layout.no-file-system",
        r"Unsupported filesystem type|Can not infer filesystem type from|unable to find filesystem",
        "The repository's path names a store (s3://, gs://, as://) that this build of the server does "
        "not have.",
        "Use a local folder, or a build that has this store.",
        "error: creating server: Unsupported - Unsupported filesystem type for gs://bucket/models",
    ),
    rule(
        "layout.checkpoints",
        r"\.ipynb_checkpoints",
        "Jupyter left a folder `.ipynb_checkpoints` in the repository, and Triton takes it for a model "
        "or a version.",
        "Remove it: `rm -r` on every `.ipynb_checkpoints` in the repository.",
        "Poll failed for model directory '.ipynb_checkpoints': failed to open text file for read",
    ),
    rule(
        "layout.file-override",
        r"(?:Invalid file parameter|File parameter) '(?P<path>[^']*)'[^\n]*(?:must stay "
        r"within|normalized|bytes type)",
        "The load request brought a file with the path `{path}`, which is not one inside the model's folder.",
        "Name it `file:1/model.onnx`: a version folder and a file name, no `..` and no absolute path.",
        "Invalid argument: Invalid file parameter 'file:../x/model.py' with normalized path "
        "'/tmp/x/model.py' must stay within model directory.",
    ),
)
