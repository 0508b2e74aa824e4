"""What the command draws and offers: talk, tables, progress, help, and words that complete another."""
