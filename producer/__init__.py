"""The asker's side: reads questions, checks them, seals them in chunks and hands the chunks to S3 and SQS.

It holds the questions and both keys of the job in memory, and gives away sealed chunks and wrapped keys only. Nothing
leaves before the whole input was found valid.
"""
