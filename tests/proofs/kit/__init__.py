"""The six proofs of a lab, as functions that return what is wrong (an empty list is a proof).

A lab brings `labs_solutions/0N-*.py`, its checks module, and `tests/labs/lab0N_wrong.py`; see
`tests.proofs.kit.wrong`. The proofs:

1. the complete notebook executes under nbval and scores full points (`notebooks.complete_problems`)
2. the untouched student notebook scores zero, with NotImplementedError alone
   (`notebooks.student_problems`)
3. an empty, gutted, timed-out, killed or forged notebook scores zero, each with a reason
   (`notebooks.broken_problems`)
4. every checkpoint refuses at least three named wrong answers, each with its own message
   (`answers.wrong_answer_problems`)
5. mechanical mutants of the reference answers die, or are listed as equivalent with the reason
   (`answers.mutant_problems`)
6. a dead server, a wrong port, stale evidence and another student's server never pass
   (`servers.server_problems`)
"""
