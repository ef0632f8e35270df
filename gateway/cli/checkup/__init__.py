"""What `tollhouse doctor` looks at, one file per part: each examination yields findings, with what to do."""
