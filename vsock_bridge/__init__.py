"""The parent's side: carries sealed chunks from SQS to the enclave, and sealed answers to S3.

It holds ciphertext only and can open none of it: nothing here imports what opens a seal. It is trusted with
availability and with nothing else.
"""
