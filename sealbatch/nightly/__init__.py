"""The night: files that were dropped during the day are sealed, answered and delivered, and somebody is told.

It runs on the asker's side and may read questions and answers; Redis, Celery's messages, notifications, reports and
logs get ids and counts. What happened is written down in the inbox itself (`shelf`), one small file for each step and
each written once, so that Celery and Redis may deliver a task twice, late or never: `night` looks at what is written
and does what is missing.
"""
