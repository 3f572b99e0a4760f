"""From a difference down to the statement: recording, isolation, alignment, causes."""
