"""Plausible wrong answers to 2.8."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _block(
    levels: str = "priority_levels: 2 default_priority_level: 2",
    size: str = "max_queue_size: {queue_size}",
    timeout: str = "default_timeout_microseconds: {timeout_us}",
    action: str = "timeout_action: REJECT",
    override: str = "allow_timeout_override: true",
) -> str:
    return f'''
def queue_block(queue_size, timeout_us):
    return f"""
dynamic_batching {{{{
  {levels}
  default_queue_policy {{{{ {size} {timeout} {action} {override} }}}}
}}}}
"""
'''


def _ask(
    client: str = "httpclient.InferenceServerClient(url)",
    infer: str = "client.infer(model, [data], priority=priority, timeout=timeout_us)",
    full: str = '"maximum queue size" in str(error)',
    late: str = '"timeout expired" in str(error)',
    other: str = "raise",
) -> str:
    return f"""
def ask(url, model, row, priority, timeout_us):
    data = httpclient.InferInput("data", [1, 4], "FP32").set_data_from_numpy(row.reshape(1, 4))
    with {client} as client:
        try:
            {infer}
        except httpclient.InferenceServerException as error:
            if {full}:
                return "full"
            if {late}:
                return "late"
            {other}
    return "ok"
"""


_SIZE_OUTSIDE = '''
def queue_block(queue_size, timeout_us):
    return f"""
dynamic_batching {{
  priority_levels: 2
  default_priority_level: 2
  max_queue_size: {queue_size}
}}
"""
'''

_NO_CATCH = """
def ask(url, model, row, priority, timeout_us):
    data = httpclient.InferInput("data", [1, 4], "FP32").set_data_from_numpy(row.reshape(1, 4))
    with httpclient.InferenceServerClient(url) as client:
        client.infer(model, [data], priority=priority, timeout=timeout_us)
    return "ok"
"""

QUEUE: dict[str, list[WrongAnswer]] = {
    "2.8": [
        WrongAnswer("size outside the policy", _SIZE_OUTSIDE, 'no field named "max_queue_size"'),
        WrongAnswer("no limit", _block(size=""), "0 means no limit"),
        WrongAnswer("no levels", _block(levels=""), "they are 0 and 0"),
        WrongAnswer(
            "urgent by default",
            _block(levels="priority_levels: 2 default_priority_level: 1"),
            "they are 2 and 1",
        ),
        WrongAnswer(
            "milliseconds",
            _block(timeout="default_timeout_microseconds: {timeout_us // 1000}"),
            "`timeout_us` is in microseconds",
        ),
        WrongAnswer("late ones are delayed", _block(action="timeout_action: DELAY"), "DELAY computes"),
        WrongAnswer("no override", _block(override=""), "that a request brings along is ignored"),
        WrongAnswer(
            "no priority sent",
            _ask(infer="client.infer(model, [data], timeout=timeout_us)"),
            "carries priority",
        ),
        WrongAnswer(
            "the client's time-out",
            _ask(
                client="httpclient.InferenceServerClient(url, network_timeout=timeout_us / 1e6)",
                infer="client.infer(model, [data], priority=priority)",
            ),
            "`network_timeout` is the client's own",
        ),
        WrongAnswer("everything is late", _ask(late="True"), "a model that is not there"),
        WrongAnswer(
            "every refusal is late",
            _ask(full='"503" == str(error)', late='"503" in str(error)'),
            '`ask` returns "full"',
        ),
        WrongAnswer("nothing caught", _NO_CATCH, "Catch `InferenceServerException`"),
    ]
}
