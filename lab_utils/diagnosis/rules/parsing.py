"""config.pbtxt that protobuf cannot read. The line of libprotobuf stands right before its `Poll failed`."""

from lab_utils.diagnosis.rule import rule

# `Error parsing text-format inference.ModelConfig: LINE:COLUMN: message`
_AT = r"Error parsing text-format \S+: (?P<line>\d+):(?P<column>\d+): "
_EG = "[libprotobuf ERROR text_format.cc:337] Error parsing text-format inference.ModelConfig: "

RULES = (
    rule(
        "parsing.template",
        _AT + r"(?:Expected [^\n]*?(?:got|found): ?\"?\$|[^\n]*\$\{|Unknown enumeration value of \"\$)",
        "config.pbtxt still holds a placeholder such as `${{name}}` at line {line}, column {column}: it is a "
        "template that nobody filled in.",
        "Replace every `${{...}}` in config.pbtxt by its value (TensorRT-LLM: with tools/fill_template.py); "
        "the same holds for the config.pbtxt of the other models of the template.",
        _EG + "29:17: Expected integer, got: $",
        place="line",
    ),
    rule(
        "parsing.newer-field",
        _AT + r'Message type "[\w.]+" has no field named "(?P<field>model_metrics)"',
        "`{field}` (line {line}) is a field of newer Triton releases; this server does not know it.",
        "Remove `{field}` from config.pbtxt, or serve the model with a newer release.",
        _EG + '6:15: Message type "inference.ModelConfig" has no field named "model_metrics".',
        place="line",
    ),
    rule(
        "parsing.unknown-field",
        _AT + r'Message type "(?:[\w.]+\.)?(?P<message>\w+)" has no field named "(?P<field>[^"]*)"',
        "config.pbtxt has an unknown field, `{field}`, at line {line}, column {column}: `{message}` has "
        "none of that name.",
        "Correct the spelling of `{field}`, or move it to the block that it belongs to.",
        _EG + '6:17: Message type "inference.ModelConfig" has no field named "dynamic_batchng".',
        place="line",
    ),
    rule(
        "parsing.unknown-enum",
        _AT + r'Unknown enumeration value of "(?P<value>[^"]*)" for field "(?P<field>[^"]*)"',
        "`{value}` is not a value that `{field}` can have (line {line}, column {column} of config.pbtxt).",
        "Write one of the enumeration's names, without quotes: data types are TYPE_FP32, TYPE_INT64, "
        "TYPE_UINT8, TYPE_STRING ...; instance kinds are KIND_CPU, KIND_GPU, KIND_MODEL, KIND_AUTO.",
        _EG + '4:37: Unknown enumeration value of "FP32" for field "data_type".',
        place="line",
    ),
    rule(
        "parsing.quoted-enum",
        _AT + r'Expected integer or identifier, got: (?P<value>"?[^\n]*)',
        "A name without quotes, such as TYPE_FP32 or KIND_CPU, must stand at line {line}, column "
        "{column} of config.pbtxt; {value} is there.",
        "Write the name of the enumeration's value there, and leave the quotes away.",
        _EG + '4:37: Expected integer or identifier, got: "TYPE_FP32"',
        place="line",
    ),
    rule(
        "parsing.two-schedulers",
        _AT
        + (
            r'Field "(?P<field>[^"]*)" is specified along with field "(?P<other>[^"]*)", another member of '
            r"oneof"
        ),
        "config.pbtxt sets both `{other}` and `{field}` (line {line}); only one of the two may be there.",
        "Remove `{other}` or `{field}`: a model has one scheduler, and one version policy.",
        _EG
        + (
            '7:19: Field "sequence_batching" is specified along with field "dynamic_batching", another '
            'member of oneof "scheduling_choice".'
        ),
        place="line",
    ),
    rule(
        "parsing.twice",
        _AT + r'Non-repeated field "(?P<field>[^"]*)" is (?:already )?specified multiple times',
        "`{field}` stands twice in config.pbtxt; line {line} is the second one.",
        "Remove one of the two `{field}`.",
        _EG + '6:15: Non-repeated field "max_batch_size" is specified multiple times.',
        place="line",
    ),
    rule(
        "parsing.out-of-range",
        _AT + r"Integer out of range \((?P<value>[^)]*)\)",
        "The number {value} at line {line} of config.pbtxt does not fit its field.",
        "Write a smaller number, or a positive one where the field has no sign.",
        _EG + "3:17: Integer out of range (99999999999)",
        place="line",
    ),
    rule(
        "parsing.number-wanted",
        _AT + r"Expected (?:integer|double|int64|uint64)[^,]*, got: (?P<value>[^\n]*)",
        "A number must stand at line {line}, column {column} of config.pbtxt; {value} is there.",
        "Write a whole number there, without quotes.",
        _EG + '3:17: Expected integer, got: "8"',
        place="line",
    ),
    rule(
        "parsing.string-wanted",
        _AT + r"Expected string, got: (?P<value>[^\n]*)",
        "A text in quotes must stand at line {line}, column {column} of config.pbtxt; {value} is there.",
        'Put double quotes around it: name: "x".',
        _EG + "1:7: Expected string, got: resnet",
        place="line",
    ),
    rule(
        "parsing.bool-wanted",
        _AT
        + (
            r'(?:Invalid value for boolean field "(?P<field>[^"]*)"\. Value: (?P<value>[^\n]*)|Expected '
            r'"true" or "false")'
        ),
        "`{field}` (line {line} of config.pbtxt) is true or false; it has the value {value}.",
        "Write true or false, in small letters and without quotes.",
        _EG + '5:30: Invalid value for boolean field "enable". Value: "yes".',
        place="line",
    ),
    rule(
        "parsing.open-string",
        _AT + r"(?:String literals cannot cross line boundaries|Unexpected end of string)",
        "A text at line {line} of config.pbtxt has an opening quote and no closing one.",
        'Close the quote on line {line}: name: "x".',
        _EG + "1:13: String literals cannot cross line boundaries.",
        place="line",
    ),
    rule(
        "parsing.bad-escape",
        _AT + r"(?:Invalid escape sequence|Expected (?:hex|four hex|eight hex) digits)",
        "A text at line {line} of config.pbtxt has a backslash with a letter that means nothing.",
        "Write paths with `/`, or double the backslash.",
        _EG + "3:20: Invalid escape sequence in string literal.",
        place="line",
    ),
    rule(
        "parsing.byte-order-mark",
        _AT
        + (
            r"(?:Expected identifier, got: (?:\ufeff|\ufffd|\xef)|Invalid control characters|Interpreting "
            r"non ascii)"
        ),
        "config.pbtxt holds a byte that is no text at line {line}, column {column}: a byte order mark, a "
        "typographic quote or an invisible character from a copied page.",
        "Save the file as plain UTF-8 without a byte order mark, and type the quotes of that line again.",
        _EG + "1:1: Expected identifier, got: �",
        place="line",
    ),
    rule(
        "parsing.separator",
        _AT + r'Expected "(?P<wanted>[:{<;,\]}])"(?: or "[^"]*")*, (?:got|found)[: ]+"?(?P<value>[^"\n]*)',
        "config.pbtxt is not well-formed at line {line}, column {column}: `{wanted}` is expected, "
        "`{value}` is there.",
        "Look at the end of the line before, too: a colon, a bracket or a comma is missing or too many.",
        _EG + '4:12: Expected ":", found "TYPE_FP32".',
        place="line",
    ),
    rule(
        "parsing.end-of-file",
        _AT + r"Expected (?:identifier|\"[}>]\")[^\n]*(?:got|found): ?\"?(?=\n|$)",
        "config.pbtxt ends at line {line} while a bracket or brace is still open.",
        "Close it: every `{{` with `}}`, every `[` with `]`, counted from the top.",
        _EG + "7:1: Expected identifier, got: ",
        place="line",
    ),
    rule(
        "parsing.brackets",
        _AT + r"Expected identifier, got: (?P<value>[^\n]*)",
        "config.pbtxt is not well-formed at line {line}, column {column}: a field name is expected "
        "there. A bracket or brace before it was not closed, or was closed twice.",
        "Pair the brackets: every `{{` with `}}`, every `[` with `]`, counted from the top down to line "
        "{line}.",
        _EG + "4:54: Expected identifier, got: ]",
        place="line",
    ),
    rule(
        "parsing.other",
        _AT + r"(?P<message>[^\n]+)",
        "config.pbtxt is not valid at line {line}, column {column}: {message}",
        "Correct that line of config.pbtxt and load the model again.",
        _EG + "3:3: Already hit the limit of nested messages.",
        place="line",
    ),
    rule(
        "parsing.override",
        r"(?:Invalid config override|Load parameter 'config' must be specified for model file "
        r"override|Config parameter 'config' must have string type)(?P<message>[^\n]*)",
        "The `config` that the load request brought is not one that Triton can use{message}.",
        "Send the whole config as JSON text: an override replaces config.pbtxt, it is not merged with "
        "it. A `file:` override needs a `config` beside it.",
        "Invalid argument: Invalid config override: [json.exception] unexpected end of input",
    ),
    rule(
        "parsing.bad-json-config",
        r"(?:failed to convert|Unable to parse|Invalid) (?:the )?(?:JSON|json)[^\n]*(?:model )?config",
        "The model configuration in the request is not valid JSON for a model configuration.",
        "Build the configuration as a dictionary and write it with `json.dumps`; field names are those "
        "of config.pbtxt.",
        "Invalid argument: failed to convert JSON string to model config",
    ),
)
