"""How fast the AWS stand-in alone is: the requests of a job, made by boto3 and nothing of ours."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import boto3
from botocore.config import Config

THREADS: Final = 8
BATCH: Final = 10


def measure_ceiling(endpoint: str, chunks: int, question_bytes: int, answer_bytes: int) -> float:
    """Chunks a second of a whole job: put questions, send, receive, put answers, delete, get answers.

    A chunk's message carries nothing here, and no put has a condition: both favour the stand-in.
    """
    session = boto3.session.Session("ceiling", "ceiling", region_name="eu-central-1")
    options = Config(max_pool_connections=THREADS)
    s3, sqs = (session.client(name, endpoint_url=endpoint, config=options) for name in ("s3", "sqs"))  # type: ignore[call-overload]
    s3.create_bucket(Bucket="ceiling", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    url = sqs.create_queue(QueueName="ceiling", Attributes={"VisibilityTimeout": "3600"})["QueueUrl"]
    questions, answers = os.urandom(question_bytes), os.urandom(answer_bytes)

    def put(number: int) -> None:
        s3.put_object(Bucket="ceiling", Key=f"questions/{number}", Body=questions)

    def send(first: int) -> None:
        numbers = range(first, min(first + BATCH, chunks))
        entries = [{"Id": str(number), "MessageBody": str(number)} for number in numbers]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)

    def answer(message: dict[str, Any]) -> None:
        s3.put_object(Bucket="ceiling", Key=f"answers/{message['Body']}", Body=answers)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def fetch(number: int) -> None:
        s3.get_object(Bucket="ceiling", Key=f"answers/{number}")["Body"].read()

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put, range(chunks)))
        list(pool.map(send, range(0, chunks, BATCH)))
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH).get("Messages"):
            list(pool.map(answer, found))
        list(pool.map(fetch, range(chunks)))
    return chunks / (time.monotonic() - began)
