"""The workloads are the same everywhere, and are what the documentation says of them."""

import hashlib
import json

import pytest

from bench.workload import FIRST_TOKEN, VOCABULARY, WORKLOADS, Workload


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_totals_and_bounds_are_exact(workload: Workload) -> None:
    """Lengths and tokens."""
    requests = workload.requests()
    assert len(requests) == workload.count
    assert sum(request.answer for request in requests) == workload.answers.total
    assert sum(len(request.prompt) - workload.prefix for request in requests) == workload.prompts.total
    for request in requests:
        assert workload.answers.low <= request.answer <= workload.answers.high
        assert workload.prompts.low <= len(request.prompt) - workload.prefix <= workload.prompts.high
        assert all(FIRST_TOKEN <= token < VOCABULARY for token in request.prompt)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_all_requests_share_the_prefix_and_nothing_more(workload: Workload) -> None:
    """What a cache of prefixes can save is the prefix."""
    prompts = [request.prompt for request in workload.requests()]
    assert len({prompt[: workload.prefix] for prompt in prompts}) == 1
    assert len({prompt[: workload.prefix + 4] for prompt in prompts}) == workload.count


def test_the_first_workload_is_the_documented_one() -> None:
    """Figures of two machines compare only over the very same tokens."""
    requests = WORKLOADS["first"].requests()
    assert (len(requests), sum(request.answer for request in requests)) == (64, 3084)
    content = json.dumps([[request.prompt, request.answer] for request in requests]).encode()
    assert hashlib.sha256(content).hexdigest() == "79b3627ee9e15e8b15c2966aba5a68adf7c3d7f74547c8a17fcc98b74cc1b317"


def test_requests_fit_a_smaller_vocabulary() -> None:
    """For a model of one's own."""
    requests = WORKLOADS["first"].requests(1000)
    assert max(token for request in requests for token in request.prompt) < 1000
    assert [request.answer for request in requests] == [request.answer for request in WORKLOADS["first"].requests()]


def test_every_request_fits_the_context_of_bloom() -> None:
    """2,048 positions."""
    longest = max(len(r.prompt) + r.answer for workload in WORKLOADS.values() for r in workload.requests())
    assert longest <= 2048
