"""What a failed call to AWS means: shared by the asker's and the reader's side, so that one failure has one name.

Only `aws_errors.mapped` knows AWS's library: whoever proves an output needs none.
"""
