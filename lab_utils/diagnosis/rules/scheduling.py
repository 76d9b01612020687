"""Batchers, queues, sequences, cache, rate limiter and warmup, as the config sets them."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "scheduling.preferred-size",
        r"(?P<kind>dynamic|sequence) batching preferred (?:batch )?size must be <= max batch size",
        "A preferred batch size of the {kind} batcher is greater than `max_batch_size`.",
        "Make `preferred_batch_size` smaller, or raise `max_batch_size`.",
        "Poll failed for model directory 'net': dynamic batching preferred size must be <= max batch "
        "size for net",
        place="{kind}_batching.preferred_batch_size|{kind}_batching|sequence_batching.oldest.preferred_batch_si"
        "ze",
    ),
    rule(
        "scheduling.preferred-size-zero",
        r"(?P<kind>dynamic|sequence) batching preferred (?:batch )?size must be positive",
        "A preferred batch size of the {kind} batcher is 0 or less.",
        "Write positive numbers, or leave `preferred_batch_size` out.",
        "Poll failed for model directory 'net': dynamic batching preferred size must be positive for net",
        place="{kind}_batching.preferred_batch_size|{kind}_batching|sequence_batching.oldest.preferred_batch_si"
        "ze",
    ),
    rule(
        "scheduling.default-priority",
        r"default priority level must be in range \[1, (?P<levels>\d+)\]",
        "`default_priority_level` is not one of the levels 1 to {levels} that `priority_levels` declares.",
        "Write a level from 1 to {levels}, or raise `priority_levels`.",
        "Poll failed for model directory 'net': default priority level must be in range [1, 2] for net",
        place="dynamic_batching.default_priority_level|dynamic_batching",
    ),
    rule(
        "scheduling.priority-policy",
        r"priority queue policy must have priority level in range \[1, (?P<levels>\d*)",
        "`priority_queue_policy` has a key that is not one of the levels 1 to {levels}.",
        "Use the levels that `priority_levels` declares as keys.",
        "Poll failed for model directory 'net': priority queue policy must have priority level in range "
        "[1, 2] for net",
        place="dynamic_batching.priority_queue_policy|dynamic_batching",
    ),
    rule(
        "scheduling.preserve-ordering",
        r"Only one priority level is allowed when 'preserve_ordering' is true|Queue policy can not have "
        r"DELAY as timeout action when 'preserve_ordering' is true",
        "`preserve_ordering` is on, and priorities or delayed requests would change the order.",
        "Remove `preserve_ordering`, or the priority levels and the DELAY action.",
        "Only one priority level is allowed when 'preserve_ordering' is true for net",
        place="dynamic_batching.preserve_ordering|dynamic_batching",
    ),
    rule(
        "scheduling.control-name",
        r"sequence batching control tensor must have a name",
        "A `control_input` of `sequence_batching` has no name.",
        'Give it the name of a model input: name: "START".',
        "sequence batching control tensor must have a name for net",
        place="sequence_batching.control_input|sequence_batching",
    ),
    rule(
        "scheduling.control-values",
        r"sequence batching (?:must specify either|specifies more than one from|control '\w+' must have "
        r"exactly 2|must not specify either)[^\n]*?(?:for (?P<control>CONTROL_\w+))?(?: for \S+)?$",
        "A control of `sequence_batching` {control} needs one pair of values for false and true, and has "
        "none, several, or one where none belongs.",
        "Give START, END and READY exactly one pair, `fp32_false_true: [0, 1]` or `int32_false_true: [0, "
        "1]`; give CORRID a `data_type` and no pair.",
        "Poll failed for model directory 'net': sequence batching must specify either "
        "'int32_false_true', 'fp32_false_true' or 'bool_false_true' for CONTROL_SEQUENCE_START for net",
        place="sequence_batching.control_input.0.control|sequence_batching.control_input|sequence_batching",
    ),
    rule(
        "scheduling.control-twice",
        r"sequence batching (?:control tensor '(?P<name>[^']+)' is specified for multiple control "
        r"kinds|specifies multiple (?P<kind>\S+))",
        "A control of `sequence_batching` stands twice {name}{kind}.",
        "Give each control one input, and each input one control.",
        "sequence batching control tensor 'START' is specified for multiple control kinds for net",
        place="sequence_batching.control_input|sequence_batching",
    ),
    rule(
        "scheduling.control-type",
        r"sequence batching control tensor must specify a|unexpected data type for control "
        r"(?P<control>\S+)",
        "A control of `sequence_batching` needs a `data_type`, and CORRID an integer or string type.",
        "Write data_type: TYPE_UINT64 for CONTROL_SEQUENCE_CORRID.",
        "unexpected data type for control CONTROL_SEQUENCE_CORRID for net. Allowed data types are "
        "TYPE_UINT64",
        place="sequence_batching.control_input|sequence_batching",
    ),
    rule(
        "scheduling.correlation-type",
        r"sequence batching control '(?P<control>[^']+)' data-type is '(?P<got>\w+)', but model "
        r"'(?P<model>[^']+)' expects '(?P<want>\w+)'",
        "A request gives the sequence ID as {got}, and config.pbtxt declares the control `{control}` as "
        "{want}: a number where text is wanted or the other way round. `model_warmup` always sends a "
        "number.",
        "Send sequence_id of that type, or change `data_type` of CONTROL_SEQUENCE_CORRID (TYPE_UINT64 "
        "for numbers, TYPE_STRING for text); with warm-up use TYPE_UINT64.",
        "sequence batching control 'CORRID' data-type is 'UINT64', but model 'net' expects 'BYTES'",
        place="sequence_batching.control_input|model_warmup",
    ),
    rule(
        "scheduling.slot-utilization",
        r"sequence batching minimum slot utilization must be in range",
        "`minimum_slot_utilization` is a fraction above 0.0 and up to 1.0.",
        "Write a number such as 0.5, or leave it out.",
        "sequence batching minimum slot utilization must be in range (0.0, 1.0] for net",
        place="sequence_batching.direct.minimum_slot_utilization|sequence_batching.direct|sequence_batching",
    ),
    rule(
        "scheduling.control-missing-input",
        r"(?:configuration specified sequence control '(?P<name>[^']+)', but model does not provide that "
        r"input|sequence control '(?P<name2>[^']+)'[^\n]*(?:expects|does not|don't match))",
        "`sequence_batching` sends the control `{name}`, and the model file has no such input or one of "
        "another type or shape.",
        "Add that input to the model (with a variable first dimension when max_batch_size is greater "
        "than 0), or remove the control from `control_input`.",
        "unable to load model 'net', configuration specified sequence control 'START', but model does "
        "not provide that input",
        place="sequence_batching.control_input|sequence_batching",
    ),
    rule(
        "scheduling.state",
        r"(?:(?:State|state) (?:input name|configuration)|'initial_state'|initial_state setting "
        r"expects|Detected duplicate '(?:in|out)put_name' in the state|is not a valid state "
        r"name|use_growable_memory|unable to add state)[^\n]*",
        "The `state` block of `sequence_batching` is not consistent: names, types, dims or the initial "
        "value do not fit.",
        "Give each state its own input_name and output_name, one data_type, dims without -1 and an "
        "initial_state of the same size.",
        "'initial_state' field for state input name 'S' contains variable dimensions.",
        place="sequence_batching.state|sequence_batching",
    ),
    rule(
        "scheduling.implicit-state-here",
        r"'sequence_batching\.state' \(implicit state\) is not available",
        "`sequence_batching.state` is kept by the C++ backends alone; this server's backends are Python "
        "ones.",
        "Keep the state in a python model, or serve this one in the container.",
        "unable to load model 'net', 'sequence_batching.state' (implicit state) is not available in this "
        "Python form of the backend (the C++ backend has it)",
        place="sequence_batching.state|sequence_batching",
    ),
    rule(
        "scheduling.only-cpp",
        r"'(?P<field>[\w.]+)'(?: of input '(?P<name>[^']+)')? is not available in this Python form of the "
        r"backend",
        "`{field}` works with the C++ backend only; this server's backend of that name is a Python one.",
        "Remove `{field}` here, or serve the model in the container.",
        "unable to load model 'net', 'batch_input' is not available in this Python form of the backend",
        place="{field}|input.{name}",
    ),
    rule(
        "scheduling.cache-refused",
        r"Response Cache does not currently support model \S+ with (?:sequence batching "
        r"scheduler|'?decoupled)",
        "`response_cache` is on for a model whose answers must not be cached: it is decoupled or uses a "
        "sequence batcher.",
        "Remove `response_cache`.",
        "Poll failed for model directory 'net': Response Cache does not currently support model net with "
        "sequence batching scheduler. Please disable the response cache.",
        place="response_cache",
    ),
    rule(
        "scheduling.cache-missing",
        r"unable to find 'libtritoncache_(?P<name>\w+)\.so' for cache|unable to find '(?P<lib>[^']+)' for "
        r"cache",
        "--cache-config asks for the cache `{name}{lib}`, and this server has no library of that name.",
        "Use --cache-config=local,size=16777216, or a container that has the cache; --cache-directory "
        "names the folder of the caches.",
        "error: creating server: Internal - unable to find 'libtritoncache_redis.so' for cache. "
        "Searched: /opt/caches",
    ),
    rule(
        "scheduling.cache-setting",
        r"(?:Failed to initialize cache|found multiple cache configurations|Incompatible flags "
        r"--response-cache-byte-size and --cache-config|for cache\. Searched)",
        "The server's response cache could not be set up: the option --cache-config or --cache-directory "
        "is wrong.",
        "Write one option of the form --cache-config=local,size=16777216.",
        "error: creating server: Invalid argument - found multiple cache configurations, but only a "
        "single cache is currently supported",
    ),
    rule(
        "scheduling.rate-limiter",
        r"Resource count for \"?(?P<name>[^\"\n]*?)\"? is limited to (?P<have>\d+)[^\n]*?minimum required "
        r"count is (?P<need>\d+)",
        "An instance of the model needs {need} of the rate limiter's resource `{name}`, and the server "
        "has only {have}: it could never run.",
        "Raise it at the start (--rate-limit-resource={name}:{need}), or lower `count` in "
        "`rate_limiter.resources`.",
        'Resource count for "R" is limited to 4 which will prevent scheduling of one or more model '
        "instances, the minimum required count is 9",
        place="instance_group.0.rate_limiter|instance_group",
    ),
    rule(
        "scheduling.rate-resource-twice",
        r"Resource \"?(?P<name>[^\"\n]+)\"? is present as both global and device-specific",
        "The rate limiter's resource `{name}` is declared as global in one place and per device in another.",
        "Set `global` to the same value everywhere.",
        'Resource "R" is present as both global and device-specific resource in the model configuration.',
        place="instance_group.0.rate_limiter|instance_group",
    ),
    rule(
        "scheduling.warmup",
        r"warmup setting expects (?P<why>[^\n]*)|failed to run warmup sample "
        r"'(?P<sample>[^']*)'|model_warmup can not be specified",
        "A sample of `model_warmup` does not fit the model {sample}: {why}.",
        "Give every input of the model one entry in the sample, with its data_type, its dims as numbers, "
        "and data of that size; batch_size up to max_batch_size.",
        "Invalid argument: warmup setting expects all variable-size dimensions are specified for input "
        "'x' in model 'net'",
        place="model_warmup",
    ),
    rule(
        "scheduling.warmup-inputs",
        r"failed to load '(?P<model>[^']+)' version \d+: Invalid argument: \[request id: [^\]]*\] "
        r"(?P<why>expected \d+ inputs but got[^\n]*|inference request[^\n]*|unexpected[^\n]*|input byte "
        r"size[^\n]*)",
        "The model itself could be loaded; its `model_warmup` sends a request that it refuses: {why}",
        "Give the sample the inputs of the model, by their exact names, with their shapes and types.",
        "failed to load 'net' version 1: Invalid argument: [request id: <id_unknown>] expected 1 inputs "
        "but got 0 inputs for model 'net'. Got input(s) [], but missing required input(s) ['x'].",
        place="model_warmup",
    ),
    rule(
        "scheduling.custom-batching",
        r"(?:Batching library path not found|TRITON_BATCH_STRATEGY_PATH cannot be specified|Custom "
        r"batch(?:er|ing) \w+ (?:function )?failed|does not define all required custom batching "
        r"functions)[^\n]*",
        "The custom batching strategy of the model could not be used.",
        "Correct the parameter TRITON_BATCH_STRATEGY_PATH, or remove it.",
        "Invalid argument: Batching library path not found: /models/net/batch.so",
        place="parameters",
    ),
    rule(
        "scheduling.execution-policy",
        r"Attempt to change scheduler not supported|Cannot update scheduling choice from (?P<why>[^\n]*)",
        "A load of the running model changes its kind of scheduler, which Triton cannot do in place {why}.",
        "Unload the model first, then load it.",
        "Cannot update scheduling choice from dynamic_batching to sequence_batching when auto-completing.",
        place="dynamic_batching|sequence_batching",
    ),
    rule(
        "scheduling.host-policy",
        r"(?:Unsupported host policy setting|host policy setting 'cpu-cores' format|Unable to set NUMA "
        r"memory policy|Max NUMA node count|Can't parse '[^']*' to integer)",
        "The option --host-policy is not one this machine can follow.",
        "Correct it (numa-node=N, cpu-cores=A-B), or leave it out.",
        "Internal: host policy setting 'cpu-cores' format is '<lower_cpu_core_id>-<upper_cpu_core_id>'. "
        "Got 4",
    ),
)
