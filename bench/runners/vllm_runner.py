"""vLLM's CPU build: continuous batching with prefix caching, in this process."""

import os
import time

from measure import read_task, with_tokens, write_result

task = read_task()
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": str(task["threads"]),
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "HF_HUB_OFFLINE": "1",
}
began = time.perf_counter()

from vllm import LLM, SamplingParams  # noqa: E402

if __name__ == "__main__":
    engine = LLM(
        task["model"],
        dtype=task["precision"],
        skip_tokenizer_init=True,
        max_model_len=2048,
        max_num_seqs=64,
        enable_prefix_caching=True,
        enforce_eager=True,
        seed=0,
    )
    load = time.perf_counter() - began

    def generate(requests):
        prompts = [{"prompt_token_ids": request["prompt"]} for request in requests]
        params = [
            SamplingParams(temperature=0.0, max_tokens=request["answer"], ignore_eos=True, detokenize=False)
            for request in requests
        ]
        results = engine.generate(prompts, params, use_tqdm=False)
        return with_tokens([result.outputs[0].token_ids for result in results])

    write_result(task, load, generate)
