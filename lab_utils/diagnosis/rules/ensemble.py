"""Ensembles: steps, tensor maps, and the models that they are made of."""

from lab_utils.diagnosis.rule import rule

_MAPS = "ensemble_scheduling.step|ensemble_scheduling"

RULES = (
    rule(
        "ensemble.missing-model",
        r"ensemble '?(?P<ensemble>[^\s']+)'? contains models that are not available or ambiguous: "
        r"(?P<missing>[^\n\";]+)",
        "The ensemble `{ensemble}` has a step whose model is not in the repository: {missing}.",
        "Correct `model_name` of that step, or put the model's folder into the repository.",
        "Invalid argument: ensemble pipe contains models that are not available or ambiguous: nowhere",
        place="ensemble_scheduling.step.{missing}.model_name|" + _MAPS,
    ),
    rule(
        "ensemble.version-not-loaded",
        r"ensemble '(?P<ensemble>[^']+)' depends on '(?P<step>[^']+)' whose required version "
        r"(?P<version>-?\d+) is not loaded",
        "The ensemble `{ensemble}` asks for version {version} of `{step}`, and that version is not "
        "loaded. Without a `model_version` in the step, protobuf makes it 0.",
        "Write model_version: -1 in the step (the latest), or a version that is loaded.",
        "Invalid argument: ensemble 'pipe' depends on 'net' whose required version 0 is not loaded",
        place="ensemble_scheduling.step.{step}.model_version|ensemble_scheduling.step.{step}.model_name|"
        + _MAPS,
    ),
    rule(
        "ensemble.step-failed",
        r"ensemble '(?P<ensemble>[^']+)' depends on '(?P<step>[^']+)' which (?:has no loaded version|is "
        r"not valid)",
        "The ensemble `{ensemble}` needs the model `{step}`, which could not be loaded.",
        "Make `{step}` load on its own first; the ensemble follows.",
        "Invalid argument: ensemble 'pipe' depends on 'net' which has no loaded version. Model 'net' "
        "loading failed with error: version 1 is at UNAVAILABLE state: Internal: x",
        symptom=True,
        place="ensemble_scheduling.step.{step}.model_name|" + _MAPS,
    ),
    rule(
        "ensemble.cycle",
        r"circular dependency between ensembles: (?P<chain>[^\n\"]+)",
        "Ensembles contain each other in a circle: {chain}.",
        "Break the circle: a step may not, over other ensembles, contain its own ensemble.",
        "Poll failed for model directory 'a': circular dependency between ensembles: a -> b -> a",
        place=_MAPS,
    ),
    rule(
        "ensemble.no-input",
        r"in ensemble (?P<ensemble>\S+), ensemble tensor (?P<tensor>\S+) is mapping to non-existing input "
        r"(?P<input>\S+) in model (?P<step>[^\s\"]+)",
        "A step of `{ensemble}` maps the tensor `{tensor}` to the input `{input}` of `{step}`, and "
        "`{step}` has no such input.",
        "The `key` of an input_map is an input name of the step's model, its `value` a tensor of the "
        "ensemble.",
        "Invalid argument: in ensemble pipe, ensemble tensor image is mapping to non-existing input z in "
        "model net",
        place="ensemble_scheduling.step.{step}.input_map|ensemble_scheduling.step.{step}.model_name|" + _MAPS,
    ),
    rule(
        "ensemble.no-output",
        r"in ensemble (?P<ensemble>\S+), ensemble tensor (?P<tensor>\S+) is mapped from non-existing "
        r"output (?P<output>\S+) in model (?P<step>[^\s\"]+)",
        "A step of `{ensemble}` takes the tensor `{tensor}` from the output `{output}` of `{step}`, and "
        "`{step}` has no such output.",
        "The `key` of an output_map is an output name of the step's model, its `value` a tensor of the "
        "ensemble.",
        "Invalid argument: in ensemble pipe, ensemble tensor out is mapped from non-existing output z in "
        "model net",
        place="ensemble_scheduling.step.{step}.output_map|ensemble_scheduling.step.{step}.model_name|"
        + _MAPS,
    ),
    rule(
        "ensemble.input-not-mapped",
        r"in ensemble (?P<ensemble>\S+), input (?P<input>\S+) in model (?P<step>\S+) is not mapped to any "
        r"ensemble tensors",
        "The step `{step}` of `{ensemble}` leaves the input `{input}` of its model without a tensor.",
        "Add an input_map for `{input}` to that step.",
        "Invalid argument: in ensemble pipe, input x in model net is not mapped to any ensemble tensors",
        place="ensemble_scheduling.step.{step}.input_map|ensemble_scheduling.step.{step}.model_name|" + _MAPS,
    ),
    rule(
        "ensemble.mapped-twice",
        r"in ensemble (?P<ensemble>\S+), (?:input (?P<tensor>\S+) in model (?P<step>\S+) is mapped to "
        r"multiple|multiple outputs in model (?P<step2>\S+) are mapped to the same)|can appear in an "
        r"output map only once for ensemble '(?P<ensemble2>[^']+)'|is mapped to multiple ensemble tensors "
        r"for ensemble '(?P<ensemble3>[^']+)'",
        "A tensor of the ensemble `{ensemble}` is written or mapped twice {step}.",
        "Give every output of a step its own tensor, and every input one tensor.",
        "Invalid argument: in ensemble pipe, multiple outputs in model net are mapped to the same "
        "ensemble tensor out",
        place=_MAPS,
    ),
    rule(
        "ensemble.dtype",
        r"in ensemble (?P<ensemble>\S+), ensemble tensor (?P<tensor>[^:\s]+): inconsistent data type: "
        r"(?P<one>\S+) is inferred from model (?P<first>\S+) while (?P<two>\S+) is inferred from model "
        r"(?P<second>[^\s\"]+)",
        "The ensemble tensor `{tensor}` is {one} for `{first}` and {two} for `{second}`.",
        "Make the two data types equal: in config.pbtxt of the ensemble, or with a step between that "
        "converts.",
        "Invalid argument: in ensemble pipe, ensemble tensor image: inconsistent data type: TYPE_INT32 "
        "is inferred from model pipe while TYPE_FP32 is inferred from model net",
        place="input.{tensor}.data_type|output.{tensor}.data_type|ensemble_scheduling.step.{second}.model_name|"
        + _MAPS,
    ),
    rule(
        "ensemble.shape",
        r"in ensemble (?P<ensemble>\S+), ensemble tensor (?P<tensor>[^:\s]+): inconsistent shape: "
        r"(?P<one>\[[^\]]*\]) is inferred from model (?P<first>\S+) while (?P<two>\[[^\]]*\]) is inferred "
        r"from model (?P<second>[^\s\"]+)",
        "The ensemble tensor `{tensor}` has shape {one} for `{first}` and {two} for `{second}`.",
        "Make the dims equal; look at max_batch_size of both, too: with it a batch dimension stands in "
        "front.",
        "Invalid argument: in ensemble pipe, ensemble tensor image: inconsistent shape: [-1,28,28] is "
        "inferred from model pipe while [-1,784] is inferred from model net",
        place="input.{tensor}.dims|output.{tensor}.dims|ensemble_scheduling.step.{second}.model_name|"
        + _MAPS,
    ),
    rule(
        "ensemble.batch-size",
        r"ensemble (?P<ensemble>\S+) allows maximum batch size (?P<size>\d+), but it contains model "
        r"(?P<step>\S+) which only allows maximum batch size to be (?P<most>\d+)",
        "The ensemble `{ensemble}` accepts batches of {size}, and its step `{step}` only of {most}.",
        "Set max_batch_size of the ensemble to {most} or less.",
        "Invalid argument: ensemble pipe allows maximum batch size 64, but it contains model net which "
        "only allows maximum batch size to be 8",
        place="max_batch_size",
    ),
    rule(
        "ensemble.decoupled",
        r"in ensemble (?P<ensemble>\S+), step of model '(?P<step>[^']+)' receives inputs originated from "
        r"different decoupled",
        "The step `{step}` of `{ensemble}` joins tensors of two decoupled models, whose numbers of "
        "answers may differ.",
        "Let one decoupled model feed that step.",
        "in ensemble pipe, step of model 'join' receives inputs originated from different decoupled models",
        place=_MAPS,
    ),
    rule(
        "ensemble.no-scheduling",
        r"ensemble scheduling must be set for ensemble (?P<ensemble>\S+)|ensemble scheduling cannot be "
        r"set for model '(?P<model>[^']+)'|Ensemble model '(?P<model2>[^']+)' must have platform type",
        '`platform: "ensemble"` and `ensemble_scheduling` go together; {ensemble}{model} has only one of '
        "them.",
        'Add `ensemble_scheduling {{ step [ ... ] }}` to an ensemble, and platform: "ensemble" to a '
        "model that has it.",
        "Poll failed for model directory 'pipe': ensemble scheduling must be set for ensemble pipe whose "
        "platform is ensemble",
        place="platform|ensemble_scheduling",
    ),
    rule(
        "ensemble.no-step",
        r"must specify '(?P<what>step|model_name|input_map|output_map)' (?:for|in step)[^\n]*",
        "`{what}` is missing in the ensemble.",
        "Each step has a model_name, at least one input_map and at least one output_map.",
        "Poll failed for model directory 'pipe': must specify 'input_map' in step 0 of ensemble 'pipe'",
        place=_MAPS,
    ),
    rule(
        "ensemble.output-not-written",
        r"\boutput '(?P<tensor>[^']+)' for ensemble '?(?P<ensemble>[^\s']+)'? is not "
        r"(?:used|written)(?!: at least)",
        "No step of `{ensemble}` writes its output `{tensor}`, or the chain of steps that leads to it is "
        "broken: a tensor on the way is read and never written.",
        'Let a step\'s output_map have value: "{tensor}", and follow the tensors from the inputs on: each '
        "`value` that a step reads must be an input of the ensemble or written by another step.",
        "Poll failed for model directory 'pipe': ensemble output 'y' for ensemble pipe' is not used",
        place="output.{tensor}|" + _MAPS,
    ),
    rule(
        "ensemble.input-not-used",
        r"\binput '(?P<tensor>[^']+)' for ensemble '?(?P<ensemble>[^\s']+)'? is not used",
        "No step of `{ensemble}` reads its input `{tensor}`.",
        'Let a step\'s input_map have value: "{tensor}", or remove the input.',
        "Poll failed for model directory 'pipe': ensemble input 'x' for ensemble pipe' is not used",
        place="input.{tensor}|" + _MAPS,
    ),
    rule(
        "ensemble.not-connected",
        r"(?:ensemble tensor '(?P<tensor>[^']+)'[^\n]*(?:is unused|not written)|at least one of its "
        r"depending tensors, '(?P<tensor2>[^']+)'[^\n]*, is not connected|'(?P<tensor3>[^']+)' is unused "
        r"in ensemble)",
        "The tensor `{tensor}` of the ensemble is read and never written, or written and never read.",
        "Look for a misspelt `value` in the input_map and output_map of the steps.",
        "Poll failed for model directory 'pipe': output 'y' for ensemble 'pipe' is not written: at least "
        "one of its depending tensors, 'mid', is not connected",
        place=_MAPS,
    ),
    rule(
        "ensemble.not-for-ensembles",
        r"(?P<field>instance group|optimization|model_warmup|scheduling choice) (?:should|can) ?not be "
        r"specified for ensemble",
        "An ensemble cannot have `{field}`: it runs no code of its own.",
        "Remove `{field}` from the ensemble and give it to the models of its steps.",
        "Poll failed for model directory 'pipe': instance group should not be specified for ensemble 'pipe'",
        place="instance_group|optimization|model_warmup",
    ),
    rule(
        "ensemble.deadlock",
        r"unexpected deadlock, at least one output is not set while no more ensemble steps can be "
        r"made|Composing models did not output tensor (?P<tensor>[^\n]+)|that does not map to any "
        r"ensemble (?:tensors|inputs)",
        "A step of the ensemble did not give a tensor that a later step or the answer needs {tensor}.",
        "Ask the step's model alone: it must return every output that the ensemble maps.",
        "in ensemble 'pipe', unexpected deadlock, at least one output is not set while no more ensemble "
        "steps can be made",
    ),
)
