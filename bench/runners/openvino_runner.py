"""OpenVINO GenAI with continuous batching, on a model that `openvino_export.py` has converted."""

import time

began = time.perf_counter()

import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
import openvino_genai as genai  # noqa: E402
from measure import read_task, with_tokens, write_result  # noqa: E402

task = read_task()
settings = task["settings"]
scheduler = genai.SchedulerConfig()
scheduler.cache_size = settings.get("cache_gb", 2)
scheduler.max_num_seqs = settings.get("sequences", 64)
scheduler.max_num_batched_tokens = settings.get("batched_tokens", 256)
scheduler.dynamic_split_fuse = settings.get("split_fuse", True)
scheduler.enable_prefix_caching = True
properties = {"INFERENCE_NUM_THREADS": task["threads"], **settings.get("properties", {})}
pipe = genai.ContinuousBatchingPipeline(settings["model"], scheduler, "CPU", properties)
load = time.perf_counter() - began


def generate(requests):
    configs = []
    for request in requests:
        config = genai.GenerationConfig()
        config.max_new_tokens = request["answer"]
        config.eos_token_id = 2  # none would do, and is refused; it is ignored
        config.stop_token_ids = {2}
        config.ignore_eos = True
        config.do_sample = False
        configs.append(config)
    inputs = [ov.Tensor(np.array([request["prompt"]], dtype=np.int64)) for request in requests]
    lead = settings.get("lead", 0)
    results = pipe.generate(inputs[:lead], configs[:lead]) if lead else []
    results += pipe.generate(inputs[lead:], configs[lead:])
    return with_tokens(result.m_generation_ids[0] for result in results)


write_result(task, load, generate)
