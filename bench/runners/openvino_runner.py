"""OpenVINO GenAI with continuous batching, on a model that `openvino_export.py` has converted."""

import time
from pathlib import Path

began = time.perf_counter()

import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
import openvino_genai as genai  # noqa: E402
from measure import read_task, with_tokens, write_result  # noqa: E402

task = read_task()
scheduler = genai.SchedulerConfig()
scheduler.cache_size = 2
scheduler.max_num_seqs = 64
scheduler.max_num_batched_tokens = 256
scheduler.enable_prefix_caching = True
properties = {"INFERENCE_NUM_THREADS": task["threads"]}
if task["precision"] == "int8" and {"avx512_vnni", "avx_vnni"} & set(Path("/proc/cpuinfo").read_text().split()):
    # Activations in 8 bits too: faster where there is an instruction for it, and nowhere else.
    properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = "1024"
pipe = genai.ContinuousBatchingPipeline(task["settings"]["model"], scheduler, "CPU", properties)
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
    return with_tokens(result.m_generation_ids[0] for result in pipe.generate(inputs, configs))


write_result(task, load, generate)
