"""transformers' `generate`: one request at a time, or padded batches, in the order of arrival or sorted."""

import time

began = time.perf_counter()

import torch  # noqa: E402
from measure import read_task, with_tokens, write_result  # noqa: E402
from transformers import BloomForCausalLM, GenerationConfig  # noqa: E402

task = read_task()
settings = task["settings"]
torch.set_num_threads(task["threads"])
network = BloomForCausalLM.from_pretrained(
    task["model"], dtype=getattr(torch, task["precision"]), local_files_only=True
)
network.eval()
load = time.perf_counter() - began
PAD = 3


def generate_batch(requests):
    """Pad on the left; every row runs to the longest answer and is cut to its own."""
    width = max(len(request["prompt"]) for request in requests)
    rows = [[PAD] * (width - len(r["prompt"])) + r["prompt"] for r in requests]
    mask = [[0] * (width - len(r["prompt"])) + [1] * len(r["prompt"]) for r in requests]
    config = GenerationConfig(
        max_new_tokens=max(request["answer"] for request in requests),
        do_sample=False,
        pad_token_id=PAD,
        eos_token_id=None,
    )
    with torch.inference_mode():
        output = network.generate(
            input_ids=torch.tensor(rows), attention_mask=torch.tensor(mask), generation_config=config
        )
    return [row[width : width + r["answer"]].tolist() for row, r in zip(output, requests, strict=True)]


def generate(requests):
    order = list(range(len(requests)))
    if settings.get("sorted"):
        order.sort(key=lambda number: (requests[number]["answer"], len(requests[number]["prompt"])))
    answers = [[] for _ in requests]
    size = settings["batch"]
    for start in range(0, len(order), size):
        numbers = order[start : start + size]
        for number, answer in zip(numbers, generate_batch([requests[n] for n in numbers]), strict=True):
            answers[number] = answer
    return with_tokens(answers)


write_result(task, load, generate)
