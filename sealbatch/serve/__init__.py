"""A small local endpoint that speaks OpenAI's `/v1/files` and `/v1/batches`, for programs that do already.

What is uploaded is sealed at once under a key that only this process has; what is read is verified before its first
byte goes out. Batches are jobs: their ids hold their tickets, so they outlive the process.
"""
