"""The table: every state of the contract, everything that can happen to it, and what must follow.

Written from the contract and never from the code. A line is `answer status step policies point : states`; `=` means
as before. Policies are freed, or freed in part: the claimed one. Point is on which side of the point of no return it
stands. A line `409 slug` is a refusal: nothing changes, but for a line in the timeline.
"""

from collections import Counter

from tests.every_ending import STATES, matching

EVENTS = (
    *("report", "report_wrong", "report_earlier", "report_again", "abort", "retry"),
    *("done", "done_bare", "not_done", "amend", "close", "close_freeing"),
    *("premium_refund", "claim_paid", "claim_closed_unpaid"),
)
STEPS = {"look_up", "preview", "refund", "confirm", "claim", "cancel", "await_premium_refund"}

TABLE = {
    # Equal to the preview: taken while the refund is still to come, also where another step is due before the confirm.
    "report": """
200 in_progress confirm = after : in_progress/refund in_progress/refund! in_progress/refund!+call awaiting_refund/*
    needs_review/refund needs_review/refund!+call
200 = = = after                 : in_progress/preview+renewed in_progress/preview! in_progress/confirm
    in_progress/confirm! in_progress/claim+first in_progress/claim!+first needs_review/preview! needs_review/refund!
    needs_review/confirm needs_review/confirm! needs_review/claim!+first needs_review/claim!+refused
202 needs_review - = after      : rejected/- aborted/- closed/*
409 not-previewed               : */look_up in_progress/preview in_progress/preview+running in_progress/preview!+then
    */await_premium_refund* needs_review/preview
409 refund-not-awaited          : */claim */cancel* in_progress/claim! needs_review/claim! needs_review/claim!+failed
    completed/-!+skipped completed/-!+claim *+dry
409 refund-already-reported     : *+reported *+last in_progress/confirm!+first needs_review/refund!+changed
    needs_review/-* completed/-!
""",
    "report_wrong": """
422 refund-mismatch             : in_progress/refund* awaiting_refund/* needs_review/refund needs_review/refund!
    needs_review/refund!+call in_progress/preview+renewed in_progress/preview! in_progress/confirm
    in_progress/confirm! in_progress/claim+first in_progress/claim!+first needs_review/preview! needs_review/confirm
    needs_review/confirm! needs_review/claim!+first needs_review/claim!+refused
202 needs_review - = after      : rejected/- aborted/- closed/*
409 not-previewed               : */look_up in_progress/preview in_progress/preview+running in_progress/preview!+then
    */await_premium_refund* needs_review/preview
409 refund-not-awaited          : */claim */cancel* in_progress/claim! needs_review/claim! needs_review/claim!+failed
    completed/-!+skipped completed/-!+claim *+dry
409 refund-already-reported     : *+reported *+last in_progress/confirm!+first needs_review/refund!+changed
    needs_review/-* completed/-!
""",
    # Of an amount that was offered before: money that was paid, also when another refund has been reported since.
    "report_earlier": """
202 needs_review = = after      : in_progress/refund* awaiting_refund/* needs_review/refund* needs_review/-*
    in_progress/preview+renewed in_progress/preview! in_progress/confirm* in_progress/claim+first
    in_progress/claim!+first needs_review/preview! needs_review/confirm* needs_review/claim!+first
    needs_review/claim!+refused *+reported in_progress/claim!+last
202 needs_review - = after      : rejected/- aborted/- closed/* completed/-! completed/-!+skipped
409 not-previewed               : */look_up in_progress/preview in_progress/preview+running in_progress/preview!+then
    */await_premium_refund* needs_review/preview
409 refund-not-awaited          : */claim */cancel* in_progress/claim! needs_review/claim! needs_review/claim!+failed
    completed/-!+claim *+dry
""",
    # The answer to the repeat: 200 wherever the report was taken or stored, and the same refusal where it was refused.
    "report_again": """
200 = = = after                 : in_progress/refund* awaiting_refund/* needs_review/refund* needs_review/-*
    in_progress/preview+renewed in_progress/preview! in_progress/confirm* in_progress/claim+first
    in_progress/claim!+first needs_review/preview! needs_review/confirm* needs_review/claim!+first
    needs_review/claim!+refused *+reported in_progress/claim!+last completed/-! rejected/- aborted/- closed/*
409 not-previewed               : */look_up in_progress/preview in_progress/preview+running in_progress/preview!+then
    */await_premium_refund* needs_review/preview
409 refund-not-awaited          : */claim */cancel* in_progress/claim! needs_review/claim! needs_review/claim!+failed
    completed/-!+skipped completed/-!+claim *+dry
""",
    "abort": """
200 aborted - freed before      : in_progress/look_up in_progress/preview in_progress/preview+* in_progress/refund
    in_progress/confirm in_progress/claim in_progress/claim+first in_progress/cancel awaiting_refund/refund
    needs_review/look_up needs_review/preview needs_review/preview+dry needs_review/refund needs_review/confirm
    needs_review/claim needs_review/cancel
409 point-of-no-return          : in_progress/*! in_progress/*!+* awaiting_*/*! needs_review/*! needs_review/*!+*
200 = = = =                     : aborted/-
409 already-ended               : completed/* rejected/- closed/*
""",
    "retry": """
200 in_progress = = =           : in_progress/look_up in_progress/preview in_progress/preview+renewed
    in_progress/preview+dry in_progress/preview!* in_progress/refund* in_progress/c* in_progress/await_premium_refund!
    needs_review/[a-z]*
409 nothing-to-retry            : in_progress/preview+running awaiting_* needs_review/-* completed/* rejected/-
    aborted/- closed/*
""",
    "done": """
200 in_progress confirm = after : needs_review/refund*
200 completed - = after         : needs_review/confirm needs_review/confirm! needs_review/cancel* needs_review/-!+all
200 in_progress claim = after   : needs_review/confirm!+last needs_review/claim!*
200 in_progress preview = after : needs_review/await_premium_refund!
409 nothing-to-resolve          : needs_review/look_up needs_review/preview* needs_review/claim needs_review/-!+late
    needs_review/await_premium_refund!+unpaid in_progress/* awaiting_* completed/* rejected/- aborted/- closed/*
""",
    "done_bare": """
422 evidence-missing            : needs_review/refund* needs_review/claim* needs_review/confirm* needs_review/cancel*
    needs_review/-!+all needs_review/await_premium_refund!
409 nothing-to-resolve          : needs_review/look_up needs_review/preview* needs_review/-!+late
    needs_review/await_premium_refund!+unpaid in_progress/* awaiting_* completed/* rejected/- aborted/- closed/*
""",
    "not_done": """
200 in_progress = = =           : needs_review/preview* needs_review/refund* needs_review/confirm!*
    needs_review/claim!* needs_review/cancel! needs_review/await_premium_refund!*
409 nothing-to-resolve          : needs_review/look_up needs_review/confirm needs_review/claim needs_review/cancel
    needs_review/-* in_progress/* awaiting_* completed/* rejected/- aborted/- closed/*
""",
    "amend": """
200 in_progress = = =           : needs_review/claim!+refused needs_review/claim!+failed
409 nothing-to-resolve          : needs_review/look_up needs_review/preview* needs_review/refund* needs_review/confirm*
    needs_review/claim needs_review/claim! needs_review/claim!+first needs_review/cancel* needs_review/await*
    needs_review/-* in_progress/* awaiting_* completed/* rejected/- aborted/- closed/*
""",
    "close": """
200 closed - freed =            : awaiting_refund/refund needs_review/look_up needs_review/preview needs_review/refund
    needs_review/preview+dry needs_review/confirm needs_review/claim needs_review/cancel
200 closed - = =                : awaiting_*/*! needs_review/*! needs_review/*!+*
409 nothing-to-resolve          : in_progress/* completed/* rejected/- aborted/- closed/*
""",
    "close_freeing": """
200 closed - freed =            : awaiting_* needs_review/*
200 = = freed =                 : completed/* closed/*
409 nothing-to-resolve          : in_progress/* rejected/- aborted/-
""",
    "premium_refund": """
200 in_progress = = =           : awaiting_premium_refund/*
200 = = = =                     : in_progress/* awaiting_refund/* needs_review/* completed/* rejected/- aborted/-
    closed/*
""",
    "claim_paid": """
200 in_progress = = =           : awaiting_premium_refund/*
200 = = = =                     : in_progress/* awaiting_refund/* needs_review/* completed/* rejected/- aborted/-
    closed/*
""",
    # The claimed policy is freed, except while its own cancellation has a refund behind it and no end.
    "claim_closed_unpaid": """
200 in_progress = freed =       : awaiting_premium_refund/*
200 needs_review = freed =      : awaiting_refund/refund!
200 = = freed =                 : in_progress/preview! in_progress/preview!+then in_progress/refund! in_progress/claim!
    in_progress/claim!+first in_progress/await* needs_review/preview! needs_review/refund! needs_review/claim!*
    needs_review/await* completed/-!+claim closed/-!
200 = = part =                  : in_progress/claim!+last
200 = = = =                     : in_progress/confirm!+first */look_up */preview in_progress/preview+* *+reported
    */refund */refund!+c* */confirm */confirm! */claim in_progress/claim+first */cancel* needs_review/confirm!+last
    needs_review/-* completed/-! completed/-!+skipped rejected/- aborted/- closed/- needs_review/preview+dry
    completed/-+dry
""",
}


def rows_of(text: str) -> list[tuple[str, str]]:
    """Read a text table: (state, outcome), in its order."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if line.startswith(" "):
            lines[-1] += line
        else:
            lines.append(line)
    pairs = [line.partition(":")[::2] for line in lines]
    return [
        (state, outcome.strip())
        for outcome, patterns in pairs
        for state in dict.fromkeys(name for pattern in patterns.split() for name in matching(pattern))
    ]


CASES = {(state, event): outcome for event, text in TABLE.items() for state, outcome in rows_of(text)}


def test_the_states_are_those_of_the_contract_on_both_sides_of_the_point_of_no_return() -> None:
    under_way = {(status, step) for status in ("in_progress", "needs_review") for step in STEPS}
    waiting = {("awaiting_refund", "refund"), ("awaiting_premium_refund", "await_premium_refund")}
    ended = {(status, None) for status in ("needs_review", "completed", "rejected", "aborted", "closed")}
    only_before = {(status, "look_up") for status in ("in_progress", "needs_review")}
    only_before |= {("rejected", None), ("aborted", None)}
    only_after = {pair for pair in under_way | waiting if pair[1] == "await_premium_refund"}
    only_after |= {("needs_review", None)}
    legal = under_way | waiting | ended
    wanted = {(*pair, False) for pair in legal - only_after} | {(*pair, True) for pair in legal - only_before}

    assert {(state.status, state.step, state.is_past) for state in STATES.values()} == wanted


def test_no_pair_of_state_and_event_is_missing_and_none_is_named_twice() -> None:
    named = Counter((state, event) for event, text in TABLE.items() for state, _ in rows_of(text))

    assert set(named) == {(state, event) for state in STATES for event in EVENTS}
    assert [pair for pair, times in named.items() if times > 1] == []


def test_every_pattern_of_the_table_stands_for_a_state() -> None:
    patterns = {word for text in TABLE.values() for word in text.split() if "/" in word or "*" in word}

    assert [pattern for pattern in patterns if not matching(pattern)] == []
