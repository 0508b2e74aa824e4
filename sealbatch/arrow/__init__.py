"""Questions and answers as Arrow's tables, in memory and as Parquet files: all that needs pyarrow."""
