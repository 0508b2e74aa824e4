"""What `sealbatch doctor` looks at: each module checks one part and says of every fault how it is mended."""
