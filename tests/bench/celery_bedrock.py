"""What a team runs today: the tasks of a Celery app that call Bedrock with boto3. `make bench-cpu` measures its workers beside ours."""

import json
import os
import time

import boto3
from botocore.config import Config
from celery import Celery

app = Celery("celery_tasks_enhanced", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_default_queue="analysis",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    result_expires=3600,
    result_backend_thread_safe=True,  # else gevent opens a connection of its own for each task
    redis_max_connections=5000,
    broker_transport_options={"max_connections": 5000},  # each greenlet acknowledges by one of its own
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)
bedrock = boto3.client(
    "bedrock-runtime", region_name="us-east-1", endpoint_url=os.environ["BEDROCK_URL"],
    config=Config(max_pool_connections=1000, read_timeout=120, retries={"total_max_attempts": 1}))


@app.task(name="celery_tasks_enhanced.analyze_section_task")
def analyze_section_task(section_name, content, doc_type=None, session_id=None):
    began = time.monotonic()
    answer = bedrock.converse(
        modelId=os.environ["BEDROCK_MODEL_ID"],
        messages=[{"role": "user", "content": [{"text": os.environ["PROMPT"].format(name=section_name, content=content)}]}],
        inferenceConfig={"maxTokens": 4096, "temperature": 0.2})
    items = json.loads(answer["output"]["message"]["content"][0]["text"])["feedback_items"]
    return {"success": True, "feedback_items": items, "section": section_name, "duration": time.monotonic() - began,
            "model_used": os.environ["BEDROCK_MODEL_ID"], "tokens": answer["usage"]["totalTokens"], "feedback_count": len(items)}
