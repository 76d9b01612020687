"""Messages that only say that a load failed. They win when nothing better is in the log."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "symptom.poll",
        r"failed to load '(?P<model>[^']+)', failed to poll from model repository",
        "Triton did not get as far as loading `{model}`: its folder or config.pbtxt was refused. The "
        "answer of the load API does not say why; the log does.",
        "Read the log for `Poll failed for model directory '{model}'` and the line of libprotobuf above it.",
        "failed to load 'net', failed to poll from model repository",
        symptom=True,
    ),
    rule(
        "symptom.text-proto",
        r"failed to read text proto from (?P<path>\S+)|Can't parse (?P<path2>\S+) as (?:text|binary) proto",
        "config.pbtxt of the model is not valid: {path}. The line of libprotobuf that says where is not "
        "in this log.",
        "Look in the server's error output for `Error parsing text-format`, or run `triton-lab lint` on "
        "the repository.",
        "Poll failed for model directory 'net': failed to read text proto from /models/net/config.pbtxt",
        symptom=True,
    ),
    rule(
        "symptom.modification-time",
        r"Failed to determine modification time for '(?P<path>[^']+)'|failed to poll model repository",
        "The server could not look at the folder {path}: it is not there, or it may not be read.",
        "Check the path and the rights.",
        "Failed to determine modification time for '/models/net': Internal: x",
        symptom=True,
    ),
    rule(
        "symptom.outdated",
        r"Newer operation has been applied to the model lifecycle",
        "A later load or unload overtook this one.",
        "Nothing to mend: look at the state after the last operation.",
        "Newer operation has been applied to the model lifecycle, current load operation is out-dated.",
        symptom=True,
    ),
    rule(
        "symptom.autofill",
        r"(?:unable to autofill|autofill failed) for '?(?:model )?'?(?P<model>[\w.-]+)",
        "Triton could not derive the config of `{model}` from the model file.",
        "Write a complete config.pbtxt: inputs and outputs with names, types and dims.",
        "unable to autofill for 'net', unable to detect shape of 'x'",
        symptom=True,
    ),
)
